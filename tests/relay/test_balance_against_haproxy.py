"""HAProxy as the oracle of balancing: the same clients come to the same servers.

The same servers, weights and orders stand before Debian's HAProxy (one thread) and before relays of
one worker and of two; clients come from many addresses of the loopback network, one after the other.
"""

from __future__ import annotations

import random
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proxy.config.model.settings import Balance
from shm.states import AdminFlag
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Server, holding, named, receive_count

pytestmark = pytest.mark.slow

CLIENTS = 60
_random = random.Random(11)
SOURCES = [
    f"127.{_random.randrange(256)}.{_random.randrange(256)}.{_random.randrange(1, 255)}"
    for _ in range(CLIENTS)
]


class Haproxy:
    """The oracle with one `listen` section; a context manager."""

    def __init__(self, folder: Path, lines: Sequence[str], servers: Sequence[RelayServer]) -> None:
        self.port = free_port()
        self.socket = folder / "s"
        self.file = folder / "haproxy.cfg"
        text = ["global", " nbthread 1", f" stats socket {self.socket} level admin", "listen edge"]
        text += [" mode tcp", " timeout client 600s", " timeout server 600s", " timeout connect 2s"]
        text += [f" bind 127.0.0.1:{self.port}", *(f" {line}" for line in lines)]
        for number, server in enumerate(servers):
            backup = " backup" if server.backup else ""
            where = f"{server.address}:{server.port}"
            text += [f" server s{number} {where} weight {server.weight}{backup}"]
        self.file.write_text("\n".join(text) + "\n")

    def __enter__(self) -> Haproxy:
        self.process = subprocess.Popen(
            [require_program("haproxy"), "-db", "-f", self.file], stderr=subprocess.DEVNULL
        )
        wait_for(self.socket.exists, 10, "HAProxy listens")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def take_out(self, slot: int) -> None:
        """Put a server into maintenance."""
        self.order(f"set server edge/s{slot} state maint")

    def weigh(self, slot: int, weight: int) -> None:
        """Give a server another weight."""
        self.order(f"set server edge/s{slot} weight {weight}")

    def order(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            client.sendall(text.encode() + b"\n")
            assert client.recv(1000).strip() == b""


class Relay(RelayUnderTest):
    """The program under test, with the oracle's orders."""

    def take_out(self, slot: int) -> None:
        """Put a server into maintenance."""
        self.administer(slot, flags=AdminFlag.FMAINT)

    def weigh(self, slot: int, weight: int) -> None:
        """Give a server another weight."""
        self.administer(slot, weight=weight)


class Case(NamedTuple):
    lines: tuple[str, ...]
    fields: dict[str, Any]
    weights: tuple[int, ...] = (1, 1, 1, 1, 1)
    backups: int = 0  # the last servers
    out: tuple[int, ...] = ()  # slots in maintenance
    weigh: dict[int, int] = {}  # noqa: RUF012  never changed


SOURCE: dict[str, Any] = {"balance": Balance.SOURCE}
RING: dict[str, Any] = {**SOURCE, "hash_consistent": True}
SPREAD: dict[str, Any] = {"hash_avalanche": True}
CONSISTENT = ("balance source", "hash-type consistent")
MAPS = (
    Case(("balance source",), SOURCE),
    Case(("balance source",), SOURCE, (2, 3, 5)),
    Case(("balance source",), SOURCE, (2, 3, 5), out=(1,)),
    Case(("balance source",), SOURCE, (1, 2, 4, 2, 7, 100)),
    Case(("balance source",), SOURCE, (3, 2, 5), weigh={1: 0}),
    Case(("balance source", "hash-type map-based djb2"), SOURCE),
    Case(("balance source", "hash-type map-based crc32"), SOURCE),
    Case(("balance source", "hash-type map-based sdbm avalanche"), {**SOURCE, **SPREAD}, (3, 2, 2)),
    Case(("balance source", "hash-type map-based wt6 avalanche"), {**SOURCE, **SPREAD}, out=(0, 2)),
    Case(("balance source",), SOURCE, backups=2, out=(0, 1, 2)),
    Case(("balance source", "option allbackups"), {**SOURCE, "allbackups": True},
         backups=3, out=(0, 1)),
)  # fmt: skip
RINGS = (
    Case(CONSISTENT, {**RING, **SPREAD}),
    Case(CONSISTENT, {**RING, **SPREAD}, (1, 3, 10, 2)),
    Case(CONSISTENT, {**RING, **SPREAD}, (4, 4, 4), out=(1,)),
    Case(CONSISTENT, {**RING, **SPREAD}, (1, 3, 10, 2), weigh={2: 1, 0: 20}),
    Case(CONSISTENT, {**RING, **SPREAD}, backups=2, out=(0, 1, 2)),
    Case(("balance source", "hash-type consistent sdbm"), RING),
    Case(("balance source", "hash-type consistent djb2 avalanche"), {**RING, **SPREAD}, (9, 1)),
)


def ask(address: tuple[str, int], source: str = "127.0.0.1") -> str:
    with socket.socket() as client:
        client.settimeout(PATIENCE_SECONDS)
        client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        client.bind((source, 0))
        client.connect(address)
        return receive_count(client, 1).decode()


@contextmanager
def both(
    case: Case, folder: Path, *, hold: bool = False, workers: int = 1
) -> Iterator[tuple[Haproxy, Relay]]:
    """HAProxy and the relay of a case before the same servers."""
    with ExitStack() as stack:
        handler = holding if hold else named
        servers = [
            RelayServer(*stack.enter_context(Server(handler(str(number)))).address, weight, backup)
            for number, (weight, backup) in enumerate(placed(case))
        ]
        oracle = stack.enter_context(Haproxy(folder, case.lines, servers))
        relay = stack.enter_context(Relay(servers, workers=workers, **case.fields))
        programs: tuple[Haproxy, Relay] = (oracle, relay)
        for program in programs:
            for slot in case.out:
                program.take_out(slot)
            for slot, weight in case.weigh.items():
                program.weigh(slot, weight)
        yield oracle, relay


def placed(case: Case) -> Iterator[tuple[int, bool]]:
    for number, weight in enumerate(case.weights):
        yield weight, number >= len(case.weights) - case.backups


@pytest.mark.parametrize("case", MAPS + RINGS, ids=lambda case: "-".join(case.lines[-1].split()))
def test_each_client_comes_to_the_server_that_haproxy_gives_it(case: Case, tmp_path: Path) -> None:
    with both(case, tmp_path, workers=2) as (oracle, relay):
        expected = [ask(oracle.address, source) for source in SOURCES]
        assert [ask(relay.address, source) for source in SOURCES] == expected


@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 3, 5), (1, 2, 4, 2)])
def test_static_turns_come_in_haproxys_order(weights: tuple[int, ...], tmp_path: Path) -> None:
    case = Case(("balance static-rr",), {"balance": Balance.STATIC_RR}, weights)
    with both(case, tmp_path, workers=2) as (oracle, relay):
        expected = [ask(oracle.address) for _ in range(2 * sum(weights))]
        assert [ask(relay.address) for _ in range(2 * sum(weights))] == expected


@pytest.mark.parametrize(
    "case",
    [
        Case(("balance roundrobin",), {}, (2, 3, 5)),
        Case(("balance roundrobin",), {}, (10, 1, 1), out=(2,)),
        Case(("balance roundrobin",), {}, (10, 1, 1), weigh={0: 2}),
        Case(("balance first",), {"balance": Balance.FIRST}, (1, 5, 5), out=(0,)),
    ],
    ids=["weights", "out", "weigh", "first"],
)
def test_shares_are_haproxys(case: Case, tmp_path: Path) -> None:
    with both(case, tmp_path, workers=2) as (oracle, relay):
        expected = Counter(ask(oracle.address) for _ in range(60))
        found = Counter(ask(relay.address) for _ in range(60))
        assert found.keys() == expected.keys()
        assert all(abs(found[name] - expected[name]) <= 1 for name in expected)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 1, 2), (1, 3), (2, 3, 5)])
def test_the_least_loaded_server_is_haproxys(weights: tuple[int, ...], tmp_path: Path) -> None:
    case = Case(("balance leastconn",), {"balance": Balance.LEASTCONN}, weights)
    with both(case, tmp_path, hold=True) as programs, ExitStack() as stack:
        orders = []
        for program in programs:
            order = ""
            for _ in range(20):
                client = stack.enter_context(
                    socket.create_connection(program.address, PATIENCE_SECONDS)
                )
                order += receive_count(client, 1).decode()
            orders.append(order)
        assert orders[1] == orders[0]


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 3, 2, 2)])
def test_bounded_loads_are_haproxys(weights: tuple[int, ...], tmp_path: Path) -> None:
    fields = {**RING, **SPREAD, "hash_balance_factor": 125}
    case = Case((*CONSISTENT, "hash-balance-factor 125"), fields, weights)
    with both(case, tmp_path, hold=True) as programs, ExitStack() as stack:
        orders = []
        for program in programs:
            order = ""
            for number in range(30):
                client = stack.enter_context(socket.socket())
                client.settimeout(PATIENCE_SECONDS)
                client.bind((SOURCES[number % 7], 0))
                client.connect(program.address)
                order += receive_count(client, 1).decode()
            orders.append(order)
        assert orders[1] == orders[0]
