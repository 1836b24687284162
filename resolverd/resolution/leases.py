"""The lease of a valid answer, from which the beginning of each hold follows. Pure.

A hold begins at the last valid answer. A hold that is no longer than the period until the next
question would have passed at the first failure; it begins when that question was due. An answer has
one lease, which no failure makes longer. A failed run that was triggered by a failed connect ends
the lease early, as a restart does; but not before the longest of such holds has passed, so that
none of them is shortened.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from resolverd.config import Family, Holds


class Lease(msgspec.Struct, frozen=True):
    """A valid answer at `valid_ms`, after which the next question was due at `due_ms`."""

    valid_ms: int
    due_ms: int

    def since_ms(self, hold_ms: int) -> int:
        """The beginning of a hold of this length; a hold of 0 begins with the answer."""
        late = 0 < hold_ms <= self.due_ms - self.valid_ms
        return self.due_ms if late else self.valid_ms

    def ended_early(self, begun_ms: int, holds: Holds) -> Lease:
        """The lease after a failed run that began at `begun_ms`, perhaps before `due_ms`."""
        period_ms = self.due_ms - self.valid_ms
        named_ms = (holds.nx_ms, holds.refused_ms, holds.timeout_ms, holds.other_ms)
        longest_ms = max((each for each in named_ms if each <= period_ms), default=0)
        return Lease(self.valid_ms, min(self.due_ms, max(begun_ms, self.valid_ms + longest_ms)))


class Leases:
    """The leases of one name: that of its last answer, and one for each family.

    A name that was never answered has leases that begin and end at its creation.
    """

    __slots__ = ("_any", "_ipv4", "_ipv6", "_none", "begun")

    def __init__(self, now_ms: int) -> None:
        self.begun = False  # by an answer: until then their time is that of the creation
        self._any = Lease(now_ms, now_ms)
        self._ipv4 = self._ipv6 = self._none = self._any  # attributes take less than a mapping

    def _of(self, family: Family) -> Lease:
        if family is Family.IPV4:
            return self._ipv4
        return self._ipv6 if family is Family.IPV6 else self._none

    def _set(self, family: Family, lease: Lease) -> None:
        if family is Family.IPV4:
            self._ipv4 = lease
        elif family is Family.IPV6:
            self._ipv6 = lease
        else:
            self._none = lease

    @property
    def last_valid_ms(self) -> int:
        """The time of the last valid answer, of any family."""
        return self._any.valid_ms

    def valid_ms(self, family: Family) -> int:
        """The time of the last valid answer of this family."""
        return self._of(family).valid_ms

    def since_ms(self, hold_ms: int) -> int:
        """The beginning of a hold of the name."""
        return self._any.since_ms(hold_ms)

    def family_since_ms(self, family: Family, hold_ms: int) -> int:
        """The beginning of a hold of the family."""
        return self._of(family).since_ms(hold_ms)

    def cut_ms(self, holds: Holds) -> int:
        """How long a record that a cut answer lacks may be unseen: `hold other` after its due time.

        At least `hold obsolete`.
        """
        late_ms = self._any.since_ms(holds.other_ms) - self._any.valid_ms
        return max(holds.obsolete_ms, holds.other_ms + late_ms)

    def answered(self, families: Iterable[Family], now_ms: int, period_ms: int) -> None:
        """Begin a lease for these families; the next question is due after the period."""
        self.begun = True
        self._any = Lease(now_ms, now_ms + period_ms)
        for family in families:
            self._set(family, self._any)

    def end_early(self, families: Iterable[Family], begun_ms: int, holds: Holds) -> None:
        """End the leases of these families by a failed run that began at `begun_ms`."""
        self._any = self._any.ended_early(begun_ms, holds)
        for family in families:
            self._set(family, self._of(family).ended_early(begun_ms, holds))

    def restore(self, last: Lease, families: dict[Family, Lease]) -> None:
        """Set the leases of a predecessor."""
        self._any = last
        for family, lease in families.items():
            self._set(family, lease)
