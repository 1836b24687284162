"""How long what was answered is to do, and since when the hold of a failure counts. Pure.

A hold counts from the last valid answer. Where it is no longer than the period until that answer
was due again, it would have passed at the first question that fails; it counts from when the answer
was due then. An answer has one lease: no failure, however many follow, makes it longer. A run that
a failed connect asked for, and that failed, ends it early, as a restart does; but not before the
longest of such holds, none of which is shortened by that.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from resolverd.config import Family, Holds


class Lease(msgspec.Struct, frozen=True):
    """There was a valid answer at `valid_ms`, the next question was due at `due_ms`."""

    valid_ms: int
    due_ms: int

    def since_ms(self, hold_ms: int) -> int:
        """Since when such a hold counts; none at all is no reason to wait for what is due."""
        late = 0 < hold_ms <= self.due_ms - self.valid_ms
        return self.due_ms if late else self.valid_ms

    def ended_early(self, begun_ms: int, holds: Holds) -> Lease:
        """The answer was asked for anew at `begun_ms`, which may be before its time."""
        period_ms = self.due_ms - self.valid_ms
        named_ms = (holds.nx_ms, holds.refused_ms, holds.timeout_ms, holds.other_ms)
        longest_ms = max((each for each in named_ms if each <= period_ms), default=0)
        return Lease(self.valid_ms, min(self.due_ms, max(begun_ms, self.valid_ms + longest_ms)))


class Leases:
    """The leases of one name: of whichever family was answered last, and of each.

    A name that was never answered has its grace from the beginning, which nothing was due after.
    """

    def __init__(self, now_ms: int) -> None:
        """Nothing has been answered."""
        self._any = Lease(now_ms, now_ms)
        self._of = {Family.IPV4: self._any, Family.IPV6: self._any}

    @property
    def last_valid_ms(self) -> int:
        """The last valid answer, of any family."""
        return self._any.valid_ms

    def valid_ms(self, family: Family) -> int:
        """The last valid answer of this family."""
        return self._of[family].valid_ms

    def since_ms(self, hold_ms: int) -> int:
        """Since when a hold of the name counts."""
        return self._any.since_ms(hold_ms)

    def family_since_ms(self, family: Family, hold_ms: int) -> int:
        """Since when a hold of the family counts."""
        return self._of[family].since_ms(hold_ms)

    def cut_ms(self, holds: Holds) -> int:
        """For how long what a cut answer lacks may be unseen: till it was due, and `hold other`."""
        late_ms = self._any.since_ms(holds.other_ms) - self._any.valid_ms
        return max(holds.obsolete_ms, holds.other_ms + late_ms)

    def answered(self, families: Iterable[Family], now_ms: int, period_ms: int) -> None:
        """These families have been answered; the next question is due after the period."""
        self._any = Lease(now_ms, now_ms + period_ms)
        self._of |= dict.fromkeys(families, self._any)

    def end_early(self, families: Iterable[Family], begun_ms: int, holds: Holds) -> None:
        """A run that began before its time has failed for these families."""
        self._any = self._any.ended_early(begun_ms, holds)
        for family in families:
            if family in self._of:
                self._of[family] = self._of[family].ended_early(begun_ms, holds)

    def restore(self, last: Lease, families: dict[Family, Lease]) -> None:
        """Carry on from what a predecessor knew."""
        self._any = last
        self._of |= families
