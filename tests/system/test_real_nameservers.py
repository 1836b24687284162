"""Servers found through real nameservers of every kind, reached by real connections.

Unbound caches (TTLs that count down, an order that turns), dnsmasq serves a hosts file, one NSD
listens on IPv6, and one Unbound on TCP alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.dns.recursive import Dnsmasq, unbound
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

ZONE = "system.test"
NAME, LABEL = f"web.{ZONE}", f"_web._tcp.{ZONE}"
ADDRESSES = [f"127.83.1.{number}" for number in (1, 2, 3, 4)]
EDGE = "127.83.0.1"
TTL_S = 3

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    dns-accept-family ipv4
resolvers real
    nameserver ns1 {nameserver}
    accepted_payload_size 1232
    timeout resolve 200ms
    timeout retry 1s
defaults
    mode tcp
    timeout connect 1s
    timeout client 600s
    timeout server 600s
listen names
    bind {edge}:{names}
    balance roundrobin
    server-template web 4 {name}:{port} resolvers real init-addr none
listen labels
    bind {edge}:{labels}
    balance roundrobin
    server-template web 4 {label} resolvers real init-addr none
"""


@pytest.fixture
def port() -> Iterator[int]:
    """Where all backends listen."""
    with ExitStack() as stack:
        first = NamedBackend(ADDRESSES[0], 0)
        stack.callback(first.close)
        for address in ADDRESSES[1:]:
            stack.callback(NamedBackend(address, first.port).close)
        yield first.port


class Edge:
    """The program on one nameserver, and the backends of its clients."""

    def __init__(self, folder: Path, nameserver: str, port: int, stack: ExitStack) -> None:
        self.fronts = {name: free_port() for name in ("names", "labels")}
        text = CONFIGURATION.format(
            nameserver=nameserver, edge=EDGE, name=NAME, label=LABEL, port=port, **self.fronts
        )
        self.program = stack.enter_context(Program(folder, text))

    def answers(self, listener: str, connections: int) -> list[str]:
        target = (EDGE, self.fronts[listener])
        return sorted(who_answers(target) or "nobody" for _ in range(connections))

    def wait_for(self, listener: str, addresses: list[str], seconds: float = 10.0) -> None:
        """Exactly these servers are in turn."""
        wanted = sorted(addresses * 2)
        wait_for(
            lambda: self.answers(listener, len(wanted)) == wanted, seconds, f"{listener}: {wanted}"
        )

    def slots(self) -> dict[str, str]:
        return {name: row["srv_addr"] for name, row in self.program.servers("names").items()}


def zone(addresses: list[str], port: int) -> list[str]:
    """A name, and a label whose targets have addresses of their own."""
    hosts = {address: f"host{address.rpartition('.')[2]}" for address in addresses}
    return [
        *(f"web {TTL_S} IN A {address}" for address in addresses),
        *(f"_web._tcp {TTL_S} IN SRV 0 256 {port} {host}" for host in hosts.values()),
        *(f"{host} {TTL_S} IN A {address}" for address, host in hosts.items()),
    ]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_unbound_counts_ttls_down_and_turns_the_order(
    tmp_path: Path, port: int, stack: ExitStack
) -> None:
    nsd = stack.enter_context(Nsd(tmp_path, ZONE, zone(ADDRESSES[:3], port), "127.83.0.53"))
    between = stack.enter_context(unbound(tmp_path, nsd, "127.83.0.54"))
    edge = Edge(tmp_path, between.endpoint, port, stack)
    edge.wait_for("names", ADDRESSES[:3])
    edge.wait_for("labels", ADDRESSES[:3])
    slots, orders, ttls = edge.slots(), set(), set()

    def note() -> bool:
        answer = between.answer(NAME, "A")
        assert answer is not None
        orders.add(tuple(record.address for record in answer))
        ttls.add(answer.ttl)
        return len(orders) > 1 and len(ttls) > 1

    wait_for(note, 10.0, "another order and another TTL", step=0.1)
    assert edge.slots() == slots, "the order of records moved a server"
    nsd.set_records(zone(ADDRESSES[1:], port))
    edge.wait_for("names", ADDRESSES[1:], TTL_S + 7.0)
    edge.wait_for("labels", ADDRESSES[1:], TTL_S + 7.0)
    kept = {name for name, address in slots.items() if address in ADDRESSES[1:]}
    assert {name: edge.slots()[name] for name in kept} == {name: slots[name] for name in kept}


def test_dnsmasq_serves_names_and_labels_of_its_files(
    tmp_path: Path, port: int, stack: ExitStack
) -> None:
    targets = [f"{address} host{number}.{ZONE}" for number, address in enumerate(ADDRESSES)]
    named = [f"{address} {NAME}" for address in ADDRESSES]
    services = [f"{LABEL},host{number}.{ZONE},{port},0,256" for number in range(2)]
    server = Dnsmasq(tmp_path, [*targets, *named[:2]], services, "127.83.0.55")
    stack.enter_context(server)
    wait_for(lambda: server.answer(NAME, "A"), 10.0, "dnsmasq", step=0.05)
    edge = Edge(tmp_path, server.endpoint, port, stack)
    edge.wait_for("names", ADDRESSES[:2])
    edge.wait_for("labels", ADDRESSES[:2])
    moved = [f"{ADDRESSES[3]} host1.{ZONE}" if "host1." in line else line for line in targets]
    server.set_hosts([*moved, *named[1:]])
    edge.wait_for("names", ADDRESSES[1:])
    edge.wait_for("labels", [ADDRESSES[0], ADDRESSES[3]])


def test_a_nameserver_on_ipv6_is_asked(tmp_path: Path, port: int, stack: ExitStack) -> None:
    nsd = stack.enter_context(Nsd(tmp_path, ZONE, zone(ADDRESSES[:2], port), "::1"))
    assert nsd.endpoint.startswith("[::1]:")
    edge = Edge(tmp_path, nsd.endpoint, port, stack)
    edge.wait_for("names", ADDRESSES[:2])
    edge.wait_for("labels", ADDRESSES[:2])
    nsd.set_records(zone(ADDRESSES[1:3], port))
    edge.wait_for("names", ADDRESSES[1:3])
    edge.wait_for("labels", ADDRESSES[1:3])


def test_a_nameserver_with_nothing_but_tcp_is_asked_over_tcp(
    tmp_path: Path, port: int, stack: ExitStack
) -> None:
    nsd = stack.enter_context(Nsd(tmp_path, ZONE, zone(ADDRESSES[:2], port), "127.83.0.56"))
    server = stack.enter_context(unbound(tmp_path, nsd, "127.83.0.57", over_tcp=True))
    edge = Edge(tmp_path, server.endpoint, port, stack)
    edge.wait_for("names", ADDRESSES[:2])
    edge.wait_for("labels", ADDRESSES[:2])
    nsd.set_records(zone(ADDRESSES, port))
    edge.wait_for("names", ADDRESSES, TTL_S + 7.0)
    edge.wait_for("labels", ADDRESSES, TTL_S + 7.0)
