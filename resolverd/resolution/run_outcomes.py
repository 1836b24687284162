"""What the replies of one run have said so far, type by type. Pure.

Owns how several replies about one type become one outcome: the first valid answer stands; of
failures NODATA stands, because it is a statement that the type has no records, otherwise the last
one counts; silence is what nobody broke. What cut replies held is kept beside. Knows no order of
questions and no time.
"""

from __future__ import annotations

import msgspec

from resolverd.config import Family
from resolverd.dns.answer import Address, Answer, QueryType, Status

FAMILY_OF = {QueryType.A: Family.IPV4, QueryType.AAAA: Family.IPV6, QueryType.SRV: Family.NONE}


class Outcome(msgspec.Struct, frozen=True):
    """How a run came out for one type: `addresses` of the valid answer, or of cut ones.

    `nameserver` is the one that gave them, the last of several.
    """

    query_type: QueryType
    status: Status = Status.TIMEOUT
    addresses: tuple[Address, ...] = ()
    nameserver: str = ""

    @property
    def family(self) -> Family:
        """The family that the type asks for."""
        return FAMILY_OF[self.query_type]


_SILENCE = {query_type: Outcome(query_type) for query_type in QueryType}


class Hearing:
    """The outcomes of a run, in the order in which the types were first asked."""

    def __init__(self) -> None:
        """Nothing has been asked."""
        self._outcomes: dict[QueryType, Outcome] = {}
        self._valid: dict[QueryType, Answer] = {}

    def clear(self) -> None:
        """Begin anew."""
        self._outcomes = {}
        self._valid = {}

    def asked(self, query_type: QueryType) -> None:
        """A question of this type goes out."""
        self._outcomes.setdefault(query_type, _SILENCE[query_type])

    def note(self, query_type: QueryType, nameserver: str, answer: Answer) -> None:
        """A reply to one of the questions."""
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
        self._outcomes[query_type] = Outcome(query_type, status, addresses, nameserver)

    def prefer(self, query_type: QueryType) -> None:
        """If this type is answered, it does not matter how the other came out."""
        if query_type in self._valid:
            self._valid = {query_type: self._valid[query_type]}
            self._outcomes = {query_type: self._outcomes[query_type]}

    def of(self, query_type: QueryType) -> Outcome:
        """The outcome of a type that was asked; KeyError for another one."""
        return self._outcomes[query_type]

    def outcomes(self) -> tuple[Outcome, ...]:
        """One for each type that was asked."""
        return tuple(self._outcomes.values())

    def denied(self, verdict: Status) -> tuple[Outcome, ...]:
        """The outcomes where no name of a list exists: all come to that."""
        return tuple(
            msgspec.structs.replace(each, status=verdict) for each in self._outcomes.values()
        )

    @property
    def has_valid(self) -> bool:
        """Whether some type is answered."""
        return bool(self._valid)

    def answer(self, *, merges: bool) -> Answer | None:
        """The valid answer; `merges` joins those of all types with what cut replies held."""
        if not merges or not self._valid:
            return next(iter(self._valid.values()), None)
        outcomes = self._outcomes.values()
        return Answer(
            Status.VALID,
            tuple(address for each in outcomes for address in each.addresses),
            partial=any(each.addresses and each.status is not Status.VALID for each in outcomes),
            ttl_s=min(answer.ttl_s for answer in self._valid.values()),
        )
