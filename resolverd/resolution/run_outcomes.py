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
    """The outcomes of a run, in the order in which the types were first asked for.

    There are two at most, and they stay until the next run: pairs take less memory than mappings.
    """

    __slots__ = ("_outcomes", "_valid")

    def __init__(self) -> None:
        self._outcomes: tuple[TypeOutcome, ...] = ()
        self._valid: tuple[tuple[QueryType, Answer], ...] = ()

    def clear(self) -> None:
        """Drop all outcomes, for a new run or another name."""
        self._outcomes = ()
        self._valid = ()

    def asked(self, query_type: QueryType) -> None:
        """A question of this type is sent."""
        if all(each.query_type is not query_type for each in self._outcomes):
            self._outcomes = (*self._outcomes, _TIMEOUTS[query_type])

    def note(self, query_type: QueryType, nameserver: str, answer: Answer) -> None:
        """Apply a reply to one of the questions."""
        former = self.of(query_type)
        status, addresses = answer.status, answer.addresses
        if former.status is Status.VALID:
            return
        if status is Status.VALID:
            self._valid = (*self._valid, (query_type, answer))
        else:
            if former.status is Status.NODATA:
                status = Status.NODATA
            if not addresses:
                nameserver = former.nameserver
            addresses = tuple(dict.fromkeys(former.addresses + addresses))
        now = TypeOutcome(query_type, status, addresses, nameserver)
        self._outcomes = tuple(now if each is former else each for each in self._outcomes)

    def prefer(self, query_type: QueryType) -> None:
        """If this type has a valid answer, drop the outcome of the other."""
        valid = tuple(each for each in self._valid if each[0] is query_type)
        if valid:
            self._valid = valid
            self._outcomes = (self.of(query_type),)

    def of(self, query_type: QueryType) -> TypeOutcome:
        """The outcome of a type that was asked; KeyError for another one."""
        for each in self._outcomes:
            if each.query_type is query_type:
                return each
        raise KeyError(query_type)

    def outcomes(self) -> tuple[TypeOutcome, ...]:
        """One for each type that was asked."""
        return self._outcomes

    def denied(self, verdict: Status) -> tuple[TypeOutcome, ...]:
        """The outcomes when no name of a search list exists: each has the verdict."""
        return tuple(msgspec.structs.replace(each, status=verdict) for each in self._outcomes)

    @property
    def has_valid(self) -> bool:
        """Whether some type has a valid answer."""
        return bool(self._valid)

    def answer(self, *, merges: bool) -> Answer | None:
        """The valid answer; `merges` joins those of all types and the addresses of cut replies."""
        if not merges or not self._valid:
            return self._valid[0][1] if self._valid else None
        outcomes = self._outcomes
        return Answer(
            Status.VALID,
            tuple(address for each in outcomes for address in each.addresses),
            partial=any(each.addresses and each.status is not Status.VALID for each in outcomes),
            ttl_s=min(answer.ttl_s for _, answer in self._valid),
        )
