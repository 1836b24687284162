"""What a run that brought addresses means for the records of each family. Pure.

Owns the rule that a failure is no statement (M3). A valid answer and NODATA are statements: records
of their family that are unseen for `hold obsolete` go. Any other failure of a family says nothing:
its records stay as they are until the hold of that status has passed since the family's last valid
answer (or since the name was first asked for; leases.py says when it counts from later); from then
on `hold obsolete` counts for them too.
What a cut answer held confirms and adds; it removes what has been unseen for the longer of `hold
obsolete` and `hold other`, which counts from when it was due to be seen again (leases.py).

NXDOMAIN is a statement about the name, and refuted by the valid answer of the other family: it is
treated as the failure that it is (RFC 4074 section 4.2), with `hold nx`.

One family at a time: the other family's answer is used where the preferred one has said that it has
no records, or has none that are protected or confirmed. Otherwise it only confirms what is known.
Where both are merged (`resolve-opts all-families`) each goes by its own outcome. A run in which
neither is answered makes no statement, NODATA included (S36): each family has the grace of its own
failure then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from resolverd.config import Family, Holds
from resolverd.dns.answer import Address, Status
from resolverd.resolution.run_outcomes import Outcome

FOREVER_MS = 1 << 62  # for how long a record may be unseen: no answer speaks of it


def hold_ms(holds: Holds, status: Status) -> int:
    """How long after a valid answer a failure of this kind is overlooked, milliseconds."""
    if status is Status.NX:
        return holds.nx_ms
    if status is Status.REFUSED:
        return holds.refused_ms
    if status is Status.TIMEOUT:
        return holds.timeout_ms
    return holds.other_ms


class Grace(msgspec.Struct, frozen=True):
    """A failure is overlooked until `hold_ms` have passed since `since_ms`."""

    status: Status
    since_ms: int
    hold_ms: int

    def is_over(self, now_ms: int, joined_ms: int = 0) -> bool:
        """Whether it is, also for a server that joined at `joined_ms`."""
        return max(self.since_ms, joined_ms) + self.hold_ms <= now_ms


def same_grace(status: Status, since_ms: int, holds: Holds) -> dict[Family, Grace]:
    """Both families are protected alike after a run that failed with `status`."""
    grace = Grace(status, since_ms, hold_ms(holds, status))
    return {Family.IPV4: grace, Family.IPV6: grace}


def own_graces(
    outcomes: Sequence[Outcome], since_ms: Mapping[Family, int], holds: Holds
) -> dict[Family, Grace]:
    """Each of two merged families is protected by its own failure since its own last answer."""
    return {
        each.family: Grace(each.status, since_ms[each.family], hold_ms(holds, each.status))
        for each in outcomes
    }


class Ruling(msgspec.Struct, frozen=True):
    """Which records are seen now, and for how long those of each family may be unseen."""

    seen: tuple[Address, ...]
    unseen_ms: Mapping[Family, int]

    def protects(self, family: Family) -> bool:
        """Whether the family has failed, and nothing of it changes for that yet."""
        return self.unseen_ms[family] == FOREVER_MS

    def accept(self, records: Mapping[Address, int], now_ms: int) -> dict[Address, int]:
        """The records known from now on, each with the time when it was last seen."""
        seen = dict(records) | dict.fromkeys(self.seen, now_ms)
        unseen_ms = self.unseen_ms
        return {
            address: last_ms
            for address, last_ms in seen.items()
            if last_ms + unseen_ms[address.family] >= now_ms
        }


def rule_merged(
    outcomes: Sequence[Outcome],
    holds: Holds,
    since_ms: Mapping[Family, int],
    now_ms: int,
    *,
    cut_ms: int,
) -> Ruling:
    """What follows from a run, or part of one, for two families that are merged.

    A family that `outcomes` does not speak of stays as it is; `cut_ms` as below.
    """
    unseen_ms = {Family.IPV4: FOREVER_MS, Family.IPV6: FOREVER_MS}
    for each in outcomes:
        unseen_ms[each.family] = _unseen_ms(each, holds, since_ms, now_ms, cut_ms)
    return Ruling(tuple(a for each in outcomes for a in each.addresses), unseen_ms)


def rule(
    outcomes: Sequence[Outcome],
    known: Collection[Address],
    holds: Holds,
    since_ms: Mapping[Family, int],
    now_ms: int,
    *,
    cut_ms: int,
) -> Ruling:
    """What follows from a run for one family at a time; `outcomes` has the preferred first.

    `known` are the records so far, `since_ms` tells since when the hold of each failure counts,
    `cut_ms` for how long a record may be unseen that a cut answer lacks.
    """
    first, *others = outcomes
    unasked_ms = holds.obsolete_ms if first.status is Status.VALID else cut_ms
    unseen_ms = {Family.IPV4: unasked_ms, Family.IPV6: unasked_ms}
    unseen_ms[first.family] = _unseen_ms(first, holds, since_ms, now_ms, cut_ms)
    if first.status is Status.VALID or not others:
        return Ruling(first.addresses, unseen_ms)
    (other,) = others
    unseen_ms[other.family] = _unseen_ms(other, holds, since_ms, now_ms, cut_ms)
    protected = unseen_ms[first.family] == FOREVER_MS
    preferred_is_known = protected and any(address.family == first.family for address in known)
    added = other.addresses
    if first.addresses or preferred_is_known:
        added = tuple(address for address in added if address in known)
    return Ruling(first.addresses + added, unseen_ms)


def _unseen_ms(
    outcome: Outcome, holds: Holds, since_ms: Mapping[Family, int], now_ms: int, cut_ms: int
) -> int:
    """For how long records of the family may be unseen after this."""
    if outcome.status is not Status.VALID and outcome.addresses:
        return cut_ms
    if outcome.status in (Status.VALID, Status.NODATA):
        return holds.obsolete_ms
    over = since_ms[outcome.family] + hold_ms(holds, outcome.status) <= now_ms
    return holds.obsolete_ms if over else FOREVER_MS
