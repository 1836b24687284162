"""Work in portions: between two turns of the loop one portion of one answer is done, whose ever.

So the time until everything else has its turn, the heartbeat before all, does not depend on how
much is asked, nor on how many ask at the same time. Who wants to go on queues up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice

from proxy.control.command import Flush, Pause, Piece
from proxy.control.limits import ANSWER_CHUNK_BYTES, PIECES_AT_ONCE


async def whole(pause: Pause) -> None:
    """Wait for a pause, whoever leaves meanwhile."""
    await pause.over()


def portion(pieces: Iterator[Piece]) -> list[Piece]:
    """The next pieces: so many, so many bytes, or up to a pause."""
    taken: list[Piece] = []
    size = 0
    for piece in islice(pieces, PIECES_AT_ONCE):
        taken.append(piece)
        if not isinstance(piece, str):
            break
        size += len(piece)
        if size >= ANSWER_CHUNK_BYTES:
            break
    return taken


class Turns:
    """Whose turn it is, of all answers of the process."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # first come, first served

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Do one portion; the next one, of whomever, comes after everything else had its turn."""
        async with self._lock:
            yield
            await asyncio.sleep(0)

    async def chunks(
        self, pieces: Iterator[Piece], wait: Callable[[Pause], Awaitable[None]] = whole
    ) -> AsyncGenerator[bytes, None]:
        """Join small pieces of text into chunks of about ANSWER_CHUNK_BYTES; `wait` for pauses."""
        waiting: list[bytes] = []
        size = 0
        while True:
            async with self.turn():
                taken = portion(pieces)
            if not taken:
                break
            for piece in taken:
                if isinstance(piece, str):
                    waiting.append(piece.encode(errors="surrogateescape"))  # as servers said it
                    size += len(waiting[-1])
                elif isinstance(piece, Flush):
                    yield b"".join(waiting)
                    waiting, size = [], 0
                else:
                    await wait(piece)
            if size >= ANSWER_CHUNK_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
        if waiting:
            yield b"".join(waiting)

    async def parts(self, parts: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Parts of an answer that are large already, one in a turn."""
        while True:
            async with self.turn():
                part = next(parts, None)
            if part is None:
                return
            yield part

    async def work(self, steps: Iterator[None]) -> None:
        """Do all steps of something, each of which costs about as much as a row."""
        done = False
        while not done:
            async with self.turn():
                done = len(list(islice(steps, PIECES_AT_ONCE))) < PIECES_AT_ONCE
