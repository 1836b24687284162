"""What a resolution wants done, and what it has to tell. Pure; only types."""

from __future__ import annotations

import msgspec

from resolverd.dns.answer import Address, Answer, Question, Status
from resolverd.resolution.run_outcomes import Outcome

NO_ANSWER = Answer(Status.TIMEOUT)


class Send(msgspec.Struct, frozen=True):
    """Ask all nameservers of the section."""

    question: Question


class Abandoned(msgspec.Struct, frozen=True):
    """The name that was asked for is given up for another: what still answers it is late."""


class Unanswered(msgspec.Struct, frozen=True):
    """The time-out of an attempt has passed and these nameservers have not answered it."""

    nameservers: tuple[str, ...]


class Gained(msgspec.Struct, frozen=True):
    """One type is answered while an attempt at the other has failed, which is asked for again."""

    outcome: Outcome


class Finished(msgspec.Struct, frozen=True):
    """A run has ended; with VALID come the answer and the nameserver that gave it.

    After a failure `answer` holds the addresses that truncated replies brought, if any, and
    `nameserver` is the last that sent some. `outcomes` has the preferred type first.
    """

    status: Status
    answer: Answer = NO_ANSWER
    nameserver: str = ""
    outcomes: tuple[Outcome, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the answer."""
        return self.answer.addresses


Action = Send | Abandoned | Unanswered | Gained | Finished
