"""The limit of concurrent runs of one `resolvers` section, and the order of waiting names. Pure.

Each run has one question at a time at each nameserver, or one for each family where it merges them,
so the limit bounds the questions that lie in a nameserver's queue. Between two tries, when all
nameservers have answered with an error, a run has no question and no place. A question without an
answer for HELD_MS lies in no queue any more: where others wait, its run goes on without a place, or
many names that get no answer would keep the others waiting, each for all its tries. A name without
a place waits: first urgent names, then those whose last run was valid. Failing names have at most
half of the places, so that they do not delay the others, and at least one. Among equals the order
is first in, first out; a name that needs two places is not overtaken.
"""

from __future__ import annotations

import enum
from collections import deque

RUNS_MAX = 256  # questions in flight at one nameserver: what a small one is sure to take
HELD_MS = 250  # longer than the way to most nameservers and back
FAILING_PART = 2  # failing names have the limit divided by this


class Turn(enum.IntEnum):
    """The class of a waiting name; lower ones go first."""

    URGENT = 0  # never resolved, or asked for by a failed connect
    VALID = 1  # the last run was valid
    FAILING = 2  # the last run failed


class RunLimit:
    """The places of open runs, by key, and the queues of waiting ones."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit  # below 0 while a run that needs more than the limit is the only one
        self._failing = 0  # places that failing names have
        self._taken: dict[int, tuple[Turn, int]] = {}  # key -> class, places
        self._asked_ms: dict[int, int] = {}  # those of them that have entered: since when, in order
        self._waiting: dict[int, tuple[Turn, int]] = {}
        self._queues: dict[Turn, deque[int]] = {turn: deque() for turn in Turn}

    def __len__(self) -> int:
        """How many places are taken."""
        return self.limit - self._free

    def waits(self, key: int) -> bool:
        """Whether the key waits for a place."""
        return key in self._waiting

    @property
    def release_ms(self) -> int | None:
        """When `release` has something to do; None while no key waits."""
        if not self._waiting or not self._asked_ms:
            return None
        return next(iter(self._asked_ms.values())) + HELD_MS

    def enter(self, key: int, turn: Turn, now_ms: int, *, places: int = 1) -> bool:
        """Take `places`; True if the key has them now and asks, else it waits.

        It enters again when `leave` or `release` has returned it.
        """
        if key not in self._taken and not self._waiting and self._fits(turn, places):
            self._take(key, turn, places)  # nearly always
        if key in self._taken:
            self._asked_ms.pop(key, None)
            self._asked_ms[key] = now_ms
            return True
        waits = self._waiting.get(key)
        if waits is None or turn < waits[0]:
            self._waiting[key] = (turn, places)
            self._queues[turn].append(key)
        if key in self._admit():
            self._asked_ms[key] = now_ms
        return key in self._taken

    def leave(self, key: int) -> list[int]:
        """Release the key's places, or its wait; returns the keys admitted by that."""
        waited = self._waiting.pop(key, None)
        if key in self._taken:
            self._give(key)
        elif waited is None:
            return []
        return self._admit() if self._waiting else []

    def pass_on(self, batch: int, key: int) -> None:
        """Give a key one of the places of a batch, if that still has them."""
        taken = self._taken.get(batch)
        if taken is None:
            return  # they were released: the run goes on without one
        turn, places = taken
        self._taken[key] = turn, 1
        self._asked_ms[key] = self._asked_ms[batch]
        if places > 1:
            self._taken[batch] = turn, places - 1
        else:
            del self._taken[batch], self._asked_ms[batch]

    def release(self, now_ms: int) -> list[int]:
        """Where keys wait, release places of those that asked HELD_MS ago; the keys admitted."""
        admitted: list[int] = []
        while (due_ms := self.release_ms) is not None and due_ms <= now_ms:
            self._give(next(iter(self._asked_ms)))
            admitted += self._admit()
        return admitted

    def _fits(self, turn: Turn, places: int) -> bool:
        if not self._taken:
            return True
        if turn is Turn.FAILING and self._failing + places > self.limit // FAILING_PART:
            return False
        return places <= self._free

    def _take(self, key: int, turn: Turn, places: int) -> None:
        self._taken[key] = turn, places
        self._free -= places
        self._failing += places if turn is Turn.FAILING else 0

    def _give(self, key: int) -> None:
        turn, places = self._taken.pop(key)
        self._asked_ms.pop(key, None)
        self._free += places
        self._failing -= places if turn is Turn.FAILING else 0

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
            if places <= self.limit // FAILING_PART and places <= self._free:
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
