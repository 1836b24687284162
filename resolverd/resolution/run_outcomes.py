"""The outcome of one run for each type. Pure.

Owns the rule that makes one outcome of several replies about a type: the first valid answer stands;
of failures NODATA stands, because it is a statement that the type has no records, otherwise the
last counts; no reply at all is TIMEOUT. The addresses of cut replies are kept with it. Knows no
order of questions and no time.
"""

from __future__ import annotations

import msgspec

from resolverd.config import Family
from resolverd.dns.answer import Address, Answer, QueryType, Status

FAMILY_OF = {QueryType.A: Family.IPV4, QueryType.AAAA: Family.IPV6, QueryType.SRV: Family.NONE}


class TypeOutcome(msgspec.Struct, frozen=True):
    """The outcome of a run for one type: `addresses` are those of the valid answer, or of cut ones.

    `nameserver` sent them, the last of several.
    """

    query_type: QueryType
    status: Status = Status.TIMEOUT
    addresses: tuple[Address, ...] = ()
    nameserver: str = ""

    @property
    def family(self) -> Family:
        """The family that the type asks for."""
        return FAMILY_OF[self.query_type]


_TIMEOUTS = {query_type: TypeOutcome(query_type) for query_type in QueryType}


class RunOutcomes:
    """The outcomes of a run, in the order in which the types were first asked for."""

    def __init__(self) -> None:
        self._outcomes: dict[QueryType, TypeOutcome] = {}
        self._valid: dict[QueryType, Answer] = {}

    def clear(self) -> None:
        """Drop all outcomes, for a new run or another name."""
        self._outcomes = {}
        self._valid = {}

    def asked(self, query_type: QueryType) -> None:
        """A question of this type is sent."""
        self._outcomes.setdefault(query_type, _TIMEOUTS[query_type])

    def note(self, query_type: QueryType, nameserver: str, answer: Answer) -> None:
        """Apply a reply to one of the questions."""
        former = self._outcomes[query_type]
        status, addresses = answer.status, answer.addresses
        if former.status is Status.VALID:
            return
        if status is Status.VALID:
            self._valid[query_type] = answer
        else:
            if former.status is Status.NODATA:
                status = Status.NODATA
            if not addresses:
                nameserver = former.nameserver
            addresses = tuple(dict.fromkeys(former.addresses + addresses))
        self._outcomes[query_type] = TypeOutcome(query_type, status, addresses, nameserver)

    def prefer(self, query_type: QueryType) -> None:
        """If this type has a valid answer, drop the outcome of the other."""
        if query_type in self._valid:
            self._valid = {query_type: self._valid[query_type]}
            self._outcomes = {query_type: self._outcomes[query_type]}

    def of(self, query_type: QueryType) -> TypeOutcome:
        """The outcome of a type that was asked; KeyError for another one."""
        return self._outcomes[query_type]

    def outcomes(self) -> tuple[TypeOutcome, ...]:
        """One for each type that was asked."""
        return tuple(self._outcomes.values())

    def denied(self, verdict: Status) -> tuple[TypeOutcome, ...]:
        """The outcomes when no name of a search list exists: each has the verdict."""
        return tuple(
            msgspec.structs.replace(each, status=verdict) for each in self._outcomes.values()
        )

    @property
    def has_valid(self) -> bool:
        """Whether some type has a valid answer."""
        return bool(self._valid)

    def answer(self, *, merges: bool) -> Answer | None:
        """The valid answer; `merges` joins those of all types and the addresses of cut replies."""
        if not merges or not self._valid:
            return next(iter(self._valid.values()), None)
        outcomes = self._outcomes.values()
        return Answer(
            Status.VALID,
            tuple(address for each in outcomes for address in each.addresses),
            partial=any(each.addresses and each.status is not Status.VALID for each in outcomes),
            ttl_s=min(answer.ttl_s for answer in self._valid.values()),
        )
