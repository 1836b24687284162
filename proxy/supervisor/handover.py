"""Copies the records of servers that still exist from one segment into the next, twice.

First everything, while the old resolverd and control serve and before the new workers exist; then,
once those have ended, whatever they have moved since. So the gap in DNS and statistics does not
grow with the table, and no answer and no order is lost. Health is copied once: the new workers
check for themselves.
"""

from __future__ import annotations

from msgspec.structs import replace

from proxy.config.model.settings import Server
from proxy.runtime import now_ms
from proxy.server_table import ServerTable
from proxy.supervisor.carry import CarryPlan
from proxy.supervisor.slices import PORTION, Steps
from shm.agents import AgentReader, AgentSendingWriter, AgentWriter
from shm.check_orders import CheckOrders
from shm.moved import SlotRevisions
from shm.names import NameOrderWriter, NameReader, TargetWriter
from shm.segment import Segment
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import (
    AdminFlag,
    AdminState,
    AgentOrders,
    AgentState,
    AgentWord,
    Cause,
    HealthState,
    Operational,
)

MOVED_BY_AGENTS = AdminFlag.FMAINT | AdminFlag.CMAINT | AdminFlag.FDRAIN


class Handover:
    """From the segment of one generation to that of its successor."""

    def __init__(
        self,
        old: tuple[ServerTable, Segment],
        new: tuple[ServerTable, Segment],
        plan: CarryPlan,
        known: frozenset[int],
        check_orders: tuple[CheckOrders, CheckOrders] | None = None,
    ) -> None:
        """`known` are the new slots whose address is carried (`known_addresses`).

        `check_orders`: those of the two generations; None: there are none to carry.
        """
        (self._old_servers, old_segment), (self._new_servers, new_segment) = old, new
        self.plan = plan
        self._check_orders = check_orders
        self._pairs = plan.counted.servers
        self._known = bytearray(new_segment.shape.slots)
        for slot in known:
            self._known[slot] = True
        self._reader = SlotTableReader(old_segment)
        self._names = NameReader(old_segment)
        self._slots = SlotTableWriter(new_segment)
        self._admins = AdminTableWriter(new_segment)
        self._health = HealthTableWriter(new_segment)
        self._targets = TargetWriter(new_segment)
        self._orders = NameOrderWriter(new_segment)
        self._agents = AgentReader(old_segment)
        self._new_agents = AgentWriter(new_segment)
        self._sendings = AgentSendingWriter(new_segment)
        self._revisions = SlotRevisions(old_segment)

    def copy(self) -> Steps[None]:
        """Everything, before the first fork; what does not hold still comes with `copy_moved`."""
        for number, (before, after) in enumerate(self._pairs):
            self._revisions.look(before)
            try:
                self._copy(before, after)
                self._copy_health(before, after)
            except BlockingIOError:
                self._revisions.forget(before)
            if number % PORTION == 0:
                yield

    def copy_moved(self) -> Steps[None]:
        """What has moved since `copy`; no process writes the old records any more.

        Nor the new ones: their resolverd and control wait at the gate until this has been done.
        """
        pairs = self._pairs
        for first in range(0, len(pairs), PORTION):
            last = min(first + PORTION, len(pairs))
            for place in self._revisions.moved(pairs.old, first, last):
                self._copy(pairs.old[place], pairs.new[place])
            yield

    def _copy(self, before: int, after: int) -> None:
        if self._reader.static(before).added != self._old_servers[before].added:
            return  # since the plan was made it was deleted, and maybe the slot has another
        was, now = self._old_servers[before], self._new_servers[after]
        keeps_address = bool(self._known[after])
        state = self._reader.slot(before)
        admin = self._reader.admin(before)
        if keeps_address:
            self._targets.publish(after, *self._names.target(before))
            self._orders.publish(after, *self._names.order(before))
            if state.address is not None and state.cause != Cause.CONFIGURED:
                state = state._replace(cause=Cause.CARRIED)
            self._slots.carry(after, state)
        orders = None
        if was.agent is not None and now.agent is not None:
            orders = carried_orders(self._agents.orders(before), was, now)
            sending = self._agents.sending(before)
            if sending is not None and was.agent.send == now.agent.send:
                self._sendings.publish(after, sending, now_ms())
        elif was.agent is not None:
            said, ordered = self._agents.said(before), self._agents.orders(before)
            admin = without_agent(admin, said, ordered, disabled=was.disabled)
        if self._check_orders is not None and _aims_alike(was, now):
            former, orders_now = self._check_orders
            orders_now.publish(after, former.read(before))
        carried = carried_admin(admin, was, now, keeps_address=keeps_address)
        self._admins.publish(after, carried, orders)

    def _copy_health(self, before: int, after: int) -> None:
        was, now = self._old_servers[before], self._new_servers[after]
        both_checked = was.check is not None and now.check is not None
        both_asked = was.agent is not None and now.agent is not None
        if self._known[after] and (both_checked or both_asked):
            state = carried_health(self._reader.health(before), was, now)
            self._health.publish(after, state, changed=True)
        if was.agent is not None and now.agent is not None:
            said = carried_agent(self._agents.said(before), was, now)
            text = self._agents.text(before, said.checked_ms)
            self._new_agents.tell(after, text, said.checked_ms)
            self._new_agents.publish(after, said, changed=True)


def _aims_alike(was: Server, now: Server) -> bool:
    """Whether both lines let checks connect to the same place."""
    if was.check is None or now.check is None:
        return False
    places = ((check.address, check.port, check.address_port) for check in (was.check, now.check))
    return len(set(places)) == 1


def carried_health(state: HealthState, was: Server, now: Server) -> HealthState:
    """A health statement under other `rise` and `fall`: up stays fully up, down fully down."""
    if was.check is None or now.check is None:
        return state
    if (was.check.rise, was.check.fall) == (now.check.rise, now.check.fall):
        return state
    up = state.operational != Operational.STOPPED
    return replace(state, health=now.check.rise + now.check.fall - 1 if up else 0)


def carried_agent(state: AgentState, was: Server, now: Server) -> AgentState:
    """What an agent has said, under new settings: where those changed, they win."""
    if was.disabled != now.disabled:
        state = state._replace(state_ns=0, word=AgentWord.NONE)
    if was.balancing.weight != now.balancing.weight:
        state = state._replace(weight_ns=0, weight=-1)
    if was.queueing.maxconn != now.queueing.maxconn:
        state = state._replace(maxconn_ns=0, maxconn=-1)
    return state


def without_agent(
    state: AdminState, said: AgentState, orders: AgentOrders, *, disabled: bool
) -> AdminState:
    """The operator's orders for a server that has lost its agent.

    What the agent had overruled does not come back: the operator has not seen it in force since.
    """
    if said.weight_ns > orders.weight_ns:
        state = state._replace(weight=-1)
    if said.maxconn_ns > orders.maxconn_ns:
        state = state._replace(maxconn=-1)
    if said.state_ns > orders.state_ns:
        state = state._replace(flags=state.flags & ~MOVED_BY_AGENTS)
        if disabled:
            state = state._replace(flags=state.flags | AdminFlag.CMAINT)
    return state


def carried_orders(orders: AgentOrders, was: Server, now: Server) -> AgentOrders:
    """What the operator has ordered beside an agent, under new settings."""
    assert was.agent is not None
    assert now.agent is not None
    if (was.agent.address, was.agent.port) != (now.agent.address, now.agent.port):
        return orders._replace(address=None, port=0)
    return orders


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
    if was.balancing.weight != now.balancing.weight:
        state = state._replace(weight=-1)
    if was.queueing.maxconn != now.queueing.maxconn:
        state = state._replace(maxconn=-1)
    if not keeps_address:
        state = state._replace(address=None, port=0, override_generation=0, health_order=0)
    return state
