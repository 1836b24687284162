"""Copies the records of servers that still exist from one segment into the next, twice.

First everything, while the old resolverd and control serve and before the new workers exist; then,
once those have ended, whatever they have moved since. So the gap in DNS and statistics does not
grow with the table, and no answer and no order is lost. Health is copied once: the new workers
check for themselves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from proxy.config.model import Server, Settings
from proxy.supervisor.carry import CarryPlan
from shm.names import NameOrderWriter, NameReader, TargetWriter
from shm.segment import Segment
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import AdminFlag, AdminState, Cause, HealthState, NameState, Operational


class Seen(NamedTuple):
    """What a server's records said when they were copied."""

    revision: int  # of address and operator's orders
    target: NameState
    order: NameState


class Handover:
    """From the segment of one generation to that of its successor."""

    def __init__(
        self,
        old: tuple[Settings, Segment],
        new: tuple[Settings, Segment],
        plan: CarryPlan,
        known: frozenset[int],
    ) -> None:
        """`known` are the new slots whose address is carried (`known_addresses`)."""
        (old_settings, old_segment), (new_settings, new_segment) = old, new
        self._pairs = plan.servers
        self._known = known
        self._old_servers, self._new_servers = old_settings.servers, new_settings.servers
        self._reader = SlotTableReader(old_segment)
        self._names = NameReader(old_segment)
        self._slots = SlotTableWriter(new_segment)
        self._admins = AdminTableWriter(new_segment)
        self._health = HealthTableWriter(new_segment)
        self._targets = TargetWriter(new_segment)
        self._orders = NameOrderWriter(new_segment)
        self._seen: dict[int, Seen] = {}  # by old slot

    def copy(self) -> None:
        """Everything, before the first fork; what does not hold still comes with `copy_moved`."""
        for before, after in self._pairs:
            with suppress(BlockingIOError):
                seen = self._look(before)
                self._copy(before, after, seen)
                self._copy_health(before, after)
                self._seen[before] = seen

    def copy_moved(self) -> None:
        """What has moved since `copy`; nobody writes the old records any more.

        Nor the new ones: their resolverd and control start when this has been done.
        """
        for before, after in self._pairs:
            seen = self._look(before)
            if self._seen.get(before) != seen:
                self._copy(before, after, seen)

    def _look(self, before: int) -> Seen:
        revision = self._reader.revision(before)  # first: what changes meanwhile is seen again
        return Seen(revision, self._names.target(before), self._names.order(before))

    def _copy(self, before: int, after: int, seen: Seen) -> None:
        was, now = self._old_servers[before], self._new_servers[after]
        keeps_address = after in self._known
        state = self._reader.slot(before)
        admin = self._reader.admin(before)
        if keeps_address:
            self._targets.publish(after, *seen.target)
            self._orders.publish(after, *seen.order)
            if state.address is not None and state.cause != Cause.CONFIGURED:
                state = state._replace(cause=Cause.CARRIED)
            self._slots.carry(after, state)
        self._admins.publish(after, carried_admin(admin, was, now, keeps_address=keeps_address))

    def _copy_health(self, before: int, after: int) -> None:
        was, now = self._old_servers[before], self._new_servers[after]
        if after in self._known and was.check is not None and now.check is not None:
            state = carried_health(self._reader.health(before), was, now)
            self._health.publish(after, state, changed=True)


def carried_health(state: HealthState, was: Server, now: Server) -> HealthState:
    """A health statement under other `rise` and `fall`: up stays fully up, down fully down."""
    assert was.check is not None
    assert now.check is not None
    if (was.check.rise, was.check.fall) == (now.check.rise, now.check.fall):
        return state
    up = state.operational != Operational.STOPPED
    return state._replace(health=now.check.rise + now.check.fall - 1 if up else 0)


def carried_admin(
    state: AdminState, was: Server, now: Server, *, keeps_address: bool
) -> AdminState:
    """An administrative state under new settings.

    What the operator ordered holds while the configuration says the same as before; where it
    changed (`disabled`, weight, maxconn, address), the configuration wins.
    """
    if was.disabled != now.disabled:
        cleared = state.flags & ~AdminFlag.CMAINT
        state = state._replace(flags=cleared | (AdminFlag.CMAINT if now.disabled else 0))
    if was.weight != now.weight:
        state = state._replace(weight=-1)
    if was.maxconn != now.maxconn:
        state = state._replace(maxconn=-1)
    if not keeps_address:
        state = state._replace(address=None, port=0, override_generation=0, health_order=0)
    return state
