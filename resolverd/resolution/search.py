"""The search list of a short name: its candidates, and which of them is asked for. Pure.

Owns the order of a search list (resolv.conf(5), as glibc walks it) and the denials of the present
candidate. Knows no question, no retry and no clock: resolution.py passes the errors of each
attempt.

The walk leaves a candidate only after a denial: NXDOMAIN, or NODATA for all types that are asked
for. All nameservers that answered an attempt must deny it; with no retry left, one is enough.
SERVFAIL, REFUSED and no reply are no denials, or an outage of one domain's nameservers would send
clients to the same name in another.

A denial waits for the other nameservers for DENIED_WAIT_MS. One that has said nothing by then is
unheard: it is asked on, but denials of the following candidates, and those of later runs, do not
wait for it until it answers any question about the name. So a dead nameserver costs a walk one
wait. The denial of the last candidate, which fails the run, waits for all as long as without a
list.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from resolverd.dns.answer import QueryType, Status
from resolverd.resolution.attempts import DENIALS, NO_NAMESERVER

NAME_MAX = 253  # characters of a name without the dot at its end (RFC 1035 section 2.3.4)
DENIED_WAIT_MS = 250  # longer than the way to most nameservers and back


def candidates(name: str, domains: Iterable[str], ndots: int) -> tuple[str, ...]:
    """The names to ask for, in order: a name with `ndots` dots or more first as written.

    "" among the domains is the root; names of more than NAME_MAX characters are left out.
    """
    longer = [f"{name}.{domain}" if domain else name for domain in domains]
    order = [name, *longer] if name.count(".") >= ndots else [*longer, name]
    return tuple(dict.fromkeys(each for each in order if len(each) <= NAME_MAX))


NO_TYPE: frozenset[QueryType] = frozenset()  # shared by all: an empty set is 216 bytes


class Walk:
    """The walk of one run through its candidates; it begins with the last that was valid."""

    __slots__ = ("_denied", "_found", "_gone", "_left", "_names", "_nodata", "name", "unheard")

    def __init__(self, name: str) -> None:
        """`name` is asked for as written until `begin`."""
        self._names: tuple[str, ...] = (name,)
        self._left: list[str] = []
        self._found: str | None = None  # the name of the last valid answer, until it is denied
        self._denied = NO_TYPE  # types denied by at least one nameserver
        self._gone = NO_TYPE  # types denied by all nameservers that answered an attempt
        self._nodata = False  # a name of this run exists
        self.unheard = NO_NAMESERVER  # nameservers that denials do not wait for
        self.name = name

    def begin(self, names: tuple[str, ...]) -> None:
        """Begin a run with these candidates."""
        self._names = names
        self._left = list(names)
        self._nodata = False
        self._take(self._found if self._found in names else names[0])

    @property
    def searching(self) -> bool:
        """Whether there are several candidates."""
        return len(self._names) > 1

    @property
    def ends(self) -> bool:
        """Whether no name is left after this one."""
        return not self._left

    @property
    def verdict(self) -> Status:
        """The status when no name is left: NODATA if one of them exists, else NX."""
        return Status.NODATA if self._nodata else Status.NX

    def found(self) -> None:
        """The name has a valid answer."""
        self._found = self.name

    def missed(self, nameservers: Iterable[str]) -> None:
        """A denial has waited for these, and they have said nothing."""
        if self.searching:
            self.unheard |= frozenset(nameservers)

    def spoke(self, nameserver: str) -> None:
        """A nameserver has answered a question about the name."""
        if nameserver in self.unheard:
            self.unheard = self.unheard - {nameserver} or NO_NAMESERVER

    def heard(self, query_type: QueryType, errors: AbstractSet[Status]) -> None:
        """An attempt has ended; `errors` are those of the nameservers' replies."""
        if errors & DENIALS:
            self._denied |= {query_type}
        if errors and errors <= DENIALS:
            self._gone |= {query_type}
        self._nodata = self._nodata or Status.NODATA in errors

    def gone(self, query_types: Iterable[QueryType], *, last: bool) -> bool:
        """Whether the name does not exist; `last`: these types are not asked for again."""
        return self._gone.issuperset(query_types) or (last and bool(self._denied))

    def go_on(self) -> None:
        """Take the next name."""
        self._found = None
        self._take(self._left[0])

    def _take(self, name: str) -> None:
        self.name = name
        self._left.remove(name)
        self._denied = self._gone = NO_TYPE
