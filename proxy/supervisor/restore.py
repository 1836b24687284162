"""What a row of a state file means for a server as it is configured now. Pure.

The rules (management manual, `show servers state`; configuration manual 4.2, server-state-file):
- Maintenance: where `disabled` was added or removed since, the configuration wins; where it is the
  same, what the operator had ordered holds. Drain holds unless the server is in maintenance. States
  that follow from something else (IMAINT, IDRAIN, RMAINT) are not taken over.
- The weight holds while the configured one is the same.
- The address holds while the name that it was found for is the same; `init-addr` says whether it
  is used. The port is the configured one: HAProxy takes the file's, so that a changed port would
  never come into force where the file is kept up to date. An SRV slot keeps its target and port
  while its label is the same. A name that the operator had given holds (0x40).
- Health: stopped means 0, running means the top of the counter. Two are not as in HAProxy, where
  they would stay down: a server that was stopped because it was in maintenance, or had no address,
  starts anew, as one that leaves maintenance; one without checks, which nothing would bring up
  again, is not taken down.
- Agents: one that the operator had switched off stays so. A server that was stopped though no check
  said so stays down until its agent says something else. The configuration says where the agent is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec.structs import replace

from proxy.config.model.settings import Check, Server
from proxy.config.text.messages import ConfigError
from proxy.config.text.names import normalize_host_name
from proxy.server_table import ServerTable
from resolverd.config import ResolverdSettings
from resolverd.state_file.format import StateRow
from shm.check_status import CheckResult, CheckStatus
from shm.standing import (
    CHECK_OFF,
    CHECK_STATE_CONFIGURED,
    CHECK_STATE_ENABLED,
    CMAINT,
    FDRAIN,
    FMAINT,
    FQDN_CHANGED,
    MAINT_MASK,
    RMAINT,
)
from shm.states import (
    HEALTH_NONE,
    AdminState,
    AgentOrders,
    AgentState,
    HealthState,
    Operational,
    SlotState,
)

IMAINT = 0x02  # of a tracked server
OUT_MASK = FMAINT | IMAINT | CMAINT | RMAINT
CHECK_STATUS_MAX = int(max(CheckStatus))
CHECK_RESULT_MAX = int(max(CheckResult))


class Restored(msgspec.Struct, frozen=True):
    """What a state file says of one slot, as far as it still holds."""

    slot: int
    address: str | None = None
    port: int = 0
    target: str = ""  # where an SRV record pointed it
    order: str = ""  # the name that the operator gave it
    slot_weight: int = -1  # from DNS
    admin_flags: int = 0
    admin_weight: int = -1
    health: int | None = None  # None: nothing is known of it
    check_status: int = 0
    check_result: int = 0
    agent_off: bool = False  # by order
    agent_down: bool = False  # its agent had said so


def restore(
    servers: ServerTable,
    resolverd: ResolverdSettings,
    rows: Mapping[int, StateRow],
    known: Collection[int] = (),
) -> tuple[Restored, ...]:
    """What holds of the rows, by slot; slots that are `known` from before a reload need none."""
    fixed = {  # weights of SRV records are nothing to these
        server.slot
        for resolution in resolverd.resolutions
        for server in resolution.servers
        if server.ignore_weight
    }
    return tuple(
        restore_server(servers[slot], row, ignores_weight=slot in fixed)
        for slot, row in rows.items()
        if slot not in known
    )


def restore_server(server: Server, row: StateRow, *, ignores_weight: bool = False) -> Restored:
    """What holds of one row."""
    place = _place(server, row)
    configured = server.balancing.weight
    same = row.configured_weight == configured and row.weight != configured
    weight = row.weight if same else -1
    from_record = place is not None and bool(place.target) and not ignores_weight
    flags = _admin_flags(server, row)
    # a `disabled` server that the operator had brought back leaves maintenance once more
    anew = place is None or server.disabled or bool(flags & MAINT_MASK)
    health = None if server.check is None or anew else _health(server.check, row)
    return msgspec.structs.replace(
        Restored(server.slot) if place is None else place,
        slot_weight=weight if from_record else -1,
        admin_flags=flags | _check_flags(server, row),
        admin_weight=-1 if from_record else weight,
        health=health,
        check_status=min(row.check_status, CHECK_STATUS_MAX) if server.check else 0,
        check_result=min(row.check_result, CHECK_RESULT_MAX) if server.check else 0,
        agent_off=server.agent is not None and _is_off(row.agent_state),
        agent_down=server.agent is not None and not anew and _is_down_by_agent(server, row),
    )


def _place(server: Server, row: StateRow) -> Restored | None:
    """Where it was, if that is still where its name was found to be; None: it has moved."""
    if server.address is not None:  # the configuration says where it is
        return Restored(server.slot)
    name = _name(row.fqdn)
    if server.srv_record is not None:
        return _place_of_record(server, row, name)
    if name == server.fqdn:
        return Restored(server.slot, row.address, server.port)
    if row.admin & FQDN_CHANGED and name and server.resolution_index is not None:
        return Restored(server.slot, row.address, server.port, order=name)
    return None


def _place_of_record(server: Server, row: StateRow, target: str) -> Restored | None:
    if _name(row.service) != server.srv_record:
        return None
    if not target or row.port == 0:  # no record fed it
        return Restored(server.slot)
    return Restored(server.slot, row.address, row.port, target)


def _name(text: str | None) -> str:
    """A name in its normal form, empty for none or for what cannot be one."""
    try:
        return "" if text is None else normalize_host_name(text)
    except ConfigError:
        return ""


def _check_flags(server: Server, row: StateRow) -> int:
    """Checks that the operator had suspended stay so."""
    return CHECK_OFF if server.check is not None and _is_off(row.check_state) else 0


def _is_off(check_state: int) -> bool:
    """Whether the operator let no check be made, of the server or of its agent."""
    enabled = check_state & (CHECK_STATE_CONFIGURED | CHECK_STATE_ENABLED)
    return enabled == CHECK_STATE_CONFIGURED


def _is_down_by_agent(server: Server, row: StateRow) -> bool:
    """Whether an agent had taken it down: it was stopped, and no check said so."""
    if row.operational != Operational.STOPPED or row.admin & OUT_MASK or _is_off(row.agent_state):
        return False
    return server.check is None or row.check_health >= server.check.rise


def _admin_flags(server: Server, row: StateRow) -> int:
    configured = CMAINT if server.disabled else 0
    if row.admin & CMAINT != configured:
        flags = configured
    elif row.admin & FMAINT:
        flags = configured or FMAINT
    else:
        flags = 0
    return flags if flags else row.admin & FDRAIN


def _health(check: Check, row: StateRow) -> int | None:
    if row.check_status == 0:
        return None
    if row.operational == Operational.STOPPED:
        return None if row.admin & OUT_MASK else 0
    top = check.rise + check.fall - 1
    if row.operational == Operational.STOPPING and check.fall > 1:
        return min(max(row.check_health, check.rise), top - 1)
    return top


def admin_state(restored: Restored, now_ms: int) -> AdminState:
    """The administrative record of a restored slot."""
    return AdminState(restored.admin_flags, restored.admin_weight, None, 0, 0, now_ms)


def agent_records(restored: Restored) -> tuple[AgentState, AgentOrders]:
    """The records of a restored slot with an agent."""
    return AgentState(down=restored.agent_down), AgentOrders(off=restored.agent_off)


def health_state(restored: Restored, slot: SlotState, now_ms: int) -> HealthState:
    """The health record of a restored slot, which has its first address already.

    Without a statement about this address it only tells how the last check ended.
    """
    last = replace(HEALTH_NONE, status=restored.check_status, result=restored.check_result)
    if slot.incarnation == 0 or (restored.health is None and not restored.agent_down):
        return last
    up = bool(restored.health) and not restored.agent_down
    return replace(
        last,
        incarnation=slot.incarnation,
        generation=slot.generation,
        operational=Operational.RUNNING if up else Operational.STOPPED,
        check_state=CHECK_STATE_CONFIGURED | CHECK_STATE_ENABLED,
        health=restored.health or 0,
        changed_ms=now_ms,
    )
