"""The client behind a command: its name for the list of events, and whether it still listens.

The task of a conversation sets it, so that a command knows its own client however many are served
at the same time. Knows no command.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from contextlib import suppress
from contextvars import ContextVar

from proxy.control.places import Client

CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
NO_USER = -1  # of a client that is not local

KEYS_BYTES = 4_096  # that end an answer which goes on until then


class Caller:
    """One client of a stats socket."""

    def __init__(
        self, connection: socket.socket, client: Client, name: str = "", *, silent: bool = False
    ) -> None:
        """Named by what the kernel knows of it, without another `name`.

        A `silent` one has said all that it will say: its FIN is no wish to end an answer.
        """
        self.name = name or client_name(connection)
        self.client = client
        self.changes: list[str] = []  # that its command has made, as `weight 10 -> 20`
        self._connection = connection
        self._silent = silent

    def told(self, order: str) -> str:
        """An order that was obeyed, with its client and what it has changed."""
        changes = ", ".join(self.changes)
        return f"order of {self.name}: {order}" + (f" [{changes}]" if changes else "")

    async def heard(self, seconds: float) -> bool:
        """Wait for so long: whether the client has sent something, or left; it may be put out.

        What it has sent is taken: closed with that unread, the connection would lose the answer.
        """
        if self.client.waited_for_since is None:
            self.client.waited_for()
        if self._silent:
            await asyncio.sleep(seconds)
            return has_left(self._connection)
        loop = asyncio.get_running_loop()
        said = loop.create_future()
        loop.add_reader(self._connection, _hear, said)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await said
        finally:
            loop.remove_reader(self._connection)
        if not said.done() or said.cancelled():
            return False
        with suppress(OSError):
            self._connection.recv(KEYS_BYTES)
        return True


def has_left(connection: socket.socket) -> bool:
    """Whether the other side reads no more either (a Unix socket tells; TCP after a reset)."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def _hear(said: asyncio.Future[None]) -> None:
    if not said.done():
        said.set_result(None)


def client_name(connection: socket.socket) -> str:
    """`uid 0 (pid 4711)` of a local client, by unix(7); the address of another."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid, uid, _ = CREDENTIALS.unpack(raw)
    if uid == NO_USER:
        peer = connection.getpeername()
        return f"{peer[0]}:{peer[1]}"
    return f"uid {uid} (pid {pid})"


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)


def note_change(what: str, before: object, after: object) -> None:
    """Note for the list of events what a command has changed, if anything."""
    caller = CALLER.get()
    if caller is not None and before != after:
        caller.changes.append(f"{what} {before} -> {after}")
