"""Accepting on inherited listening sockets, with a limit on connections. Knows no protocol.

After `pause` new clients wait in the kernel's queue for the process that accepts next.

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
Take: TypeAlias = Callable[[socket.socket], socket.socket]
OVERLOAD = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


def take_client(listening: socket.socket) -> socket.socket:
    """The next client of a queue; raises BlockingIOError when none waits, or another OSError."""
    return listening.accept()[0]


class ListenQueue:
    """Tells when a client may be in the kernel's queue of a listening socket.

    The loop watches the socket from the first wait on, and until a client comes that nobody waits
    for: as a rule a client costs no change of what is watched.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._waiting: asyncio.Future[None] | None = None
        self._watched = False

    async def client(self) -> None:
        """Return when one may be there, or at `wake`."""
        self._waiting = self._loop.create_future()
        if not self._watched:
            self._watched = True
            self._loop.add_reader(self._listening, self._ready)
        await self._waiting

    def _ready(self) -> None:
        if not self.wake():
            self.leave()

    def wake(self) -> bool:
        """End the wait; False if there is none."""
        if self._waiting is None or self._waiting.done():
            return False
        self._waiting.set_result(None)
        return True

    def leave(self) -> None:
        """Watch no more."""
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._listening)


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
        self.clients: set[Client] = set()  # that were accepted and are not served to the end
        self.tasks: set[asyncio.Task[None]] = set()  # the loop alone would forget them
        self._open = asyncio.Event()
        self._open.set()
        self._queues: set[ListenQueue] = set()

    def pause(self) -> None:
        """Accept no more; clients that were accepted leave with the answer that they are owed."""
        self._open.clear()
        for queue in self._queues:
            queue.wake()
        for client in self.clients:
            client.leaving = True

    def resume(self) -> None:
        """Accept again; clients that are still there may stay."""
        self._open.set()
        for client in self.clients:
            client.leaving = False

    async def accept(
        self, listening: socket.socket, serve: Serve, take: Take = take_client
    ) -> None:
        """Accept for ever; each connection is served by a task of its own.

        `take` gets the next one from the socket that it waits at.

        Raises OSError when the socket cannot be accepted from at all.
        """
        listening.setblocking(False)
        queue = ListenQueue(listening)
        self._queues.add(queue)
        try:
            await self._accept(listening, queue, serve, take)
        finally:
            self._queues.discard(queue)
            queue.leave()

    async def _accept(
        self, listening: socket.socket, queue: ListenQueue, serve: Serve, take: Take
    ) -> None:
        while True:
            await self._open.wait()
            await queue.client()
            if not self._open.is_set():
                continue
            try:  # accepted here and not in the loop: there a pause could lose a connection
                connection = take(listening)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in OVERLOAD:
                    self.paused()
                    await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                elif error.errno != errno.ECONNABORTED:
                    raise
                continue
            connection.setblocking(False)
            client = Client()
            self.clients.add(client)
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
            self.clients.discard(client)
            self.places.leave(client)
