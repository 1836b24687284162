"""Where clients end up, and what an operator is told (findings 7, 11, 12, 37): the whole program."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.findings.edge import Edge
from tests.support.common import wait_for
from tests.support.dns.scripted import NX, services

pytestmark = pytest.mark.slow

LABEL = "_web._tcp.app.test"
EMPTY = {"srv_addr": "-", "srv_op_state": "0", "srv_admin_state": "32"}

Maker = Callable[[str, int], Edge]


@pytest.fixture
def make_edge(tmp_path: Path) -> Iterator[Maker]:
    with ExitStack() as stack:
        yield lambda network, count: Edge(tmp_path, stack, network, count)


def test_finding_07_a_removed_record_leaves_no_trace_and_its_address_gets_no_traffic(
    make_edge: Maker,
) -> None:
    edge = make_edge("127.0.91", 2)
    gone, stays = edge.addresses
    both = services(f"1 {edge.port} h1.test", f"1 {edge.port} h2.test", h1_test=gone, h2_test=stays)
    edge.nameserver.set(LABEL, "SRV", both)
    program = edge.start(f"server-template web 2 {LABEL} resolvers r1 init-addr none")
    edge.wait_for(gone, stays)
    edge.nameserver.set(LABEL, "SRV", services(f"1 {edge.port} h2.test", h2_test=stays))
    wait_for(lambda: gone not in program.ask("show servers state edge"), 10, "no trace of it")
    # another service has that address and port now: the same listener, which no client may reach
    before = edge.backends[gone].accepted
    assert edge.who(10) == {stays}
    assert edge.backends[gone].accepted == before
    freed = [row for row in program.servers("edge").values() if row["srv_addr"] == "-"]
    assert [(row["srv_port"], row["srv_admin_state"]) for row in freed] == [("0", "96")]


def test_finding_11_a_slot_without_an_address_is_never_up_and_gets_no_client(
    make_edge: Maker,
) -> None:
    edge = make_edge("127.0.92", 1)
    (only,) = edge.addresses
    edge.nameserver.set(LABEL, "SRV", services(f"1 {edge.port} h1.test", h1_test=only))
    program = edge.start(f"server-template web 3 {LABEL} resolvers r1 init-addr none")
    edge.wait_for(only)
    assert edge.who(12) == {only}

    def states() -> list[dict[str, str]]:
        rows = program.servers("edge").values()
        return [{name: row[name] for name in EMPTY} for row in rows]

    assert states().count(EMPTY) == 2
    program.ask("set server edge/web3 state ready")  # an order cannot give it what it has not
    program.ask("set server edge/web3 health up")
    assert edge.who(6) == {only}
    assert states().count(EMPTY) == 2


def test_finding_12_a_changed_address_is_followed_and_the_reason_of_a_kept_one_told(
    make_edge: Maker,
) -> None:
    edge = make_edge("127.0.93", 2)
    old, new = edge.addresses
    edge.nameserver.set("app.test", "A", old)
    program = edge.start("server web app.test:{port} resolvers r1 init-addr none")
    edge.wait_for(old)
    edge.nameserver.set("app.test", "A", new)
    edge.wait_for(new)
    told = program.ask("show why edge/web")
    assert told.startswith("edge/web takes new sessions.")
    assert f"from {old} to {new} by r1/ns1" in told

    edge.nameserver.set("app.test", "*", NX)
    kept = "stale         : servers live on hold nx"
    wait_for(lambda: kept in program.ask("show resolution app.test"), 10, "a hold")
    text = program.ask("show resolution app.test")
    assert "last question" in text
    assert f"record {new}: seen " in text
    assert edge.who(3) == {new}


def test_finding_37_clients_are_served_while_dns_stands_still_or_dies(make_edge: Maker) -> None:
    edge = make_edge("127.0.94", 2)
    edge.nameserver.set("app.test", "A", edge.addresses)
    program = edge.start("server-template web 2 app.test:{port} resolvers r1 init-addr none")
    edge.wait_for(*edge.addresses)
    (pid,) = program.children()["resolverd"]
    workers = program.children()["worker"]
    with program.stand_still(pid):
        assert edge.who(40) == set(edge.addresses)
        os.kill(pid, signal.SIGKILL)
    assert edge.who(40) == set(edge.addresses)
    wait_for(lambda: program.children().get("resolverd", [pid]) != [pid], 10, "a successor")
    edge.nameserver.set("app.test", "A", edge.addresses[0])
    edge.wait_for(edge.addresses[0])
    assert program.children()["worker"] == workers
