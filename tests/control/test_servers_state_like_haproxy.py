"""`show servers state`, field by field beside Debian's HAProxy on the same configuration."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.model.settings import Origin, Proxy
from proxy.control.rows.observation import Observer
from proxy.control.rows.server_rows import state_row
from proxy.runtime import now_ms
from resolverd.state_file.format import COLUMNS
from shm.names import TargetWriter
from shm.states import Cause, SlotFlag
from tests.support.control.pair import Pair, pair, passed, settled, slot_of
from tests.support.control.site import World, a_server, control_world

FIELDS = COLUMNS.split()
CHANGES = "srv_time_since_last_change"
# HAProxy keeps its health counter at another value after a server without checks was brought back
UNCHECKED_HEALTH = ("srv_check_health", "srv_check_state")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


def table(answer: str) -> dict[str, dict[str, str]]:
    lines = answer.splitlines()
    assert lines[0] == "1"
    assert lines[1] == f"# {COLUMNS}"
    assert lines[-1] == ""
    rows = [dict(zip(FIELDS, line.split(" "), strict=True)) for line in lines[2:-1]]
    return {f"{row['be_name']}/{row['srv_name']}": row for row in rows}


def differences(made: Pair, ignored: tuple[str, ...] = ()) -> list[str]:
    theirs, ours = (table(answer) for answer in made.both("show servers state"))
    assert list(theirs) == list(ours)
    return [
        f"{name} {field}: HAProxy {theirs[name][field]}, Millrace {ours[name][field]}"
        for name in theirs
        for field in FIELDS
        if field != CHANGES
        and theirs[name][field] != ours[name][field]
        and not (field in ignored and theirs[name]["srv_check_status"] == "1")
    ]


CHECK_BEGINS = "set server l1/e state drain"  # it leaves maintenance
CHECKED_FROM_NOW_ON = ("127.78.1.2", 7105)
ORDERS = [
    "set server l1/a state drain",
    "set server b1/up1 state drain",
    "set server b1/up1 state maint",
    "set server b1/up1 state ready",
    "set server l1/a state maint",
    "disable server b1/web1",
    "set server b1/web2 state drain",
    "set server b1/web2 state ready",
    "enable server b1/web1",
    "set server l1/a weight 7",
    "set weight l1/e 50%",
    "set server l1/a weight 100%",
    "set server #2/#1 addr 127.78.1.3 port 99",
    "set server l1/a addr 127.78.1.2 port 7101",
    "set server l1/a state ready",
    "set server l1/a state drain",
    "enable server l1/a",
    "set server l1/e state drain",
    "set server l1/e state maint",
    "set server l1/d state drain",
    "disable server l1/d",
    "enable server l1/d",
    "set server l1/b state drain",
    "disable server l1/b",
    "set server b1/wec1 state drain",
    "set server b1/wec1 state maint",
    "set server b1/wec1 state ready",
    "set weight b1/web1 0",
]


@pytest.mark.slow
def test_every_field_is_haproxys_through_a_series_of_orders(both: Pair) -> None:
    assert settled(lambda: differences(both)) == []
    with socket.create_server(CHECKED_FROM_NOW_ON):
        for order in ORDERS:
            both.both(order)
            if order == CHECK_BEGINS:  # HAProxy's check passes, in its own time
                passed(both.world, "l1/e", 4)
            assert settled(lambda: differences(both, UNCHECKED_HEALTH)) == [], order


@pytest.mark.slow
def test_one_backend_by_name_or_number_and_none_by_a_wrong_one(both: Pair) -> None:
    for word in ("b1", "#4"):
        theirs, ours = (table(answer) for answer in both.both(f"show servers state {word}"))
        assert list(theirs) == list(ours)
    theirs, ours = both.both("show servers state nowhere")
    assert theirs == ours == "Can't find backend.\n\n"


@pytest.fixture
def world() -> Iterator[World]:
    servers = (a_server("s1", "app.test", 80), a_server("s2", "_web._tcp.app.test", 0))
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as made:
        yield made


def state_of(made: World, name: str) -> dict[str, str]:
    return table(made.ask("show servers state"))[name]


def test_a_slot_that_never_resolved_is_stopped_for_lack_of_an_address(world: World) -> None:
    row = state_of(world, "be/s1")
    assert (row["srv_addr"], row["srv_op_state"], row["srv_admin_state"]) == ("-", "0", "32")
    assert row["srv_port"] == "80"


def test_a_slot_that_resolves_runs_and_loses_its_address_again(world: World) -> None:
    slot = slot_of(world, "be/s1")
    world.slots.publish(slot, "127.78.2.1", 80, cause=Cause.DNS, now_ms=now_ms())
    row = state_of(world, "be/s1")
    assert (row["srv_addr"], row["srv_op_state"], row["srv_admin_state"]) == (
        "127.78.2.1",
        "2",
        "0",
    )
    world.slots.publish(slot, None, 80, cause=Cause.NX, flags=SlotFlag.RMAINT, now_ms=now_ms())
    row = state_of(world, "be/s1")
    assert (row["srv_addr"], row["srv_op_state"], row["srv_admin_state"]) == ("-", "0", "32")
    assert row["srv_port"] == "80"


def test_the_weight_that_dns_gives_is_the_users_weight(world: World) -> None:
    slot = slot_of(world, "be/s1")
    world.slots.publish(slot, "127.78.2.1", 80, weight=12, cause=Cause.DNS, now_ms=now_ms())
    row = state_of(world, "be/s1")
    assert (row["srv_uweight"], row["srv_iweight"]) == ("12", "1")


def test_an_srv_label_stands_in_its_own_field(world: World) -> None:
    row = state_of(world, "be/s2")
    assert (row["srv_fqdn"], row["srvrecord"]) == ("-", "_web._tcp.app.test")
    TargetWriter(world.segment).publish(slot_of(world, "be/s2"), "h1.test", now_ms())
    row = state_of(world, "be/s2")
    assert (row["srv_fqdn"], row["srvrecord"]) == ("h1.test", "_web._tcp.app.test")


def test_the_age_counts_from_the_last_change_in_whole_seconds(world: World) -> None:
    observed = next(
        Observer(world.runtime.servers, world.segment).backend(world.settings.backends[0])
    )
    changed = observed.standing.last_change_ms(0)
    fields = state_row(observed, 0, changed + 5_999).split(" ")
    assert fields[FIELDS.index(CHANGES)] == "5"


def test_a_reader_of_state_files_takes_the_answer(world: World, tmp_path: Path) -> None:
    for line in world.ask("show servers state").splitlines()[2:-1]:
        assert 20 <= len(line.split(" ")) <= 25
        assert len(line) <= 2000
