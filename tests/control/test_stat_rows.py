"""Cells of `show stat` that depend on how far a health check has come. Pure."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from proxy.config.model.settings import Balancing, Check, Origin, Proxy
from proxy.control.rows.observation import FDRAIN, Observed
from proxy.control.rows.stat_format import json_row
from proxy.control.rows.stat_rows import Clock, check_cells, server_status
from proxy.control.rows.summary import summarize
from proxy.server_table import configured_server
from shm.changes import UsableCounts
from shm.standing import Standing
from shm.states import AdminState, HealthState, Operational, ServerState, SlotState
from tests.support.control.site import ADMIN_NOTHING, a_server

RUNNING, STOPPED, STOPPING = Operational.RUNNING, Operational.STOPPED, Operational.STOPPING


def observed(
    operational: int,
    health: int,
    *,
    admin: AdminState = ADMIN_NOTHING,
    incarnation: int = 1,
    backup: bool = False,
    weight: int = 1,
    **more: int,
) -> Observed:
    """A server with rise 2 and fall 3, as its worker has written it down."""
    server = a_server(
        "s1", "127.78.10.1", 80, check=Check(rise=2, fall=3), balancing=Balancing(backup=backup)
    )
    proxy = Proxy("be", 2, "backend", Origin(), servers=(server,))
    slot = SlotState(1, incarnation, 4, "127.78.10.1", 80, -1, 0, 1, 1_000)
    fields = {"changed_ms": 2_000, "duration_us": 1_500, "checked_ms": 3_000, **more}
    statement = HealthState(1, 1, operational, 6, 3, 6, health, 0, 0, 0, 0, 0, 0, 0)
    state = ServerState(
        1,
        incarnation,
        weight,
        "127.78.10.1",
        80,
        operational,
        operational != STOPPED and not admin.flags and weight > 0,
        backup,
        False,
        bool(admin.flags & FDRAIN),
    )
    health = replace(statement, **fields)
    return Observed(proxy, server, Standing(configured_server(server), slot, admin, health, state))


@pytest.mark.parametrize(
    ("operational", "health", "status"),
    [
        (RUNNING, 4, "UP"),
        (RUNNING, 3, "UP 2/3"),
        (RUNNING, 2, "UP 1/3"),
        (STOPPED, 0, "DOWN"),
        (STOPPED, 1, "DOWN 1/2"),
        (STOPPING, 4, "NOLB"),
        (STOPPING, 3, "NOLB 2/3"),
    ],
)
def test_a_status_says_how_far_the_checks_have_come(
    operational: int, health: int, status: str
) -> None:
    assert server_status(observed(operational, health)) == status


def test_a_draining_server_says_so_while_it_is_up() -> None:
    drain = ADMIN_NOTHING._replace(flags=FDRAIN)
    assert server_status(observed(RUNNING, 4, admin=drain)) == "DRAIN"
    assert server_status(observed(RUNNING, 2, admin=drain)) == "DRAIN 1/3"
    assert server_status(observed(STOPPED, 0, admin=drain)) == "DOWN"


def test_a_statement_about_a_former_address_counts_for_nothing() -> None:
    stale = observed(RUNNING, 4, incarnation=2)
    assert stale.standing.statement is None
    assert server_status(stale) == "UP 1/3"


def test_check_cells_tell_result_duration_and_downtime() -> None:
    clock = Clock(now_ms=12_000, created_ms=500)
    down = observed(
        STOPPED, 0, status=8, code=111, failures=3, downs=2, downtime_ms=7_000, check_state=7
    )
    cells = check_cells(down, clock)
    assert cells["downtime"] == 7 + 10
    assert (cells["chkfail"], cells["chkdown"]) == (3, 2)
    assert cells["check_status"] == "* L4CON"
    assert (cells["last_chk"], cells["check_duration"]) == ("", 1)
    ended = observed(STOPPED, 0, status=8, code=111, check_state=6)
    assert check_cells(ended, clock)["last_chk"] == "Connection refused"
    assert "check_code" not in check_cells(ended, clock)
    said = observed(STOPPED, 0, status=17, code=421)._replace(check_text="too busy")
    cells = check_cells(said, clock)
    assert (cells["check_code"], cells["last_chk"]) == (421, "too busy")
    assert check_cells(observed(RUNNING, 4, downtime_ms=7_000), clock)["downtime"] == 7


def test_json_takes_what_a_server_said_that_is_not_utf_8() -> None:
    said = observed(STOPPED, 0, status=17)._replace(check_text="caf\udce9 é \udcff")
    cells = check_cells(said, Clock(now_ms=12_000, created_ms=500))
    row = json.loads(json_row({"type": 2, "iid": 1, "sid": 1, **cells}))
    shown = {field["field"]["name"]: field["value"]["value"] for field in row}
    assert shown["last_chk"] == "caf� é �"


def test_backups_carry_weight_only_while_no_active_server_does() -> None:
    proxy = Proxy("be", 2, "backend", Origin())
    backups = UsableCounts(
        active=0, backup=2, active_weight=0, backup_weight=7, first_backup_weight=3
    )
    assert summarize(proxy, backups._replace(active=1, active_weight=5), 1) == (1, 2, 5, True, 1)
    assert summarize(proxy, backups, 1) == (0, 2, 3, True, 1)
    everyone = Proxy("be", 2, "backend", Origin(), allbackups=True)
    assert summarize(everyone, backups, 1) == (0, 2, 7, True, 1)
    nobody = UsableCounts(0, 0, 0, 0, 0)
    assert summarize(proxy, nobody, 1) == (0, 0, 0, False, 1)
    assert summarize(proxy, nobody, 0).up
