"""Pairs of (old index, new index): which things of one generation are which of the next.

They are kept in arrays and chained from one generation to the next, because a look at the
settings once more touches each server's object, and ends the sharing of its memory with children.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from proxy.supervisor.slices import PORTION, Steps

Pair = tuple[int, int]
Named = Iterable[tuple[Hashable, int]]


class Pairs:
    """Index pairs in the order of the new indices."""

    __slots__ = ("new", "old")

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        """Those pairs; more may be added."""
        self.old = array("I")
        self.new = array("I")
        for before, after in pairs:
            self.add(before, after)

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.old)

    def __iter__(self) -> Iterator[Pair]:
        """All pairs."""
        return zip(self.old, self.new, strict=True)

    def add(self, before: int, after: int) -> None:
        """One more pair."""
        self.old.append(before)
        self.new.append(after)

    def portions(self) -> Iterator[Iterable[Pair]]:
        """All pairs, so many at a time."""
        for first in range(0, len(self), PORTION):
            last = first + PORTION
            yield zip(self.old[first:last], self.new[first:last], strict=True)


class Counted(NamedTuple):
    """The pairs of all that workers count."""

    frontends: Pairs
    backends: Pairs
    servers: Pairs
    rules: Pairs


class Onward:
    """How a generation's counters got into the next one, and which came after that."""

    def __init__(self, counted: Counted) -> None:
        """The next generation is the newest so far."""
        self.counted = counted
        self.following: Onward | None = None


def pair(old: Named, new: Named) -> Steps[Pairs]:
    """Pair what has the same name."""
    known: dict[Hashable, int] = {}
    for number, (name, index) in enumerate(old):
        known[name] = index
        if number % PORTION == 0:
            yield
    pairs = Pairs()
    for number, (name, index) in enumerate(new):
        if name in known:
            pairs.add(known[name], index)
        if number % PORTION == 0:
            yield
    return pairs


class Way:
    """The pairs of one generation and a later one, led on with each reload."""

    def __init__(self, first: Onward) -> None:
        """To the next generation."""
        self.counted = first.counted
        self._last = first

    def lead_to(self, newest: Onward) -> Steps[None]:
        """Lead on to the generation that got its counters by `newest`."""
        while self._last is not newest:
            following = self._last.following
            assert following is not None, "no generation came after that one"
            counted, steps = self.counted, following.counted
            frontends = yield from _chained(counted.frontends, steps.frontends)
            backends = yield from _chained(counted.backends, steps.backends)
            servers = yield from _chained(counted.servers, steps.servers)
            rules = yield from _chained(counted.rules, steps.rules)
            self.counted = Counted(frontends, backends, servers, rules)
            self._last = following


def _chained(first: Pairs, second: Pairs) -> Steps[Pairs]:
    before = array("i", [-1]) * (1 + max(first.new, default=-1))
    for number, (old, new) in enumerate(first):
        before[new] = old
        if number % PORTION == 0:
            yield
    pairs = Pairs()
    for number, (middle, new) in enumerate(second):
        if middle < len(before) and before[middle] >= 0:
            pairs.add(before[middle], new)
        if number % PORTION == 0:
            yield
    return pairs
