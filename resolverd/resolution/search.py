"""Under which names a short name is asked for, and which of them has its turn. Pure.

Owns the order of a search list (resolv.conf(5), as glibc walks it) and what has been heard of the
name that is asked at the moment. Knows no question, no retry and no clock: resolution.py tells what
each attempt came to.

A name is given up only on somebody's word that it does not exist: NXDOMAIN, or no data of any type
that is asked for. All nameservers that answered an attempt must say so; with no retry left, the
word of one is enough. SERVFAIL, REFUSED and silence are no such word, or an outage of one domain's
nameservers would send clients to the namesake in another.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from resolverd.dns.answer import QueryType, Status

NAME_MAX = 253  # characters of a name without the dot at its end (RFC 1035 section 2.3.4)
DENIALS = frozenset({Status.NX, Status.NODATA})


def candidates(name: str, domains: Iterable[str], ndots: int) -> tuple[str, ...]:
    """The names to ask for, in turn: a name with `ndots` dots or more first as written.

    "" among the domains is the root; what would be too long is left out.
    """
    longer = [f"{name}.{domain}" if domain else name for domain in domains]
    order = [name, *longer] if name.count(".") >= ndots else [*longer, name]
    return tuple(dict.fromkeys(each for each in order if len(each) <= NAME_MAX))


NO_TYPE: frozenset[QueryType] = frozenset()  # one for all: an empty set is 216 bytes


class Walk:
    """One run's way through its names; it begins where the last valid answer was found."""

    def __init__(self, name: str) -> None:
        """A name that is asked for as written."""
        self._names: tuple[str, ...] = (name,)
        self._left: list[str] = []
        self._found: str | None = None  # what the last valid answer was for, until it is denied
        self._denied = NO_TYPE  # by at least one nameserver
        self._gone = NO_TYPE  # by all nameservers that answered an attempt
        self._nodata = False  # some name of this run exists
        self.name = name

    def begin(self, names: tuple[str, ...]) -> None:
        """A run begins."""
        self._names = names
        self._left = list(names)
        self._nodata = False
        self._take(self._found if self._found in names else names[0])

    @property
    def searching(self) -> bool:
        """Whether there is a list to walk."""
        return len(self._names) > 1

    @property
    def ends(self) -> bool:
        """Whether no name is left after this one."""
        return not self._left

    @property
    def verdict(self) -> Status:
        """What it means that no name is left: NODATA if one of them exists, else NX."""
        return Status.NODATA if self._nodata else Status.NX

    def found(self) -> None:
        """The name has been answered."""
        self._found = self.name

    def heard(self, query_type: QueryType, errors: AbstractSet[Status]) -> None:
        """An attempt has ended; `errors` are what nameservers answered it with."""
        if errors & DENIALS:
            self._denied |= {query_type}
        if errors and errors <= DENIALS:
            self._gone |= {query_type}
        self._nodata = self._nodata or Status.NODATA in errors

    def gone(self, query_types: Iterable[QueryType], *, last: bool) -> bool:
        """Whether the name is given up; `last`: these types will not be asked for again."""
        return self._gone.issuperset(query_types) or (last and bool(self._denied))

    def go_on(self) -> None:
        """Take the next name."""
        self._found = None
        self._take(self._left[0])

    def _take(self, name: str) -> None:
        self.name = name
        self._left.remove(name)
        self._denied = self._gone = NO_TYPE
