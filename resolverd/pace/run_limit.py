"""How many runs of one `resolvers` section go on at once, and who is next. Pure.

Each run has one question at a time at each nameserver, or one for each family where it merges them,
so the limit bounds the questions in flight there. Between two tries, when all nameservers have
answered with an error, it has none, and no place. Who finds no place waits; the urgent go first,
then names whose last run was valid. Names that fail take long, because they are asked again and
again: they have half of the places at most, so that they keep no good name waiting, and one at
least. Otherwise it is first come, first served, and nobody overtakes one who needs two places.
"""

from __future__ import annotations

import enum
from collections import deque

RUNS_MAX = 256  # questions in flight at one nameserver: what a small one is sure to take
FAILING_PART = 2  # failing names have one part of so many


class Turn(enum.IntEnum):
    """Who comes before whom."""

    URGENT = 0  # never resolved, or asked for by a failed connect
    VALID = 1  # the last run was
    FAILING = 2  # the last run was not


class Places:
    """Places for runs, by key."""

    def __init__(self, limit: int) -> None:
        """All places are free."""
        self._limit = limit
        self._free = limit  # below 0 while one who needs more than there are goes on alone
        self._failing = 0  # places that failing names have
        self._taken: dict[int, tuple[Turn, int]] = {}  # key -> whose turn, how many places
        self._waiting: dict[int, tuple[Turn, int]] = {}
        self._queues: dict[Turn, deque[int]] = {turn: deque() for turn in Turn}

    def __len__(self) -> int:
        """How many places are taken."""
        return self._limit - self._free

    def waits(self, key: int) -> bool:
        """Whether the key waits for a place."""
        return key in self._waiting

    def enter(self, key: int, turn: Turn, *, places: int = 1) -> bool:
        """Take so many places, True if the key has them now; else it waits for `leave`."""
        if key in self._taken:
            return True
        if not self._waiting and self._fits(turn, places):  # nearly always
            self._take(key, turn, places)
            return True
        waits = self._waiting.get(key)
        if waits is None or turn < waits[0]:
            self._waiting[key] = (turn, places)
            self._queues[turn].append(key)
        return key in self._admit()

    def leave(self, key: int) -> list[int]:
        """Give the places back or stop waiting; the keys that have got places by that."""
        waited = self._waiting.pop(key, None)
        if key in self._taken:
            turn, places = self._taken.pop(key)
            self._free += places
            self._failing -= places if turn is Turn.FAILING else 0
        elif waited is None:
            return []
        return self._admit() if self._waiting else []

    def _fits(self, turn: Turn, places: int) -> bool:
        if not self._taken:
            return True
        if turn is Turn.FAILING and self._failing + places > self._limit // FAILING_PART:
            return False
        return places <= self._free

    def _take(self, key: int, turn: Turn, places: int) -> None:
        self._taken[key] = turn, places
        self._free -= places
        self._failing += places if turn is Turn.FAILING else 0

    def _admit(self) -> list[int]:
        """Let in whoever is next, as long as there is room."""
        admitted: list[int] = []
        while (turn := self._next_turn()) is not None:
            key = self._queues[turn].popleft()
            self._take(key, turn, self._waiting.pop(key)[1])
            admitted.append(key)
        return admitted

    def _next_turn(self) -> Turn | None:
        """Whose queue is next; None if the first who waits there has to wait on."""
        turns = [turn for turn in Turn if self._first(turn) is not None]
        if self._failing == 0 and Turn.FAILING in turns and Turn.URGENT not in turns:
            places = self._first(Turn.FAILING) or 0
            if places <= self._limit // FAILING_PART and places <= self._free:
                return Turn.FAILING
        if not turns:
            return None
        turn = turns[0]
        return turn if self._fits(turn, self._first(turn) or 0) else None

    def _first(self, turn: Turn) -> int | None:
        """How many places the first in that queue needs; None if nobody is there."""
        queue = self._queues[turn]
        while queue:
            waits = self._waiting.get(queue[0])
            if waits is not None and waits[0] is turn:
                return waits[1]
            queue.popleft()  # it has left, or come again as more urgent, since
        return None
