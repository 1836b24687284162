"""A limited number of places: a client that is waited for loses its own to one that wants it.

Waited for is a client that asks nothing, or takes nothing of its answer. So none locks others out
by opening connections, or by asking for large answers, and keeping still. While no other wants a
place, each may keep its own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from proxy.control.limits import PATIENCE_SECONDS


class Holder(Protocol):
    """A client that has a place."""

    @property
    def waited_for_since(self) -> float | None:
        """Loop time since when nothing comes of it; None while that is not its fault."""

    def put_out(self) -> None:
        """End it; it leaves its place soon. Called once."""


class Client:
    """One connection, as its conversation goes on."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.waited_for_since: float | None = None
        self.owed = True  # an answer: newcomers ask at once
        self.begun = False  # something of its question has come
        self.leaving = False  # its conversation ends with the answer that it is owed
        self.waited_for()

    def asks(self) -> None:
        """Something of a question has come."""
        self.owed = self.begun = True

    def answered(self) -> None:
        """It has its answer, and may ask again."""
        self.owed = self.begun = False
        self.waited_for()

    def served(self) -> None:
        """It has asked, or taken what was there for it: now it waits for us."""
        self.waited_for_since = None

    def waited_for(self) -> None:
        """It is to ask, or to take something."""
        self.waited_for_since = asyncio.get_running_loop().time()

    def put_out(self) -> None:
        """End the connection."""
        self.waited_for_since = None
        if self.task is not None:
            self.task.cancel()


class Places:
    """So many places, and the holders of those that are taken."""

    def __init__(self, places_max: int) -> None:
        self._free = asyncio.Semaphore(places_max)
        self._holders: set[Holder] = set()

    async def take(self, holder: Holder) -> None:
        """Wait for a place; at last the holder that has been waited for longest loses its own."""
        loop = asyncio.get_running_loop()
        while self._free.locked():
            oldest = self._oldest()
            since = loop.time() if oldest is None else oldest.waited_for_since or loop.time()
            if await self._freed_by(since + PATIENCE_SECONDS):
                break
            if oldest is not None and oldest.waited_for_since == since:
                oldest.put_out()
                await self._free.acquire()
                break
        else:
            await self._free.acquire()
        self._holders.add(holder)

    async def _freed_by(self, moment: float) -> bool:
        """Take a place that is given back until then, if there is one."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                return await self._free.acquire()
        return False

    def leave(self, holder: Holder) -> None:
        """Give a place back; nothing happens for a holder that has none yet."""
        if holder in self._holders:
            self._holders.remove(holder)
            self._free.release()

    def _oldest(self) -> Holder | None:
        """The holder that has been waited for longest."""
        waited_for = [each for each in self._holders if each.waited_for_since is not None]
        return min(waited_for, key=lambda each: each.waited_for_since or 0.0, default=None)
