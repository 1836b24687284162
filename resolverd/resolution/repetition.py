"""What is known of runs that were repeated without the state machine. Only types.

A run whose answer changes nothing may be repeated by the transport (transport/repeats.pyx), as long
as each reply says the same. Before a name is looked at again, its state machine is shown the last
of these runs: the others have left no trace but their number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from resolverd.config import Family
from resolverd.dns.answer import Answer, Question


class Repeatable(msgspec.Struct, frozen=True):
    """The run of a name that is to be repeated: its only question, and the answer."""

    question: Question
    answer: Answer
    family: Family
    due_ms: int  # when the next run begins
    shortest_ms: int  # the pause after a run at least
    least_ms: int  # and the bounds of the time to live that it follows, without its jitter
    most_ms: int


class Repeated(msgspec.Struct, frozen=True):
    """The runs of a name that were repeated since it was given away, and the one that is open.

    The last of `runs` began at `begun_ms`, and ended at `ended_ms` by the `answer` of `nameserver`
    with this time to live. `heard` has the time of each nameserver's last answer. `asked_ms` is
    when the open run began, None without one; its question has not reached the nameservers
    `unsent`; `batch` has its place in the run limit, and `is_last` says that it has no other run.
    """

    question: Question
    answer: Answer
    runs: int
    begun_ms: int
    ended_ms: int
    nameserver: str
    ttl_s: int
    heard: tuple[tuple[str, int], ...]
    due_ms: int
    asked_ms: int | None
    unsent: tuple[str, ...]
    batch: int
    is_last: bool


# of an ended run: key and family of its name, its end, its bucket and length in milliseconds
Note = Callable[[int, int, int, int, int], None]


class RepeatReceiver(Protocol):
    """Who decides about repeated runs."""

    def begins(self, section: str, batch: int, runs: int, now_ms: int) -> bool:
        """Whether so many runs that are due may begin; if not, their names are given back."""

    def ended(self, section: str, batch: int, now_ms: int) -> None:
        """All runs of a batch have ended, or are no repeated ones any more."""

    def heard(self, section: str, nameserver: str, now_ms: int) -> None:
        """A nameserver that has left an attempt unanswered has answered."""

    def returned(self, key: int) -> None:
        """A name is to be taken back."""

    def settled(self) -> None:
        """Runs have ended, or names were given back: the next deadline may be another."""
