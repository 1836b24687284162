"""Accepting on inherited listening sockets, with a limit on connections. Knows no protocol.

At the limit one more client is taken from each socket and waits for a place (places.py); the others
wait in the kernel's queue, unharmed.

Running out of descriptors or memory is a pause, not an error. Sockets are shared with the
supervisor and with a former generation, so another process may take a connection first; nothing is
ever closed here but what was accepted here.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from proxy.control.limits import ACCEPT_PAUSE_SECONDS
from proxy.control.places import Client, Places

Serve: TypeAlias = Callable[[socket.socket, Client], Awaitable[None]]
OVERLOAD = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class Acceptor:
    """Accepts for several listening sockets under one limit.

    `failed` is told what a connection died of, when that was neither the client nor the network;
    `paused` is called for each pause for lack of descriptors or memory.
    """

    def __init__(
        self,
        connections_max: int,
        failed: Callable[[BaseException], None],
        paused: Callable[[], None],
    ) -> None:
        self.failed = failed
        self.paused = paused
        self.places = Places(connections_max)
        self.tasks: set[asyncio.Task[None]] = set()  # the loop alone would forget them

    async def accept(self, listening: socket.socket, serve: Serve) -> None:
        """Accept for ever; each connection is served by a task of its own.

        Raises OSError when the socket cannot be accepted from at all.
        """
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in OVERLOAD:
                    self.paused()
                    await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                elif error.errno != errno.ECONNABORTED:
                    raise
                continue
            connection.setblocking(False)
            client = Client()
            await self.places.take(client)
            client.task = task = asyncio.create_task(self.serve(connection, serve, client))
            self.tasks.add(task)
            task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        """Forget a connection; the others go on, whatever it died of."""
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed(error)

    async def serve(self, connection: socket.socket, serve: Serve, client: Client) -> None:
        """Serve one connection; it is closed whatever happens."""
        client.waited_for()
        try:
            with suppress(OSError):  # the client left, or was too slow (also an OSError)
                await serve(connection, client)
        finally:
            connection.close()
            self.places.leave(client)
