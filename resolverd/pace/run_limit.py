"""The limit of concurrent runs of one `resolvers` section, and the order of waiting names. Pure.

Each run has one question at a time at each nameserver, or one for each family where it merges them,
so the limit bounds the questions in flight there. Between two tries, when all nameservers have
answered with an error, a run has no question and no place. A name without a place waits: first
urgent names, then those whose last run was valid. A failing name keeps its place for long, because
it is asked for again and again: failing names have at most half of the places, so that they do not
delay the others, and at least one. Among equals the order is first in, first out; a name that
needs two places is not overtaken.
"""

from __future__ import annotations

import enum
from collections import deque

RUNS_MAX = 256  # questions in flight at one nameserver: what a small one is sure to take
FAILING_PART = 2  # failing names have the limit divided by this


class Turn(enum.IntEnum):
    """The class of a waiting name; lower ones go first."""

    URGENT = 0  # never resolved, or asked for by a failed connect
    VALID = 1  # the last run was valid
    FAILING = 2  # the last run failed


class RunLimit:
    """The places of open runs, by key, and the queues of waiting ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit  # below 0 while a run that needs more than the limit is the only one
        self._failing = 0  # places that failing names have
        self._taken: dict[int, tuple[Turn, int]] = {}  # key -> class, places
        self._waiting: dict[int, tuple[Turn, int]] = {}
        self._queues: dict[Turn, deque[int]] = {turn: deque() for turn in Turn}

    def __len__(self) -> int:
        """How many places are taken."""
        return self._limit - self._free

    def waits(self, key: int) -> bool:
        """Whether the key waits for a place."""
        return key in self._waiting

    def enter(self, key: int, turn: Turn, *, places: int = 1) -> bool:
        """Take `places`; True if the key has them now, else it waits until `leave` returns it."""
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
        """Release the key's places, or its wait; returns the keys admitted by that."""
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
        """Admit waiting keys in order, until the next one does not fit."""
        admitted: list[int] = []
        while (turn := self._next_turn()) is not None:
            key = self._queues[turn].popleft()
            self._take(key, turn, self._waiting.pop(key)[1])
            admitted.append(key)
        return admitted

    def _next_turn(self) -> Turn | None:
        """The queue to admit from; None if its first key does not fit."""
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
        """The places that the first key of a queue needs; None if the queue is empty."""
        queue = self._queues[turn]
        while queue:
            waits = self._waiting.get(queue[0])
            if waits is not None and waits[0] is turn:
                return waits[1]
            queue.popleft()  # it has left, or waits in a more urgent queue
        return None
