"""Checks under way of one process: a descriptor of each in one epoll set, and its deadline.

Owns which are under way and when each runs out of time. How a check begins, goes on and ends is its
kind's: connects (check.py) in workers, programs (proxy/runner/programs.py) in the runner. Knows
neither servers nor health.
"""

from __future__ import annotations

import heapq
import select
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from proxy.health.dialect.seam import Dialect, Result
from proxy.health.rise_fall import Outcome

if TYPE_CHECKING:
    from proxy.health.check import Plan

DURATION_US_MAX = (1 << 32) - 1  # of a record: longer ones are shown as 71 minutes
STALE_ENTRIES_MAX = 64  # of the heap, beyond one for each check: then it is rebuilt


class CheckUnderWay(Protocol):
    """One check under way."""

    deadline_ms: int  # CLOCK_MONOTONIC

    @property
    def slot(self) -> int:
        """Of the server."""

    @property
    def began_ms(self) -> int:
        """When it began, CLOCK_MONOTONIC in milliseconds."""

    @property
    def descriptor(self) -> int:
        """What is watched of it; -1 for none."""


A = TypeVar("A", bound=CheckUnderWay)


class Attempts(ABC, Generic[A]):
    """The checks under way, of one kind; their number is the user's care.

    Deadlines are in a heap; entries of checks that have ended or have another deadline are skipped
    when they come up.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._checks: dict[int, A] = {}  # by descriptor
        self._deadlines: list[tuple[int, int, A]] = []  # a number: none are equal
        self._entries = 0

    def __len__(self) -> int:
        """Checks under way."""
        return len(self._checks)

    def fileno(self) -> int:
        """Readable when `ended` has something to do."""
        return self._epoll.fileno()

    @abstractmethod
    def begin(self, slot: int, plan: Plan, dialect: Dialect) -> A | Outcome:
        """Start a check; an `Outcome` when it failed on the spot."""

    @abstractmethod
    def ended(self, events_max: int) -> list[tuple[A, Outcome]]:
        """Go on where something happened, so often at most; the checks that ended by it."""

    @abstractmethod
    def expired(self, now_ms: int, checks_max: int) -> list[tuple[A, Outcome]]:
        """The checks whose time was up at `now_ms`, ended; so many at most."""

    @abstractmethod
    def abandon(self, check: A) -> None:
        """Give up a check, ended or not."""

    def next_deadline_ms(self) -> int | None:
        """When the first check under way runs out of time; None when there is none."""
        while self._deadlines:
            if self._is_valid(self._deadlines[0]):
                return self._deadlines[0][0]
            heapq.heappop(self._deadlines)
        return None

    def close(self) -> None:
        """Give up everything under way."""
        for check in list(self._checks.values()):
            self.abandon(check)
        self._epoll.close()

    def _limit(self, check: A, deadline_ms: int) -> None:
        """Let the check end at the deadline."""
        check.deadline_ms = deadline_ms
        self._entries += 1
        heapq.heappush(self._deadlines, (deadline_ms, self._entries, check))
        if len(self._deadlines) > 2 * len(self._checks) + STALE_ENTRIES_MAX:
            self._deadlines = [entry for entry in self._deadlines if self._is_valid(entry)]
            heapq.heapify(self._deadlines)

    def _is_valid(self, entry: tuple[int, int, A]) -> bool:
        """Whether it is the deadline of a check under way; a closed descriptor is -1."""
        deadline_ms, _, check = entry
        return deadline_ms == check.deadline_ms and check.descriptor in self._checks

    def _take_expired(self, now_ms: int) -> A | None:
        """Remove and return the next check whose time was up at `now_ms`."""
        deadline_ms = self.next_deadline_ms()
        if deadline_ms is None or deadline_ms > now_ms:
            return None
        return heapq.heappop(self._deadlines)[2]


def outcome_of(result: Result, began_ns: int) -> Outcome:
    """The outcome of a check that ends now."""
    duration_us = min((time.monotonic_ns() - began_ns) // 1_000, DURATION_US_MAX)
    status, code, description, own_fault, logged = result
    return Outcome(status, code, duration_us, description, own_fault, logged)
