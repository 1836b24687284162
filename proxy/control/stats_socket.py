"""The stats socket: lines in, answers out, then the connection closes (management manual 9.3).

One line of commands per connection, or several when they came together, or any number after
`prompt`. Reading and writing each wait `stats timeout` at most. What a connection can hold is
bounded: a line of COMMAND_LINE_BYTES_MAX and one piece of an answer.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from proxy.control.caller import CALLER, Caller, has_left
from proxy.control.command import Pause, Vigil, wants_payload
from proxy.control.command_line import CommandLine
from proxy.control.limits import (
    ANSWER_CHUNK_BYTES,
    COMMAND_LINE_BYTES_MAX,
    DISCARDED_BYTES_MAX,
    LEFT_LOOK_SECONDS,
    PAYLOAD_BYTES_MAX,
)
from proxy.control.places import Client
from proxy.control.turns import Turns
from proxy.kernel.socket_messages import COMMAND

READ_BYTES = 4_096
Give: TypeAlias = Callable[[socket.socket, float], Awaitable[None]]
_PAYLOAD_END = re.compile(rb"\n\r?\n")


async def send(connection: socket.socket, data: bytes, seconds: float, client: Client) -> None:
    """Send everything, or raise TimeoutError when the reader takes nothing for so long."""
    loop = asyncio.get_running_loop()
    for start in range(0, len(data), ANSWER_CHUNK_BYTES):
        if start != 0:
            await asyncio.sleep(0)  # a fast reader must not keep the heartbeat waiting
        part = data[start : start + ANSWER_CHUNK_BYTES]
        rest = part[send_now(connection, part) :]
        if rest:
            client.waited_for()
            async with asyncio.timeout(seconds):
                await loop.sock_sendall(connection, rest)
            client.served()


def send_now(connection: socket.socket, data: bytes) -> int:
    """Send what there is room for; how many bytes."""
    try:
        return connection.send(data)
    except BlockingIOError:
        return 0


async def discard(connection: socket.socket, seconds: float) -> None:
    """Read what a refused client still sends: closing at once would take the answer from it."""
    loop = asyncio.get_running_loop()
    connection.shutdown(socket.SHUT_WR)
    left = DISCARDED_BYTES_MAX
    async with asyncio.timeout(seconds):
        while left > 0 and (data := await loop.sock_recv(connection, ANSWER_CHUNK_BYTES)):
            left -= len(data)


class StatsConversation:
    """One connection to a stats socket."""

    def __init__(
        self,
        connection: socket.socket,
        client: Client,
        turns: Turns,
        line: CommandLine,
        received: bytes = b"",
        *,
        caller: Caller | None = None,
        give: Give | None = None,
    ) -> None:
        """`received` is what has come before; the `caller` is the other side of the connection.

        `give` sends listening sockets over it, to a program that takes over.
        """
        self.connection = connection
        self.client = client
        self.turns = turns
        self.line = line
        self.received = received
        self.caller = caller or Caller(connection, client)
        self.give = give

    @property
    def timeout_seconds(self) -> float:
        """How long the client may keep us waiting."""
        return self.line.timeout_ms / 1000

    async def serve(self) -> None:
        """Answer lines until the conversation ends; raises TimeoutError or OSError."""
        CALLER.set(self.caller)
        while True:
            text = await self.next_line()
            if text is None:
                return
            payload = await self.next_payload() if wants_payload(text) else None
            if payload is None and wants_payload(text):
                return
            self.client.served()
            if self.give is not None and text.strip() == COMMAND:
                await self.give(self.connection, self.timeout_seconds)
                return
            async for chunk in self.turns.chunks(self.line.answers(text, payload), self.wait):
                await self.send(chunk)
            self.client.answered()
            more = b"\n" in self.received
            if self.line.ended or not (more or (self.line.interactive and not self.client.leaving)):
                return

    async def send(self, data: bytes) -> None:
        """Send a part of an answer."""
        await send(self.connection, data, self.timeout_seconds, self.client)

    async def wait(self, pause: Pause) -> None:
        """Wait for a pause to end; raises ConnectionResetError when the client leaves a `Vigil`.

        A client that only says that it asks no more (a FIN) stays for its answer.
        """
        if not isinstance(pause, Vigil):
            await pause.over()
            return
        if pause.idle:
            self.client.waited_for()
        waiting = asyncio.ensure_future(pause.over())
        try:
            while not waiting.done():
                await asyncio.wait((waiting,), timeout=LEFT_LOOK_SECONDS)
                if not waiting.done() and has_left(self.connection):
                    raise ConnectionResetError
            waiting.result()
        finally:
            waiting.cancel()
            self.client.served()

    async def more(self) -> bool:
        """Receive more; False at the end."""
        try:
            data = self.connection.recv(READ_BYTES)
        except BlockingIOError:
            async with asyncio.timeout(self.timeout_seconds):
                loop = asyncio.get_running_loop()
                data = await loop.sock_recv(self.connection, READ_BYTES)
        self.client.asks()
        self.received += data
        return bool(data)

    async def refuse(self, text: bytes) -> None:
        """Say that something is too long, of which more comes."""
        await self.send(text)
        await discard(self.connection, self.timeout_seconds)

    async def next_payload(self) -> str | None:
        """The lines up to an empty one; None when that does not come."""
        looked = 0
        while not self.received.startswith((b"\n", b"\r\n")):
            ended = _PAYLOAD_END.search(self.received, looked)
            if ended is not None:
                payload = self.received[: ended.start()]
                self.received = self.received[ended.end() :]
                return payload.decode("utf-8", "surrogateescape")
            looked = max(len(self.received) - 2, 0)
            if len(self.received) > PAYLOAD_BYTES_MAX:
                await self.refuse(b"Payload too long.\n\n")
                return None
            if not await self.more():
                return None
        self.received = self.received.partition(b"\n")[2]
        return ""

    async def next_line(self) -> str | None:
        """The next whole line without its end; None when there is none.

        A line that the client did not finish is not a command: half of `weight 100` would be
        another one.
        """
        while b"\n" not in self.received:
            if len(self.received) > COMMAND_LINE_BYTES_MAX:
                await self.refuse(b"Command line too long.\n\n")
                return None
            if not await self.more():
                return None
        self.client.asks()
        line, _, self.received = self.received.partition(b"\n")
        return line.decode("utf-8", "surrogateescape").removesuffix("\r")
