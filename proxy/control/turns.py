"""Work in portions: between two turns of the loop one portion of one answer is done, whose ever.

So the time until everything else has its turn, the heartbeat before all, does not depend on how
much is asked, nor on how many ask at the same time. Who wants to go on queues up.

The core is given way as well. A relay that wakes on it while control runs would wait for the tick
of the scheduler, up to 4 ms, and its clients with it. So control sleeps for a moment after each
CORE_NS of its own work. To yield instead (sched_yield(2)) forfeits a whole slice in newer kernels:
beside others that want the core, answers would take six times as long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import islice
from typing import TypeVar

from proxy.control.command import Flush, Pause, Piece
from proxy.control.limits import (
    ANSWER_CHUNK_BYTES,
    CORE_MOMENT_SECONDS,
    CORE_NS,
    PIECES_AT_ONCE,
)

Part = TypeVar("Part")


async def whole(pause: Pause) -> None:
    """Wait for a pause, whoever leaves meanwhile."""
    await pause.over()


def considerate(parts: Iterator[Part]) -> Iterator[Part]:
    """The same parts; the core is given way after each CORE_NS that this thread has used."""
    used = time.thread_time_ns()
    for part in parts:
        yield part
        if time.thread_time_ns() - used >= CORE_NS:
            time.sleep(CORE_MOMENT_SECONDS)  # tidy: for others on this core, not for an event
            used = time.thread_time_ns()


def portion(pieces: Iterator[Piece]) -> tuple[list[Piece], bool]:
    """The next pieces: so many, so many bytes, or up to a pause; whether they are the last."""
    taken: list[Piece] = []
    size = 0
    for piece in islice(pieces, PIECES_AT_ONCE):
        taken.append(piece)
        if not isinstance(piece, str):
            return taken, False
        size += len(piece)
        if size >= ANSWER_CHUNK_BYTES:
            return taken, False
    return taken, len(taken) < PIECES_AT_ONCE


class PortionTurn:
    """One portion's turn: the next one, of whomever, comes after everything else had its own."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock

    async def __aenter__(self) -> None:
        """Wait for the turn."""
        await self._lock.acquire()

    async def __aexit__(self, *_raised: object) -> None:
        """Let the loop turn before the next one; what was made goes out meanwhile."""
        asyncio.get_running_loop().call_soon(self._lock.release)


class Turns:
    """Whose turn it is, of all answers of the process."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # first come, first served

    def turn(self) -> PortionTurn:
        """What one portion is done in."""
        return PortionTurn(self._lock)

    async def chunks(
        self, pieces: Iterator[Piece], wait: Callable[[Pause], Awaitable[None]] = whole
    ) -> AsyncGenerator[bytes, None]:
        """Join small pieces of text into chunks of about ANSWER_CHUNK_BYTES; `wait` for pauses."""
        pieces = considerate(pieces)
        waiting: list[bytes] = []
        size = 0
        ended = False
        while not ended:
            async with self.turn():
                taken, ended = portion(pieces)
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
        parts = considerate(parts)
        while True:
            async with self.turn():
                part = next(parts, None)
            if part is None:
                return
            yield part

    async def work(self, steps: Iterator[None]) -> None:
        """Do all steps of something, each of which costs about as much as a row."""
        steps = considerate(steps)
        done = False
        while not done:
            async with self.turn():
                done = len(list(islice(steps, PIECES_AT_ONCE))) < PIECES_AT_ONCE
