"""Orders through the real socket: what is published, which bells ring, what DNS voids, what is logged."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec
import pytest

from proxy.config.model.settings import Agent, Balance, Balancing, Check, Origin, Proxy
from proxy.runtime import now_ms
from shm.agents import AgentReader, AgentWriter
from shm.names import NameReader
from shm.states import AdminFlag, AgentCommand, AgentState, AgentWord, Cause
from tests.support.control.site import ADMIN_NOTHING, World, a_server, control_world

NO_VALUE = 0


@pytest.fixture
def world() -> Iterator[World]:
    servers = (
        a_server("s1", "127.78.5.1", 80, balancing=Balancing(10)),
        a_server("s2", "app.test", 80, check=Check()),
        a_server("s3", "127.78.5.3", 80, disabled=True, balancing=Balancing(backup=True)),
    )
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as made:
        yield made


@pytest.fixture
def named() -> Iterator[World]:
    """Servers with an address, a name and the label of a service."""
    servers = (
        a_server("s1", "127.78.5.1", 80),
        msgspec.structs.replace(a_server("s2", "app.test", 80), resolution_index=0),
        msgspec.structs.replace(
            a_server("s3", "_a._tcp.test", 80),
            fqdn=None,
            srv_record="_a._tcp.test",
            resolution_index=1,
        ),
        a_server("s4", "127.78.5.4", 80, resolvers="r1"),
    )
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as made:
        os.eventfd_write(made.runtime.bells.resolverd, 1)
        yield made


def state_of(world: World, slot: int) -> list[str]:
    """The row of a server in `show servers state`."""
    return world.ask("show servers state").splitlines()[2 + slot].split(" ")


def rings(bell: int) -> int:
    """How often a bell was rung since it was read last."""
    try:
        return os.eventfd_read(bell)
    except BlockingIOError:
        return NO_VALUE


def test_an_order_is_published_and_rings_who_has_something_to_do(world: World) -> None:
    bells = world.runtime.bells
    generation = world.segment.table_generation
    of_backend = world.table.backend_generation(0)
    assert world.ask("set server be/s1 state drain") == "\n"
    assert world.table.admin(0).flags == AdminFlag.FDRAIN
    assert not world.table.server(0).eligible
    assert world.segment.table_generation > generation
    assert world.table.backend_generation(0) > of_backend
    for bell in (*bells.relays, bells.resolverd):
        assert rings(bell) == 1
    for bell in (*bells.workers, bells.control):
        assert rings(bell) == NO_VALUE


def test_an_order_rings_the_main_threads_that_check_the_server_or_one_that_tracks_it() -> None:
    servers = (
        a_server("s1", "127.78.5.1", 80, check=Check()),
        a_server("s2", "127.78.5.2", 80),
        a_server("s3", "127.78.5.3", 80, track="be/s2", tracked_slot=1, agent=Agent(port=1)),
    )
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)], workers=2) as world:
        first, second = world.runtime.bells.workers
        for name, rung in (("s1", [1, NO_VALUE]), ("s2", [1, NO_VALUE]), ("s3", [1, NO_VALUE])):
            assert world.ask(f"set server be/{name} state maint") == "\n"
            assert [rings(first), rings(second)] == rung


@pytest.mark.parametrize(
    ("balance", "consistent", "weight", "first_id", "rung"),
    [
        (Balance.ROUNDROBIN, False, 2, 1, NO_VALUE),
        (Balance.LEASTCONN, False, 2, 1, NO_VALUE),
        (Balance.SOURCE, True, 2, 1, NO_VALUE),
        (Balance.SOURCE, False, 1, 1, NO_VALUE),
        (Balance.SOURCE, False, 2, 1, 1),
        (Balance.STATIC_RR, False, 1, 9, NO_VALUE),
        (Balance.STATIC_RR, False, 0, 1, 1),
        (Balance.FIRST, False, 2, 1, NO_VALUE),
        (Balance.FIRST, False, 1, 9, 1),
    ],
)
def test_an_order_rings_the_main_threads_that_lay_out_turns(
    balance: Balance, *, consistent: bool, weight: int, first_id: int, rung: int
) -> None:
    other = Balancing(weight, slowstart_ms=1_000)
    servers = (
        a_server("s1", "127.78.5.1", 80, id=first_id),
        a_server("s2", "127.78.5.2", 80, id=2, slot=1, balancing=other),
    )
    proxy = Proxy("be", 2, "backend", Origin(), balance=balance, servers=servers)
    proxy = msgspec.structs.replace(proxy, hash_consistent=consistent)
    with control_world([proxy], workers=2) as world:
        assert world.ask("set server be/s1 state maint") == "\n"
        assert [rings(bell) for bell in world.runtime.bells.workers] == [rung, rung]


def test_an_order_that_changes_nothing_rings_nobody(world: World) -> None:
    generation = world.segment.table_generation
    assert world.ask("set server be/s1 state ready") == "\n"
    unchanged = "no need to change the addr by 'stats socket command'\n\n"
    assert world.ask("set server be/s1 addr 127.78.5.1") == unchanged
    assert world.segment.table_generation == generation
    assert [rings(bell) for bell in world.runtime.bells.all()] == [NO_VALUE] * 6
    assert world.logged() == ""


def test_an_address_order_moves_the_server_until_dns_says_something_else(world: World) -> None:
    world.slots.publish(1, "127.78.5.2", 80, cause=Cause.DNS, now_ms=now_ms())
    answer = world.ask("set server be/s2 addr 127.78.5.9 port 99")
    assert answer == (
        "IP changed from '127.78.5.2' to '127.78.5.9', port changed from '80' to '99' "
        "by 'stats socket command'\n\n"
    )
    assert world.table.server(1)[3:5] == ("127.78.5.9", 99)
    assert world.table.server(1).eligible
    # the same answer again changes nothing
    world.slots.publish(1, "127.78.5.2", 80, cause=Cause.DNS, now_ms=now_ms())
    assert world.table.server(1)[3:5] == ("127.78.5.9", 99)
    world.slots.publish(1, "127.78.5.4", 80, cause=Cause.DNS, now_ms=now_ms())
    assert world.table.server(1)[3:5] == ("127.78.5.4", 80)
    # and the order does not come back with the former address
    world.slots.publish(1, "127.78.5.2", 80, cause=Cause.DNS, now_ms=now_ms())
    assert world.table.server(1)[3:5] == ("127.78.5.2", 80)


def test_orders_of_different_kinds_do_not_undo_each_other(world: World) -> None:
    world.ask("set server be/s1 addr 127.78.5.9")
    world.ask("set server be/s1 weight 50%")
    world.ask("set server be/s1 state maint")
    admin = world.table.admin(0)
    assert (admin.flags, admin.weight, admin.address) == (AdminFlag.FMAINT, 5, "127.78.5.9")
    world.ask("enable server be/s1")
    assert world.ask("get weight be/s1") == "5 (initial 10)\n\n"
    assert world.table.server(0).eligible


def test_a_disabled_server_comes_back_by_order_and_stays_marked(world: World) -> None:
    assert not world.table.server(2).eligible
    world.ask("enable server be/s3")
    assert world.table.server(2).eligible
    row = world.ask("show servers state").splitlines()[4].split(" ")
    assert (row[5], row[6]) == ("2", "4")


def test_a_weight_of_zero_takes_no_sessions_but_stays_up(world: World) -> None:
    world.ask("set weight be/s1 0")
    assert not world.table.server(0).eligible
    assert world.ask("show servers state").splitlines()[2].split(" ")[5:8] == ["2", "0", "0"]


def test_what_changed_is_logged_in_haproxys_words(world: World) -> None:
    for order in ("state drain", "state maint", "state ready", "weight 3", "addr 127.78.5.9"):
        world.ask(f"set server be/s1 {order}")
    world.ask("disable server be/s2")
    world.ask("enable server be/s2")
    world.ask("enable server be/s3")
    assert world.logged().splitlines() == [
        "5 Server be/s1 enters drain state. 0 active and 0 backup servers online. "
        "0 sessions requeued, 0 total in queue.",
        "0 backend be has no server available!",
        "5 Server be/s1 is going DOWN for maintenance. 0 active and 0 backup servers left. "
        "0 sessions active, 0 requeued, 0 remaining in queue.",
        "5 Server be/s1 is UP/READY (leaving forced maintenance).",
        "5 be/s1: IP changed from '127.78.5.1' to '127.78.5.9' by 'stats socket command'",
        "5 Server be/s2 was in maintenance and now enters forced maintenance.",
        "5 Server be/s2 is leaving forced maintenance but remains in maintenance.",
        "5 Backup Server be/s3 is UP/READY (leaving forced maintenance).",
    ]


def test_an_unchecked_server_is_what_is_said_of_its_health(world: World) -> None:
    world.ask("set server be/s1 health down")
    assert not world.table.server(0).eligible
    assert state_of(world, 0)[5] == "0"
    world.ask("set server be/s1 health stopping")
    assert not world.table.server(0).eligible
    assert "NOLB" in world.ask("show stat")
    world.ask("set server be/s1 health up")
    assert world.table.server(0).eligible
    assert (state_of(world, 0)[5], state_of(world, 0)[12]) == ("2", "4")
    wrong = "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n"
    assert world.ask("set server be/s1 health foo") == wrong
    assert world.logged().splitlines() == [
        "1 Server be/s1 is DOWN, changed from CLI. 0 active and 0 backup servers left. "
        "0 sessions active, 0 requeued, 0 remaining in queue.",
        "0 backend be has no server available!",
        "5 Server be/s1 is stopping, changed from CLI. 0 active and 0 backup servers online. "
        "0 sessions requeued, 0 total in queue.",
        "5 Server be/s1 is UP, changed from CLI. 1 active and 0 backup servers online. "
        "0 sessions requeued, 0 total in queue.",
    ]


def test_what_is_said_of_health_ends_with_maintenance_and_with_the_address(world: World) -> None:
    world.ask("set server be/s1 health down")
    world.ask("set server be/s1 state maint")
    world.ask("set server be/s1 state ready")
    assert world.table.server(0).eligible
    world.ask("set server be/s1 health down")
    world.slots.publish(0, None, 80, now_ms=now_ms())
    world.slots.publish(0, "127.78.5.1", 80, now_ms=now_ms())
    assert world.table.server(0).eligible


def test_checks_are_suspended_and_resumed_only_where_there_are_any(world: World) -> None:
    world.slots.publish(1, "127.78.5.2", 80, now_ms=now_ms())
    assert world.ask("disable health be/s2") == "\n"
    assert world.table.server(1).check_off
    assert state_of(world, 1)[13] == "2"
    assert world.ask("enable health be/s2") == "\n"
    assert state_of(world, 1)[13] == "6"
    refusal = "Health check was not configured on this server, cannot enable.\n\n"
    assert world.ask("enable health be/s1") == refusal
    assert world.ask("disable health be/s1") == "\n"


def test_a_name_is_ordered_where_one_is_resolved(named: World) -> None:
    answer = "be/s2 changed its FQDN from app.test to other.test by 'stats socket command'\n\n"
    os.eventfd_read(named.runtime.bells.resolverd)
    assert named.ask("set server be/s2 fqdn Other.test.") == answer
    assert rings(named.runtime.bells.resolverd) == 1
    assert NameReader(named.segment).order(1).name == "other.test"
    row = state_of(named, 1)
    assert (row[17], int(row[6]) & 0x40) == ("other.test", 0x40)
    same = "no need to change the FDQN by 'stats socket command'\n\n"
    assert named.ask("set server be/s2 fqdn other.test") == same
    named.ask("set server be/s2 fqdn app.test")
    assert NameReader(named.segment).order(1).name == ""


def test_a_name_is_ordered_for_a_server_by_address_whose_line_has_resolvers(named: World) -> None:
    answer = "be/s4 changed its FQDN from (null) to other.test by 'stats socket command'\n\n"
    assert named.ask("set server be/s4 fqdn other.test") == answer
    assert NameReader(named.segment).order(3).name == "other.test"
    row = state_of(named, 3)
    assert (row[4], row[17]) == ("127.78.5.4", "other.test")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            "be/s1 fqdn a.test",
            "set server <b>/<s> fqdn failed because no resolution is configured.",
        ),
        (
            "be/s3 fqdn a.test",
            "set server <b>/<s> fqdn failed because SRV resolution is configured.",
        ),
        ("be/s2 fqdn", "set server <b>/<s> fqdn requires a FQDN."),
        ("be/s2 fqdn bad..name", "could not update be/s2 FQDN by 'stats socket command'"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_haproxys_words(
    named: World, words: str, answer: str
) -> None:
    assert named.ask(f"set server {words}") == f"{answer}\n\n"


def test_orders_survive_the_death_of_the_process_that_took_them(world: World) -> None:
    world.ask("set server be/s1 state maint")
    world.kill(9)
    world.board.ended(world.segment.shape.control_process)
    assert world.table.admin(0) != ADMIN_NOTHING
    world.start()
    assert world.ask("show servers state").splitlines()[2].split(" ")[5:7] == ["0", "1"]
    world.ask("set server be/s1 state ready")
    assert world.table.server(0).eligible


def test_set_maxconn_server(world: World) -> None:
    assert world.ask("set maxconn server be/s1 7").strip() == ""
    assert world.table.server(0).maxconn == 7
    assert world.ask("set maxconn server be/s1 0").strip() == ""
    assert world.table.server(0).maxconn == 0
    for text in ("x", "-1", "7x", "2147483648"):
        assert "garbage" in world.ask(f"set maxconn server be/s1 {text}")
    assert world.ask("set maxconn server be/s1").strip() == "Require <maxconn>."
    assert world.ask("set maxconn server be/nix 7").strip() == "No such server."


@pytest.fixture
def asked() -> Iterator[World]:
    """A server with an agent, and one without."""
    servers = (
        a_server("s1", "127.78.5.1", 80, balancing=Balancing(10), agent=Agent(7, None, 2_000)),
        a_server("s2", "127.78.5.2", 80),
    )
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as made:
        yield made


def test_an_order_counts_against_what_the_agent_said_before(asked: World) -> None:
    agent = AgentWriter(asked.segment)
    said = AgentState(1, 1, 1, weight=5, maxconn=7, word=AgentWord.DRAIN)
    agent.publish(0, said, changed=True)
    assert state_of(asked, 0)[6:8] == ["8", "5"]
    asked.ask("set server be/s1 weight 3")
    assert state_of(asked, 0)[6:8] == ["8", "3"]
    assert asked.table.admin(0).flags == 0  # the drain is the agent's
    asked.ask("set server be/s1 state ready")
    assert state_of(asked, 0)[6:8] == ["0", "3"]
    orders = AgentReader(asked.segment).orders(0)
    assert orders.weight_ns > 1
    assert orders.state_ns > 1
    assert orders.maxconn_ns == 0
    assert asked.table.server(0).maxconn == 7
    asked.ask("set maxconn server be/s1 9")
    assert asked.table.server(0).maxconn == 9
    agent.publish(0, said._replace(state_ns=time.monotonic_ns()), changed=True)
    assert asked.table.server(0).drain
    assert asked.table.server(0).weight == 3


def test_agents_obey_orders_of_their_own(asked: World) -> None:
    reader = AgentReader(asked.segment)
    assert asked.ask("set server be/s1 agent down") == "\n"
    assert (reader.orders(0).orders, reader.orders(0).order) == (1, AgentCommand.DOWN)
    asked.ask("set server be/s1 agent up")
    assert (reader.orders(0).orders, reader.orders(0).order) == (2, AgentCommand.UP)
    asked.ask("set server be/s1 agent-addr 127.0.0.9 port 99")
    assert state_of(asked, 0)[-2:] == ["127.0.0.9", "99"]
    asked.ask("set server be/s1 agent-port 98")
    assert (reader.orders(0).address, reader.orders(0).port) == ("127.0.0.9", 98)
    asked.ask("disable agent be/s1")
    assert state_of(asked, 0)[14] == "18"
    assert "not enabled" in asked.ask("set server be/s1 agent up")
    asked.ask("enable agent be/s1")
    assert state_of(asked, 0)[14] == "22"


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        ("set server be/s1 agent x", "'set server <srv> agent' expects 'up' or 'down'."),
        ("set server be/s1 agent-addr", "requires an address and optionally a port."),
        ("set server be/s1 agent-addr no.invalid", "invalid addr 'no.invalid'"),
        ("set server be/s1 agent-addr ::1 port x", "provided port is not an integer"),
        ("set server be/s1 agent-port 65536", "provided port is invalid"),
        ("set server be/s1 agent-port", "agent-port requires a port."),
        ("set server be/s1 agent-send " + "x" * 256, "at most 255 bytes at run time"),
        ("set server be/s2 agent-send x", "agent checks are not enabled on this server."),
        ("set server be/s2 agent up", "agent checks are not enabled on this server."),
        ("set server be/s2 agent-addr ::1", "agent checks are not enabled on this server."),
        ("set server be/s1 x", " | agent | agent-addr | agent-port | agent-send | "),
        ("set server be/s1 check-port 8", "health checks are not enabled on this server"),
        ("set server be/s1 check-addr ::1", "health checks are not enabled on this server"),
        ("enable agent be/s2", "Agent was not configured on this server, cannot enable."),
    ],
)
def test_orders_that_cannot_be(asked: World, order: str, answer: str) -> None:
    generation = asked.segment.table_generation
    assert answer in asked.ask(order)
    assert asked.ask("disable agent be/s2") == "\n"
    assert asked.segment.table_generation == generation
