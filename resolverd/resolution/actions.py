"""The actions and results that a resolution returns. Only types."""

from __future__ import annotations

import msgspec

from resolverd.dns.answer import Address, Answer, Question, Status
from resolverd.resolution.run_outcomes import TypeOutcome

NO_ANSWER = Answer(Status.TIMEOUT)


class Ask(msgspec.Struct, frozen=True):
    """Ask all nameservers of the section."""

    question: Question


class Abandoned(msgspec.Struct, frozen=True):
    """The search list has moved to its next name: later answers about the former are outdated."""


class Unanswered(msgspec.Struct, frozen=True):
    """An attempt has timed out at these nameservers."""

    nameservers: tuple[str, ...]


class Gained(msgspec.Struct, frozen=True):
    """One of two merged types is answered; an attempt at the other has failed and is repeated."""

    outcome: TypeOutcome


class Finished(msgspec.Struct, frozen=True):
    """A run has ended; with VALID, `answer` is that of `nameserver`.

    After a failure `answer` has the addresses of truncated replies, if any, and `nameserver` is the
    last that sent some. `outcomes` has the preferred type first.
    """

    status: Status
    answer: Answer = NO_ANSWER
    nameserver: str = ""
    outcomes: tuple[TypeOutcome, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the answer."""
        return self.answer.addresses


Action = Ask | Abandoned | Unanswered | Gained | Finished
