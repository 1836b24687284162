"""The numbers of `show servers state` for one server, computed from its records. Pure.

Owns the meaning of srv_admin_state, srv_check_health, srv_check_state and the names of a row, so
that commands and state files have the same. Reads no segment.

The administrative state is HAProxy's mask: a server that is `disabled` in the configuration always
has 0x04, and 0x01 while it is in maintenance, whichever of the two bits the record has. What a
server has from the one that it tracks (0x02, 0x10) is shown beside its own.
"""

from __future__ import annotations

from typing import NamedTuple

from shm.check_orders import AS_CONFIGURED, CheckOrder
from shm.check_status import CheckStatus
from shm.states import (
    AdminFlag,
    AdminState,
    AgentOrders,
    AgentState,
    HealthOrder,
    HealthState,
    Operational,
    ServerState,
    SlotFlag,
    SlotState,
)

CHECK_STATE_IN_PROGRESS = 0x01
CHECK_STATE_CONFIGURED = 0x02
CHECK_STATE_ENABLED = 0x04
CHECK_STATE_PAUSED = 0x08
CHECK_STATE_AGENT = 0x10
# plain ints: operations on IntFlag cost ten times as much, and these run for every cell
FMAINT = int(AdminFlag.FMAINT)
CMAINT = int(AdminFlag.CMAINT)
FDRAIN = int(AdminFlag.FDRAIN)
IMAINT = 0x02  # the server that it tracks is in maintenance
IDRAIN = 0x10  # the server that it tracks is drained
CHECK_OFF = int(AdminFlag.CHECK_OFF)
RMAINT = int(SlotFlag.RMAINT)
FQDN_CHANGED = int(SlotFlag.FQDN_CHANGED)
MAINT_MASK = FMAINT | CMAINT
CHECK_STATUS_INI = int(CheckStatus.INI)  # no check has ended yet


def status_text(word: str, health: int, rise: int, fall: int) -> str:
    """What a server is (DOWN or another word), and how far on the way to something else."""
    if word == "DOWN":
        return f"{word} {health}/{rise}" if health else word
    return f"{word} {health - rise + 1}/{fall}" if health < rise + fall - 1 else word


class ConfiguredServer(NamedTuple):
    """What the configuration says of a server, as far as its numbers depend on it."""

    fqdn: str | None
    service: str | None  # its SRV label
    port: int
    disabled: bool
    checked: bool
    rise: int
    fall: int
    local: bool = False  # on a Unix socket


class Standing(NamedTuple):
    """One server: what is configured, its records, and what they add up to."""

    configured: ConfiguredServer
    slot: SlotState
    admin: AdminState
    health: HealthState
    state: ServerState
    target: str = ""  # where an SRV record points the server
    order: str = ""  # the name that the operator gave it
    tracked: ServerState | None = None  # the server that it tracks
    said: AgentState | None = None  # by its agent; None: it has none
    orders: AgentOrders | None = None  # of the operator, beside its agent
    followed_ms: int = 0  # of a server that tracks: its last change, or one along the chain
    aimed: CheckOrder = AS_CONFIGURED  # of the operator: where its checks connect to

    @property
    def address(self) -> str | None:
        """Its IP address; None while it has none, and on a Unix socket."""
        return None if self.configured.local else self.state.address

    @property
    def lacks_address(self) -> bool:
        """In maintenance for lack of an address (HAProxy's RMAINT)."""
        configured = self.configured
        named = bool(configured.fqdn is not None or configured.service is not None or self.order)
        return bool(self.slot.flags & RMAINT) or (named and self.state.address is None)

    @property
    def maint(self) -> bool:
        """In maintenance, for whatever reason."""
        return self.state.maint or self.lacks_address

    @property
    def maint_tracked(self) -> bool:
        """In maintenance with the server that it tracks, for whatever other reason as well."""
        return self.tracked is not None and self.tracked.maint

    @property
    def operational(self) -> int:
        """HAProxy's srv_op_state: a server in maintenance is stopped."""
        return Operational.STOPPED if self.maint else self.state.operational

    @property
    def admin_mask(self) -> int:
        """HAProxy's srv_admin_state (management manual 9.3, `show servers state`).

        HAProxy shows 0x40 only from the next change of state after the order of a name.
        """
        mask = self.admin.flags & FDRAIN | self.slot.flags & FQDN_CHANGED
        if self.admin.flags & MAINT_MASK:
            mask |= FMAINT
        if self.configured.disabled:
            mask |= CMAINT
        if self.lacks_address:
            mask |= RMAINT
        if self.tracked is not None:
            mask |= (IMAINT if self.tracked.maint else 0) | (IDRAIN if self.tracked.drain else 0)
        return mask | FQDN_CHANGED if self.order else mask

    @property
    def statement(self) -> HealthState | None:
        """The health record, if it speaks of the address that the slot has now."""
        watched = self.configured.checked or self.said is not None
        if not watched or self.health.incarnation == 0:
            return None
        return self.health if self.health.incarnation == self.slot.incarnation else None

    @property
    def check_status(self) -> int:
        """HAProxy's srv_check_status; the last one is kept in maintenance."""
        return (self.health.status if self.configured.checked else 0) or CHECK_STATUS_INI

    @property
    def check_result(self) -> int:
        """HAProxy's srv_check_result."""
        return self.health.result if self.configured.checked else 0

    @property
    def check_health(self) -> int:
        """HAProxy's srv_check_health, the counter of passes and failures: 0 .. rise + fall - 1.

        That of a server without checks moves with the operator's orders, and not with the server
        that it tracks; maintenance leaves 0 behind.
        """
        said, rise, order = self.statement, self.configured.rise, self.state.health_order
        if self.maint or not (self.configured.checked or said is not None):
            if order == HealthOrder.NONE and not self.maint:
                return 0 if self.configured.disabled or self.state.goings else rise
            ordered_up = order in (HealthOrder.UP, HealthOrder.STOPPING)
            return rise + self.configured.fall - 1 if ordered_up else 0
        if said is not None:
            return said.health
        return 0 if self.state.operational == Operational.STOPPED else rise

    @property
    def check_state(self) -> int:
        """HAProxy's srv_check_state mask."""
        if not self.configured.checked:
            return CHECK_STATE_PAUSED if self.configured.disabled and self.maint else 0
        mask = CHECK_STATE_CONFIGURED
        if not self.state.check_off:
            mask |= CHECK_STATE_ENABLED
        if self.maint:
            return mask | CHECK_STATE_PAUSED
        return mask | self.health.check_state & CHECK_STATE_IN_PROGRESS

    @property
    def agent_state(self) -> int:
        """HAProxy's srv_agent_state mask."""
        if self.said is None or self.orders is None:
            return 0
        mask = CHECK_STATE_CONFIGURED | CHECK_STATE_AGENT
        if not self.orders.off:
            mask |= CHECK_STATE_ENABLED
        return mask | (CHECK_STATE_IN_PROGRESS if self.said.running else 0)

    @property
    def names(self) -> tuple[str | None, str | None]:
        """The host name that is resolved for it, and its SRV label (srv_fqdn, srvrecord)."""
        if self.configured.service is not None:
            return self.target or None, self.configured.service
        return self.order or self.configured.fqdn, None

    @property
    def port(self) -> int:
        """The port; a server that never had a record shows the configured one."""
        state = self.state
        if state.port == 0 and state.address is None and self.slot.port == 0:
            return 0 if self.configured.service is not None else self.configured.port
        return state.port

    def last_change_ms(self, created_ms: int) -> int:
        """The time of the last change of state (CLOCK_MONOTONIC, ms), at first `created_ms`."""
        said = self.statement
        health_ms = said.changed_ms if said is not None else 0
        own_ms = max(created_ms, self.slot.changed_ms, self.admin.changed_ms, health_ms)
        return max(own_ms, self.followed_ms)
