"""Scrapes, shared by all requests for the same before one begins; a few are kept at a time.

Each holds a snapshot of all rows, for as long as a request still reads from it. When all places are
taken, the next request shares the one that begins as soon as a place is free; readers that take
nothing lose theirs then (places.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.control.metrics.scrape import Scrape, Selection
from proxy.control.places import Client, Places
from proxy.control.turns import Turns


class Snapshot:
    """One scrape and its readers."""

    def __init__(self, scrape: Scrape) -> None:
        self.scrape = scrape
        self.readers: set[Client] = set()
        self.begun: asyncio.Task[None] | None = None

    @property
    def waited_for_since(self) -> float | None:
        """Since when all its readers have taken nothing."""
        moments = [reader.waited_for_since for reader in self.readers]
        since = [moment for moment in moments if moment is not None]
        return max(since) if since and len(since) == len(moments) else None

    def put_out(self) -> None:
        """End all its readers; the last of them gives the place back."""
        for reader in self.readers:
            reader.put_out()


class Snapshots:
    """Takes scrapes, `places_max` at a time."""

    def __init__(self, places_max: int, turns: Turns, make: Callable[[Selection], Scrape]) -> None:
        self._places = Places(places_max)
        self._turns = turns
        self._make = make
        self._next: dict[Selection, Snapshot] = {}  # that have not begun

    @asynccontextmanager
    async def read(self, selection: Selection, reader: Client) -> AsyncIterator[Scrape]:
        """A scrape that begins after this was called; whatever it fails with is raised."""
        snapshot = self._next.get(selection)
        if snapshot is None:
            snapshot = self._next[selection] = Snapshot(self._make(selection))
            snapshot.begun = asyncio.create_task(self._take(selection, snapshot))
        snapshot.readers.add(reader)
        try:
            assert snapshot.begun is not None
            await asyncio.shield(snapshot.begun)  # others wait for it, too
            yield snapshot.scrape
        finally:
            snapshot.readers.discard(reader)
            if not snapshot.readers:
                self._end(selection, snapshot)

    async def _take(self, selection: Selection, snapshot: Snapshot) -> None:
        await self._places.take(snapshot)
        del self._next[selection]
        await self._turns.work(snapshot.scrape.take())

    def _end(self, selection: Selection, snapshot: Snapshot) -> None:
        """No request reads it: give up what has not begun, and the place of what has."""
        assert snapshot.begun is not None
        if self._next.get(selection) is snapshot:
            del self._next[selection]
        snapshot.begun.cancel()
        self._places.leave(snapshot)
