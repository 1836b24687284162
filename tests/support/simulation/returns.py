"""How often records left the servers and came back to them, counted by looking at the servers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from resolverd.assignment.departures import REMEMBERED_MS

if TYPE_CHECKING:
    from tests.support.simulation.simulation import World

NEVER_MS = -(1 << 60)


class Returns:
    """How often records of one name came back, as far as the servers show it.

    A record may be back for a while before a server is free for it: what the servers show is the
    least that must have been counted since resolverd has started.
    """

    def __init__(self, world: World, index: int) -> None:
        self._world, self._index = world, index
        self._counted = self._least = 0
        self._departed_ms: dict[Hashable, int] = {}

    def restarted(self) -> None:
        """What a predecessor had seen leave is forgotten, not what it counted."""
        self._counted = self._least = self._world.board.resolution(self._index)["returns"]
        self._departed_ms.clear()

    def look(self) -> None:
        """A cut answer may have brought some back."""
        self._counted = self._world.board.resolution(self._index)["returns"]

    def ended(self, before: set[Hashable], after: set[Hashable], seen: set[Hashable]) -> None:
        """A valid answer: which records servers had before, which they have after."""
        now_ms = self._world.now_ms
        for record in (after - before) & seen:
            left_ms = self._departed_ms.pop(record, NEVER_MS)
            self._least += left_ms + REMEMBERED_MS > now_ms
        for record in before - after - seen:
            self._departed_ms[record] = now_ms
        former = self._counted
        self.look()
        assert former <= self._counted <= former + len(seen), "counted what was not back"
        assert self._least <= self._counted, "a record that came back was not counted"
