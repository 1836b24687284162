"""Types of the compiled module; its documentation is in attempts.pyx."""

import select
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from proxy.health.check import Plan
from proxy.health.dialect.seam import Dialect, Result
from proxy.health.judgement import Outcome

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
    _epoll: select.epoll
    _checks: dict[int, A]

    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def fileno(self) -> int: ...
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

    def next_deadline_ms(self) -> int | None: ...
    def close(self) -> None: ...
    def _limit(self, check: A, deadline_ms: int) -> None: ...
    def _take_expired(self, now_ms: int) -> A | None: ...

def outcome_of(result: Result, began_ns: int) -> Outcome: ...
