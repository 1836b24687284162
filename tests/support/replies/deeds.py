"""What a scripted server does in one connection, and a peer that does it for thousands of them.

A case is known by the address that its check connects to: one listening socket has all of them.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.replies.queues import ReceiveQueues

FIRST_ADDRESS = struct.unpack("!I", socket.inet_aton("127.8.0.1"))[0]
PAUSE_SECONDS = 0.006  # behind the moment at which the check has read all: it looks once more
UNREAD_SECONDS = 0.4  # the longest wait for a check that leaves bytes unread
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Take(NamedTuple):
    """Receive so many bytes; None: up to an empty line."""

    count: int | None


class Give(NamedTuple):
    """Send bytes."""

    data: bytes


class End(enum.Enum):
    """What is done at once, and PAUSE: wait until the check has read all that was sent."""

    PAUSE = enum.auto()
    SHUT = enum.auto()  # send no more, but receive
    RESET = enum.auto()
    HOLD = enum.auto()  # until the check closes


Deed = Take | Give | End


def address_of(number: int) -> str:
    """Where the case of this number is checked."""
    return socket.inet_ntoa(struct.pack("!I", FIRST_ADDRESS + number))


def _number_of(connection: socket.socket) -> int:
    packed = socket.inet_aton(connection.getsockname()[0])
    return int(struct.unpack("!I", packed)[0]) - FIRST_ADDRESS


class Peer:
    """Serves all cases on all addresses of the loopback, from a thread of its own."""

    def __init__(self, scripts: Sequence[Sequence[Deed]]) -> None:
        self._scripts = scripts
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._queues = ReceiveQueues()
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self.port = free_port()
        self._listening.bind(("", self.port))
        self._listening.listen(4_096)
        self._listening.setblocking(False)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._listening.close()
        self._queues.close()

    def _run(self) -> None:
        self._loop.create_task(self._accept())
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)
        self._loop.close()

    async def _accept(self) -> None:
        while True:
            connection, _ = await self._loop.sock_accept(self._listening)
            task = self._loop.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError, EOFError), connection:
            for deed in self._scripts[_number_of(connection)]:
                await self._do(connection, deed)

    async def _do(self, connection: socket.socket, deed: Deed) -> None:
        if isinstance(deed, Give):
            await self._loop.sock_sendall(connection, deed.data)
        elif isinstance(deed, Take):
            await self._take(connection, deed.count)
        elif deed is End.PAUSE:
            await self._pause(connection)
        elif deed is End.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            raise EOFError
        else:
            if deed is End.SHUT:
                connection.shutdown(socket.SHUT_WR)
            while await self._loop.sock_recv(connection, 65_536):
                pass

    async def _take(self, connection: socket.socket, count: int | None) -> None:
        taken = b""
        while not taken.endswith(b"\r\n\r\n") if count is None else len(taken) < count:
            data = await self._loop.sock_recv(
                connection, 65_536 if count is None else count - len(taken)
            )
            if not data:
                raise EOFError
            taken += data

    async def _pause(self, connection: socket.socket) -> None:
        """What follows is to be read by itself."""
        own, other = connection.getsockname(), connection.getpeername()
        give_up = self._loop.time() + UNREAD_SECONDS
        while self._queues.unread(other, own) and self._loop.time() < give_up:
            await asyncio.sleep(0.002)
        await asyncio.sleep(PAUSE_SECONDS)
