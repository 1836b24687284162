"""The effect of a run with addresses on the records of each family. Pure.

Owns the rule that a failure is no statement (M3). A valid answer and NODATA are statements: records
of their family that are unseen for `hold obsolete` are forgotten. Any other failure of a family is
none: its records stay until the hold of that status has passed since the family's last valid
answer, or since the name was first asked for (leases.py has the cases in which the hold begins
later); after that `hold obsolete` counts for them too.
The records of a cut answer are confirmed and added; a record that it lacks is forgotten when it was
unseen for the longer of `hold obsolete` and `hold other`, which begins when the record was due to
be seen again (leases.py).

NXDOMAIN is a statement about the name, and refuted by the valid answer of the other family: it is
treated as a failure (RFC 4074 section 4.2), with `hold nx`.

One family at a time: the other family's answer is used if the preferred one has no records
(NODATA), or none that are protected or confirmed. Otherwise it only confirms known records.
Where both are merged (`resolve-opts all-families`) the outcome of each decides about its records.
A run without a valid answer for either makes no statement, even with NODATA (S36): then each family
has the grace of its own failure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from resolverd.config import Family, Holds
from resolverd.dns.answer import Address, Status
from resolverd.resolution.run_outcomes import TypeOutcome

FOREVER_MS = 1 << 62  # the time that a record of a protected family may be unseen


def hold_ms(holds: Holds, status: Status) -> int:
    """How long after a valid answer a failure with this status is overlooked, milliseconds."""
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
        """Whether the hold has passed, also for a server that joined at `joined_ms`."""
        return max(self.since_ms, joined_ms) + self.hold_ms <= now_ms


def same_grace(status: Status, since_ms: int, holds: Holds) -> dict[Family, Grace]:
    """One grace for both families, after a run that failed with `status`."""
    grace = Grace(status, since_ms, hold_ms(holds, status))
    return {Family.IPV4: grace, Family.IPV6: grace}


def own_graces(
    outcomes: Sequence[TypeOutcome], since_ms: Mapping[Family, int], holds: Holds
) -> dict[Family, Grace]:
    """The grace of each of two merged families: its own failure and its own last answer."""
    return {
        each.family: Grace(each.status, since_ms[each.family], hold_ms(holds, each.status))
        for each in outcomes
    }


class Ruling(msgspec.Struct, frozen=True):
    """The records seen by a run, and for how long those of each family may be unseen."""

    seen: tuple[Address, ...]
    unseen_ms: Mapping[Family, int]

    def protects(self, family: Family) -> bool:
        """Whether a failure of the family is overlooked."""
        return self.unseen_ms[family] == FOREVER_MS

    def accept(self, records: Mapping[Address, int], now_ms: int) -> dict[Address, int]:
        """The records known after the run, each with the time when it was last seen."""
        seen = dict(records) | dict.fromkeys(self.seen, now_ms)
        unseen_ms = self.unseen_ms
        return {
            address: last_ms
            for address, last_ms in seen.items()
            if last_ms + unseen_ms[address.family] >= now_ms
        }


def rule_merged(
    outcomes: Sequence[TypeOutcome],
    holds: Holds,
    since_ms: Mapping[Family, int],
    now_ms: int,
    *,
    cut_ms: int,
) -> Ruling:
    """The ruling of a run, or of a part of it, for two merged families.

    The records of a family without an outcome stay; `cut_ms` as for `rule`.
    """
    unseen_ms = {Family.IPV4: FOREVER_MS, Family.IPV6: FOREVER_MS}
    for each in outcomes:
        unseen_ms[each.family] = _unseen_ms(each, holds, since_ms, now_ms, cut_ms)
    return Ruling(tuple(a for each in outcomes for a in each.addresses), unseen_ms)


def rule(
    outcomes: Sequence[TypeOutcome],
    known: Collection[Address],
    holds: Holds,
    since_ms: Mapping[Family, int],
    now_ms: int,
    *,
    cut_ms: int,
) -> Ruling:
    """The ruling of a run for one family at a time; `outcomes` has the preferred first.

    `known` are the records so far, `since_ms` is the beginning of each failure's hold, `cut_ms` is
    how long a record may be unseen that a cut answer lacks.
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
    outcome: TypeOutcome, holds: Holds, since_ms: Mapping[Family, int], now_ms: int, cut_ms: int
) -> int:
    """How long records of the family may be unseen after this outcome."""
    if outcome.status is not Status.VALID and outcome.addresses:
        return cut_ms
    if outcome.status in (Status.VALID, Status.NODATA):
        return holds.obsolete_ms
    over = since_ms[outcome.family] + hold_ms(holds, outcome.status) <= now_ms
    return holds.obsolete_ms if over else FOREVER_MS
