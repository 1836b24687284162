"""Accepting on inherited listening sockets, with a limit on connections. Knows no protocol.

At the limit one more client is taken from each socket and waits; the others wait in the kernel's
queue, unharmed. A connection that has asked nothing for PATIENCE_SECONDS gives its place to one
that waits, so that nobody locks the operator out by opening them all and keeping silent.

Running out of descriptors or memory is a pause, not an error. Sockets are shared with the
supervisor and with a former generation, so somebody else may take a connection first; nothing is
ever closed here but what was accepted here.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from proxy.control.limits import ACCEPT_PAUSE_SECONDS, PATIENCE_SECONDS


class Place:
    """What one connection holds, as its conversation goes on."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.silent_since: float | None = None  # loop time; None: a request is being answered
        self.answered()

    def asked(self) -> None:
        """A whole request has come."""
        self.silent_since = None

    def answered(self) -> None:
        """The next request is waited for."""
        self.silent_since = asyncio.get_running_loop().time()


Serve: TypeAlias = Callable[[socket.socket, Place], Awaitable[None]]
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
        self.free = asyncio.Semaphore(connections_max)
        self.places: dict[asyncio.Task[None], Place] = {}

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
            await self.take_place()
            place = Place()
            place.task = task = asyncio.create_task(self.serve(connection, serve, place))
            self.places[task] = place
            task.add_done_callback(self.ended)

    async def take_place(self) -> None:
        """Wait for a place; at last the connection that was silent for longest gives its own."""
        while self.free.locked():
            silent = [
                (p.silent_since, p) for p in self.places.values() if p.silent_since is not None
            ]
            if not silent:
                break
            since, oldest = min(silent, key=lambda pair: pair[0])
            with suppress(TimeoutError):
                async with asyncio.timeout_at(since + PATIENCE_SECONDS):
                    await self.free.acquire()
                    return
            if oldest.silent_since == since and oldest.task is not None:
                oldest.asked()  # it is sent away once
                oldest.task.cancel()
        await self.free.acquire()

    def ended(self, task: asyncio.Task[None]) -> None:
        """Forget a connection; the others go on, whatever it died of."""
        self.places.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed(error)

    async def serve(self, connection: socket.socket, serve: Serve, place: Place) -> None:
        """Serve one connection; it is closed whatever happens."""
        try:
            with suppress(OSError):  # the client left, or was too slow (also an OSError)
                await serve(connection, place)
        finally:
            connection.close()
            self.free.release()
