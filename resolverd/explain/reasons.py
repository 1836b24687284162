"""Why a server has its address, or none, and why a record has no server. Pure.

Owns the derivation of a reason from the present state of the assignments, so that no decision has
to record one. Decides nothing and changes nothing.
"""

from __future__ import annotations

from resolverd.assignment.preference import FAMILY_SCORE, preference_of
from resolverd.config import Family, ResolvedServer
from resolverd.dns.answer import Address, Status
from resolverd.names.host import ResolvedName
from resolverd.names.service import ResolvedService
from resolverd.records.schema import Why
from resolverd.resolution.hold_rules import hold_ms
from resolverd.resolution.resolution import Resolution
from resolverd.resolution.run_outcomes import TypeOutcome

Reason = tuple[Why, int | None]  # and for how long it holds, milliseconds

_HOLDS = {
    Status.NX: Why.HOLD_NX,
    Status.REFUSED: Why.HOLD_REFUSED,
    Status.TIMEOUT: Why.HOLD_TIMEOUT,
}


def has_failed(resolution: Resolution) -> bool:
    """Whether the last run brought no valid answer."""
    return resolution.last_status not in (None, Status.VALID)


def hold_of(name: ResolvedName | ResolvedService) -> Why:
    """The hold of the last run's failure."""
    assert name.resolution.last_status is not None
    return hold_for(name.resolution.last_status)


def hold_for(status: Status) -> Why:
    """The hold of a failure with this status."""
    return _HOLDS.get(status, Why.HOLD_OTHER)


def hold_left_ms(name: ResolvedName | ResolvedService, now_ms: int, joined_ms: int = 0) -> int:
    """How long the last run's failure is still overlooked, milliseconds."""
    status = name.resolution.last_status
    assert status is not None
    since_ms = name.resolution.leases.since_ms(hold_ms(name.section.holds, status))
    return _left_ms(name, status, max(since_ms, joined_ms), now_ms)


def _left_ms(
    name: ResolvedName | ResolvedService, status: Status, since_ms: int, now_ms: int
) -> int:
    return max(0, since_ms + hold_ms(name.section.holds, status) - now_ms)


def _since_ms(name: ResolvedName, own: TypeOutcome) -> int:
    """The beginning of the hold of a family's failure."""
    hold = hold_ms(name.section.holds, own.status)
    return name.resolution.leases.family_since_ms(own.family, hold)


def without_any(name: ResolvedName | ResolvedService, now_ms: int) -> Reason:
    """Why a server of a name without records has none."""
    if not has_failed(name.resolution):
        return Why.NO_ANSWER, None
    left_ms = hold_left_ms(name, now_ms)
    return (Why.NO_ANSWER, left_ms) if left_ms else (Why.EXPIRED, None)


def why_address(
    name: ResolvedName, server: ResolvedServer, free: Address | None, now_ms: int
) -> Reason:
    """Why a server of a host name has its address or none; `free` is the best free record."""
    assignment, resolution = name.assignment, name.resolution
    address = assignment.slots.get(server.slot)
    if address is None:
        if not assignment.records:
            return without_any(name, now_ms)
        return (Why.NO_RECORD if server.allow_dup_ip else Why.DUPLICATE), None
    seen_ms = assignment.records.get(address)
    if has_failed(resolution):
        if seen_ms is not None and seen_ms > resolution.last_valid_ms:
            return Why.CUT, None
        joined_ms = assignment.joined_ms(server.slot)
        own = _outcome_of(name, address.family) if resolution.merges else None
        if own is None:
            return hold_of(name), hold_left_ms(name, now_ms, joined_ms)
        since_ms = max(_since_ms(name, own), joined_ms)
        return hold_for(own.status), _left_ms(name, own.status, since_ms, now_ms)
    return _why_kept(name, server, address, free, now_ms)


def _why_kept(
    name: ResolvedName, server: ResolvedServer, address: Address, free: Address | None, now_ms: int
) -> Reason:
    seen_ms, resolution = name.assignment.records.get(address), name.resolution
    if seen_ms is None or resolution.last_status is None:
        return Why.UNCONFIRMED, None
    if seen_ms < resolution.last_valid_ms:
        obsolete_ms = max(0, seen_ms + name.section.holds.obsolete_ms - now_ms)
        return family_hold(name, address.family, now_ms) or (Why.OBSOLETE, obsolete_ms)
    preference = preference_of(server, name.settings.preferred)
    better = free is not None and preference.score(free) > preference.score(address)
    return (Why.STICKY if better else Why.CONFIRMED), None


def family_hold(name: ResolvedName, family: Family, now_ms: int) -> Reason | None:
    """The hold that keeps records of a family that failed while the other was answered."""
    own = _outcome_of(name, family)
    if own is None or own.addresses or own.status is Status.NODATA:
        return None
    left_ms = _left_ms(name, own.status, _since_ms(name, own), now_ms)
    return (hold_for(own.status), left_ms) if left_ms else None


def _outcome_of(name: ResolvedName, family: Family) -> TypeOutcome | None:
    """The outcome of the last run for a family, if it decided about the family's records."""
    decisive = name.outcomes if name.resolution.merges else name.outcomes[:1]
    return next((each for each in decisive if each.family == family), None)


def why_service(name: ResolvedService, slot: int, now_ms: int) -> Reason:
    """Why a server of an SRV label is attached to its record, or to none."""
    attachment = name.assignment.slots.get(slot)
    if attachment is None:
        if name.assignment.records:
            return Why.NO_RECORD, None
        return without_any(name, now_ms)
    if has_failed(name.resolution):
        return hold_of(name), hold_left_ms(name, now_ms)
    known = name.assignment.records.get(attachment.key)
    if known is None or name.resolution.last_status is None:
        return Why.UNCONFIRMED, None
    if known.seen_ms < name.resolution.last_valid_ms:
        return Why.OBSOLETE, max(0, known.seen_ms + known.kept_ms - now_ms)
    return (Why.TARGET if attachment.address is None else Why.CONFIRMED), None


def why_refused(
    name: ResolvedName, server: ResolvedServer, record: Address, held: set[Address]
) -> Why:
    """Why no server of this one's backend has the record; `held` are the records that they have.

    A record that scores below all held ones lacks the preferred family or network.
    """
    preference = preference_of(server, name.settings.preferred)
    worst = min((preference.score(each) for each in held), default=0)
    mine = preference.score(record)
    if mine >= worst:
        return Why.NO_SERVER
    lacks_family = worst & FAMILY_SCORE and not mine & FAMILY_SCORE
    return Why.OTHER_FAMILY if lacks_family else Why.NOT_IN_NETWORK
