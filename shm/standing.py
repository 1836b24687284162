"""The numbers of `show servers state` for one server, computed from its records. Pure.

Owns the meaning of srv_admin_state, srv_check_health, srv_check_state and the names of a row, so
that commands and state files have the same. Reads no segment.

The administrative state is HAProxy's mask: a server that is `disabled` in the configuration always
has 0x04, and 0x01 while it is in maintenance, whichever of the two bits the record has.
"""

from __future__ import annotations

from shm.states import (
    AdminFlag,
    AdminState,
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
# plain ints: operations on IntFlag cost ten times as much, and these run for every cell
FMAINT = int(AdminFlag.FMAINT)
CMAINT = int(AdminFlag.CMAINT)
FDRAIN = int(AdminFlag.FDRAIN)
IMAINT = 0x02  # the server that it tracks is in maintenance
IDRAIN = 0x10  # it is drained
CHECK_OFF = int(AdminFlag.CHECK_OFF)
RMAINT = int(SlotFlag.RMAINT)
FQDN_CHANGED = int(SlotFlag.FQDN_CHANGED)
MAINT_MASK = FMAINT | CMAINT


def lacks_address(slot: SlotState, state: ServerState, *, named: bool) -> bool:
    """Whether a server is in maintenance for lack of an address (HAProxy's RMAINT)."""
    return bool(slot.flags & RMAINT) or (named and state.address is None)


def admin_mask(admin: AdminState, slot: SlotState, *, disabled: bool, lacking: bool) -> int:
    """HAProxy's srv_admin_state (management manual 9.3, `show servers state`)."""
    mask = admin.flags & FDRAIN | slot.flags & FQDN_CHANGED
    if admin.flags & MAINT_MASK:
        mask |= FMAINT
    if disabled:
        mask |= CMAINT
    return mask | RMAINT if lacking else mask


def statement(slot: SlotState, health: HealthState, *, checked: bool) -> HealthState | None:
    """The health record, if it is of the slot's incarnation; else None."""
    if not checked or health.incarnation == 0:
        return None
    return health if health.incarnation == slot.incarnation else None


def check_health(said: HealthState | None, state: ServerState, rise: int, *, maint: bool) -> int:
    """HAProxy's srv_check_health, the counter of passes and failures: 0 .. rise + fall - 1."""
    if maint:
        return 0
    if said is not None:
        return said.health
    return rise if state.operational != Operational.STOPPED else 0


def check_state(
    health: HealthState, *, checked: bool, disabled: bool, maint: bool, check_off: bool = False
) -> int:
    """HAProxy's srv_check_state mask."""
    if not checked:
        return CHECK_STATE_PAUSED if disabled and maint else 0
    mask = health.check_state & CHECK_STATE_IN_PROGRESS
    mask |= CHECK_STATE_CONFIGURED if check_off else CHECK_STATE_CONFIGURED | CHECK_STATE_ENABLED
    return mask & ~CHECK_STATE_IN_PROGRESS | CHECK_STATE_PAUSED if maint else mask


def last_change_ms(
    slot: SlotState, admin: AdminState, said: HealthState | None, created_ms: int
) -> int:
    """The time of the last change of state (CLOCK_MONOTONIC, ms), at first `created_ms`."""
    health_ms = said.changed_ms if said is not None else 0
    return max(created_ms, slot.changed_ms, admin.changed_ms, health_ms)


def names_of(
    fqdn: str | None, label: str | None, target: str = "", order: str = ""
) -> tuple[str | None, str | None]:
    """The host name that is resolved for a server, and its SRV label (srv_fqdn, srvrecord).

    `target` is the target of its SRV record, `order` the name that the operator ordered.
    """
    if label is not None:
        return target or None, label
    return order or fqdn, None


def port_of(slot: SlotState, state: ServerState, configured: int, *, service: bool) -> int:
    """The port; a server that never had a record shows the configured one."""
    if state.port == 0 and state.address is None and slot.port == 0:
        return 0 if service else configured
    return state.port
