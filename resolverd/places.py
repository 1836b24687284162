"""How many runs of one `resolvers` section go on at once, and who is next. Pure.

Each run has one question at a time at each nameserver, or one for each family where it merges them,
so the limit bounds the questions in flight there. Who finds no place waits; the urgent go first,
otherwise it is first come, first served, and nobody overtakes one who needs two places.
"""

from __future__ import annotations

from collections import deque

RUNS_MAX = 256  # questions in flight at one nameserver: what a small one is sure to take


class Places:
    """Places for runs, by key."""

    def __init__(self, limit: int) -> None:
        """All places are free."""
        self._limit = limit
        self._free = limit  # below 0 while one who needs more than there are goes on alone
        self._taken: dict[int, int] = {}  # key -> how many places
        self._waiting: dict[int, tuple[bool, int]] = {}  # key -> urgent, how many places
        self._queues: tuple[deque[int], deque[int]] = (deque(), deque())  # the urgent first

    def __len__(self) -> int:
        """How many places are taken."""
        return self._limit - self._free

    def waits(self, key: int) -> bool:
        """Whether the key waits for a place."""
        return key in self._waiting

    def enter(self, key: int, *, urgent: bool, places: int = 1) -> bool:
        """Take so many places, True if the key has them now; else it waits for `leave`."""
        if key in self._taken:
            return True
        if not self._waiting and self._fits(places):  # nearly always
            self._take(key, places)
            return True
        waits = self._waiting.get(key)
        if waits is None or (urgent and not waits[0]):
            self._waiting[key] = (urgent, places)
            self._queues[0 if urgent else 1].append(key)
        return key in self._admit()

    def leave(self, key: int) -> list[int]:
        """Give the places back or stop waiting; the keys that have got places by that."""
        waited = self._waiting.pop(key, None)
        if key in self._taken:
            self._free += self._taken.pop(key)
        elif waited is None:
            return []
        return self._admit() if self._waiting else []

    def _fits(self, places: int) -> bool:
        return places <= self._free or not self._taken

    def _take(self, key: int, places: int) -> None:
        self._taken[key] = places
        self._free -= places

    def _admit(self) -> list[int]:
        """Let in whoever is next, as long as there is room."""
        admitted: list[int] = []
        for urgent, queue in zip((True, False), self._queues, strict=True):
            while queue:
                key = queue[0]  # it may have left, or come again as urgent, since
                waits = self._waiting.get(key)
                if waits is None or waits[0] is not urgent:
                    queue.popleft()
                    continue
                if not self._fits(waits[1]):
                    return admitted
                queue.popleft()
                del self._waiting[key]
                self._take(key, waits[1])
                admitted.append(key)
        return admitted
