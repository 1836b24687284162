"""What a row of a state file means for a server as it is configured now."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from proxy.config.model.settings import Agent, Balancing, Check, Origin, Server
from proxy.supervisor.restore import (
    Restored,
    admin_state,
    agent_records,
    health_state,
    restore_server,
)
from resolverd.state_file.format import StateRow
from shm.states import HEALTH_NONE, AdminFlag, Operational, SlotState

FMAINT, IMAINT, CMAINT, FDRAIN, IDRAIN, RMAINT, FQDN_CHANGED = (1 << bit for bit in range(7))
CHECK_OFF = int(AdminFlag.CHECK_OFF)
SERVER = Server(4, 0, 1, "s1", "App.test", 80, Origin(), fqdn="app.test", resolution_index=0)
LABEL = "_web._tcp.app.test"
SLOT = msgspec.structs.replace(SERVER, host=LABEL, fqdn=None, srv_record=LABEL)
NUMERIC = msgspec.structs.replace(SERVER, host="10.0.0.9", address="10.0.0.9", fqdn=None)
ROW = StateRow(
    *(3, "be", 1, "s1", "10.0.0.1"), fqdn="app.test", port=8_080, check_status=6, check_result=3
)
RECORD = msgspec.structs.replace(ROW, fqdn="h1.test", service=LABEL, admin=FQDN_CHANGED)


def changed(row: StateRow, **fields: object) -> StateRow:
    return msgspec.structs.replace(row, **fields)


def configured(server: Server, **fields: object) -> Server:
    return msgspec.structs.replace(server, **fields)


def test_a_name_keeps_its_address() -> None:
    restored = restore_server(SERVER, ROW)
    assert (restored.address, restored.target, restored.order) == ("10.0.0.1", "", "")
    assert restore_server(SERVER, changed(ROW, fqdn="APP.test.")).address == "10.0.0.1"


def test_a_changed_port_comes_into_force() -> None:
    """A server's port never comes from DNS: only the configuration can have changed it."""
    assert restore_server(SERVER, ROW).port == 80
    assert ROW.port == 8_080


def test_an_address_of_another_name_is_not_used() -> None:
    """The configuration has another name by now: clients must not go where the old one was."""
    assert restore_server(SERVER, changed(ROW, fqdn="old.test")) == Restored(4)
    assert restore_server(SERVER, changed(ROW, fqdn=None)).address is None


def test_a_name_that_the_operator_gave_holds() -> None:
    row = changed(ROW, fqdn="other.test", admin=FQDN_CHANGED)
    restored = restore_server(SERVER, row)
    assert (restored.address, restored.order) == ("10.0.0.1", "other.test")
    alone = configured(SERVER, resolution_index=None)  # no `resolvers` would resolve it
    assert restore_server(alone, row).address is None
    assert restore_server(SERVER, changed(row, fqdn="not a name")).order == ""


def test_a_numeric_server_stays_where_the_configuration_says() -> None:
    restored = restore_server(NUMERIC, changed(ROW, fqdn=None))
    assert (restored.address, restored.port) == (None, 0)


def test_a_slot_keeps_target_port_and_weight_while_its_label_is_the_same() -> None:
    restored = restore_server(SLOT, changed(RECORD, weight=7))
    assert (restored.address, restored.port, restored.target) == ("10.0.0.1", 8_080, "h1.test")
    assert (restored.slot_weight, restored.admin_weight) == (7, -1)
    other = changed(RECORD, service="_other._tcp.app.test")
    assert restore_server(SLOT, other).target == ""
    assert restore_server(SLOT, changed(RECORD, fqdn=None)).target == ""
    assert restore_server(SLOT, changed(RECORD, port=0)).target == ""


def test_a_slot_keeps_its_target_without_an_address() -> None:
    restored = restore_server(SLOT, changed(RECORD, address=None))
    assert (restored.address, restored.port, restored.target) == (None, 8_080, "h1.test")


def test_with_ignore_weight_the_weight_is_the_operators() -> None:
    restored = restore_server(SLOT, changed(RECORD, weight=7), ignores_weight=True)
    assert (restored.slot_weight, restored.admin_weight) == (-1, 7)


def test_the_weight_holds_while_the_configured_one_is_the_same() -> None:
    server = configured(SERVER, balancing=Balancing(100))
    row = changed(ROW, weight=50, configured_weight=100)
    assert restore_server(server, row).admin_weight == 50
    assert restore_server(configured(server, balancing=Balancing(101)), row).admin_weight == -1
    assert restore_server(server, changed(row, weight=100)).admin_weight == -1


@pytest.mark.parametrize(
    ("disabled", "mask", "flags"),
    [
        (False, 0, 0),
        (False, FMAINT, FMAINT),
        (False, FDRAIN, FDRAIN),
        (False, FMAINT | FDRAIN, FMAINT),
        (False, IMAINT | IDRAIN | RMAINT | FQDN_CHANGED, 0),
        (False, FMAINT | CMAINT, 0),  # `disabled` was removed
        (False, FMAINT | CMAINT | FDRAIN, FDRAIN),
        (True, 0, CMAINT),  # `disabled` was added
        (True, FDRAIN, CMAINT),
        (True, FMAINT | CMAINT, CMAINT),
        (True, CMAINT, 0),  # the operator had brought it back
        (True, CMAINT | FDRAIN, FDRAIN),
    ],
)
def test_configured_maintenance_wins_where_it_changed(
    disabled: bool, mask: int, flags: int
) -> None:
    restored = restore_server(configured(SERVER, disabled=disabled), changed(ROW, admin=mask))
    assert restored.admin_flags == flags
    assert admin_state(restored, 5).flags == flags


@pytest.mark.parametrize(
    ("check_state", "flags"), [(2, CHECK_OFF), (6, 0), (14, 0), (0, 0), (10, CHECK_OFF)]
)
def test_suspended_checks_stay_suspended_where_there_are_any(check_state: int, flags: int) -> None:
    row = changed(ROW, check_state=check_state)
    checked = configured(SERVER, check=Check())
    assert restore_server(checked, row).admin_flags == flags
    assert restore_server(configured(SERVER, check=None), row).admin_flags == 0


@pytest.mark.parametrize(
    ("operational", "mask", "counter", "health"),
    [
        (2, 0, 3, 6),
        (0, 0, 1, 0),
        (1, 0, 1, 6),
        (3, 0, 4, 4),
        (3, 0, 9, 5),
        (0, FMAINT, 0, None),
        (0, RMAINT, 0, None),
        (0, IMAINT, 0, None),
        (0, FMAINT | CMAINT, 0, None),
        (0, FDRAIN, 0, 0),
        (2, CMAINT, 5, 6),  # `disabled`, and brought back by the operator
    ],
)
def test_health_holds_unless_the_server_was_out(
    operational: int, mask: int, counter: int, health: int | None
) -> None:
    server = configured(SERVER, check=Check(rise=3, fall=4))
    row = changed(ROW, operational=operational, admin=mask, check_health=counter)
    assert restore_server(server, row).health == health
    assert restore_server(SERVER, row).health is None  # not checked any more


def test_a_health_record_speaks_of_the_address_that_the_slot_starts_with() -> None:
    slot = SlotState(1, 1, 4, "10.0.0.1", 80, -1, 0, 11, 50)
    down = health_state(Restored(0, health=0, check_status=8, check_result=2), slot, 60)
    assert (down.incarnation, down.operational, down.status) == (1, Operational.STOPPED, 8)
    up = health_state(Restored(0, health=6), slot, 60)
    assert (up.health, up.operational) == (6, Operational.RUNNING)
    anew = health_state(Restored(0, check_status=8, check_result=2), slot, 60)
    assert anew == replace(HEALTH_NONE, status=8, result=2)
    assert health_state(Restored(0, health=6), slot._replace(incarnation=0), 60) == HEALTH_NONE


@pytest.mark.parametrize("check", [None, Check(rise=2, fall=3)])
def test_a_server_that_its_agent_had_taken_down_waits_for_the_agent(check: Check | None) -> None:
    server = configured(NUMERIC, agent=Agent(7, None, 2_000), check=check)
    stopped = changed(ROW, operational=Operational.STOPPED, check_health=4, agent_state=22)
    restored = restore_server(server, stopped)
    said, orders = agent_records(restored)
    assert (said.down, orders.off) == (True, False)
    slot = SlotState(1, 1, 4, "10.0.0.9", 80, -1, 0, 0, 9)
    assert health_state(restored, slot, 9).operational == Operational.STOPPED
    up = changed(stopped, operational=Operational.RUNNING)
    in_maintenance = changed(stopped, admin=FMAINT)
    by_checks = changed(stopped, check_health=0)
    for row in (up, in_maintenance, *([by_checks] if check else [])):
        assert not restore_server(server, row).agent_down
    assert not restore_server(NUMERIC, stopped).agent_down


def test_an_agent_that_was_switched_off_stays_so() -> None:
    server = configured(NUMERIC, agent=Agent(7, None, 2_000))
    stopped = changed(ROW, operational=Operational.STOPPED, agent_state=18)
    said, orders = agent_records(restore_server(server, stopped))
    assert (said.down, orders.off) == (False, True)
    assert not restore_server(server, changed(ROW, agent_state=0)).agent_off
