"""One line of commands for a generation: handed to control, its answer passed on as it comes.

Each line has a stream of its own (proxy/control/call.py), so a conversation with the master never
depends on the life of a control: one that dies ends an answer, and the next line finds the next.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator

from proxy.control.call import MasterCall, encode, hand_over
from proxy.control.command import FLUSH, CommandError, Piece, Vigil
from proxy.control.limits import (
    ANSWER_CHUNK_BYTES,
    CALL_LOOK_SECONDS,
    CALL_SECONDS_MAX,
    CALLED_PID_BYTES_MAX,
)

SILENT = "No answer from this process: it is being replaced; please try again."
PID = re.compile(rb"([0-9]*)\n")


class NoSuchProcessError(Exception):
    """No generation that lives has a process with this pid."""


class CallStream(Vigil):
    """The stream of one call, as a pause: `over` returns when the next bytes of it are there.

    `pid` is what the process is shown with, `received` what has come since it was taken last.
    """

    def __init__(self, calls: socket.socket, call: MasterCall, text: bytes, *, idle: bool) -> None:
        """`idle`: the answer is a wait, whose client gives up its place where others want one."""
        self.idle = idle
        self._calls = calls
        self._call = encode(call)
        self._text = text
        self._stream: socket.socket | None = None
        self._error: Exception | None = None
        self.pid: int | None = None
        self.received = b""
        self.ended = False

    async def over(self) -> None:
        """Receive more, at first the pid; `ended` when no more comes."""
        loop = asyncio.get_running_loop()
        if self._stream is None:
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    await self._begin()
            except (TimeoutError, OSError):
                self._error = CommandError(SILENT)
            except NoSuchProcessError as error:
                self._error = error
            return
        try:
            self.received = await loop.sock_recv(self._stream, ANSWER_CHUNK_BYTES)
        except OSError:  # control has died
            self.received = b""
        self.ended = not self.received

    async def _begin(self) -> None:
        """Hand the other end over, hear what answers, and ask. Raises NoSuchProcessError."""
        loop = asyncio.get_running_loop()
        self._stream, theirs = socket.socketpair()
        with theirs:
            self._stream.setblocking(False)
            await self._queue(theirs)
        await loop.sock_sendall(self._stream, self._call)
        said = b""
        while (found := PID.match(said)) is None:
            more = await loop.sock_recv(self._stream, CALLED_PID_BYTES_MAX)
            if not more:
                raise ConnectionAbortedError("the call was not taken")
            said += more
        if not found[1]:
            raise NoSuchProcessError
        await loop.sock_sendall(self._stream, self._text)
        self._stream.shutdown(socket.SHUT_WR)
        self.pid, self.received = int(found[1]), said[found.end() :]

    def check(self) -> None:
        """Raises CommandError: nothing took the call; NoSuchProcessError."""
        if self._error is not None:
            raise self._error

    async def _queue(self, theirs: socket.socket) -> None:
        while True:
            try:
                hand_over(self._calls, theirs)
            except BlockingIOError:
                await asyncio.sleep(CALL_LOOK_SECONDS)
            else:
                return

    def close(self) -> None:
        """End the call; control gives up what it does for it."""
        if self._stream is not None:
            self._stream.close()


def relayed(stream: CallStream) -> Iterator[Piece]:
    """The pieces of an answer. Raises as `CallStream.check`, before the first piece of text."""
    try:
        while not stream.ended:
            yield stream
            stream.check()
            if stream.received:
                yield stream.received.decode(errors="surrogateescape")
                yield FLUSH  # more may come much later
    finally:
        stream.close()
