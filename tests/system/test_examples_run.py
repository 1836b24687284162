"""The configurations of deploy/examples at work: a server that is ill leaves, and comes back.

Addresses of 192.0.2.0/24 become those of loopback with stand-ins; intervals become short. HAProxy
says of each file what Millrace says.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, require_program, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records, services
from tests.support.program.program import Program
from tests.system import stand_ins
from tests.system.stand_ins import Handler, StandIn

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
ROLE = stand_ins.http(b"200 OK\n", b"503 Service Unavailable\n")
SYNCED = stand_ins.http(
    b"200 OK\nGalera cluster node is synced.\r\n", b"503 No\nGalera cluster node is not synced.\r\n"
)
RABBIT = stand_ins.http(b'200 OK\n{"status":"ok"}', b'200 OK\n{"status":"failed"}')
ETCD = stand_ins.http(b'200 OK\n{"health":"true"}', b'200 OK\n{"health":"false"}')
READY = stand_ins.http(b"200 OK\nyes", b"404 Not Found\nleaving")
API = stand_ins.over_tls(
    stand_ins.http(b"200 OK\nok", b"500 Internal Server Error\n[-]etcd failed: reason withheld")
)


class Example(NamedTuple):
    """Stand-ins by their last number and port, and the backend whose servers are looked at.

    `falls` is the one that falls ill, `ill` what becomes of it; None: a check that says nothing.
    """

    handlers: dict[tuple[int, int], Handler]
    falls: tuple[int, int] | None
    backend: str
    ill: str = "DOWN"


def same(handler: Handler, numbers: range, *ports: int) -> dict[tuple[int, int], Handler]:
    return {(number, port): handler for number in numbers for port in ports}


RUNS = {
    "patroni": Example(same(ROLE, range(11, 14), 8008), (11, 8008), "primary"),
    "galera": Example(same(SYNCED, range(21, 24), 9200), (22, 9200), "readers"),
    "mysql": Example(same(stand_ins.mysql, range(31, 34), 3306), (31, 3306), "mysql-primary"),
    "redis": Example(
        same(stand_ins.REDIS, range(41, 43), 6379) | same(stand_ins.SENTINEL, range(41, 43), 26379),
        (41, 6379),
        "redis-master",
    ),
    "rabbitmq": Example(same(RABBIT, range(51, 54), 15672), (53, 15672), "amqp"),
    "mail": Example(
        same(stand_ins.SMTP, range(61, 63), 25) | same(stand_ins.IMAP, range(61, 63), 143),
        (62, 143),
        "imap",
    ),
    "ldap": Example(same(stand_ins.LDAP, range(71, 73), 389), (71, 389), "directories"),
    "mqtt": Example(same(stand_ins.MQTT, range(81, 83), 1883), (82, 1883), "mqtt"),
    "etcd": Example(same(ETCD, range(91, 94), 2379), (91, 2379), "members"),
    "consul": Example(same(READY, range(101, 103), 9001), (101, 9001), "orders", "NOLB"),
    "kubernetes": Example(same(API, range(121, 124), 6443), (122, 6443), "apiservers"),
    "sni": Example(same(API, range(131, 133), 8443), (132, 8443), "shop"),
    "swarm": Example(same(stand_ins.at_once(b"", b""), range(111, 114), 7000), None, "app"),
}


@contextmanager
def running(name: str, folder: Path) -> Iterator[tuple[Program, dict[tuple[int, int], StandIn]]]:
    """The program with the example, among its stand-ins."""
    number = list(RUNS).index(name) + 1
    net = f"127.92.{number}."
    with ExitStack() as stack:
        servers = {
            place: stack.enter_context(StandIn(f"{net}{place[0]}", place[1], handler))
            for place, handler in RUNS[name].handlers.items()
        }
        nameserver = stack.enter_context(ScriptedNameserver())
        addresses = [f"{net}{last}" for last, _ in RUNS[name].handlers]
        nameserver.set("tasks.app", "A", records(*addresses))
        orders = (f"1 9001 node{at}.consul" for at in range(len(addresses)))
        nameserver.set("_orders._tcp.service.consul", "SRV", services(*orders))
        for at, address in enumerate(addresses):
            nameserver.set(f"node{at}.consul", "A", address)
        text = (EXAMPLES / f"{name}.cfg").read_text()
        for pattern, replacement in (
            (r"192\.0\.2\.", net),
            (r"bind :", f"bind {net}1:"),
            (r"/run/millrace/\S+\.sock", "{socket}"),
            (r"127\.0\.0\.1:8600|127\.0\.0\.11:53", nameserver.address),
            (r"inter \d+s", "inter 100ms"),
        ):
            text = re.sub(pattern, replacement, text)
        yield stack.enter_context(Program(folder, text)), servers


def statuses(program: Program, backend: str) -> dict[int, str]:
    """What `show stat` says of the servers that have an address, by its last number."""
    shown = csv.DictReader(io.StringIO(program.ask("show stat").lstrip("# ")))
    said = {row["svname"]: row["status"] for row in shown if row["pxname"] == backend}
    return {
        int(row["srv_addr"].rpartition(".")[2]): said[name].split()[0]
        for name, row in program.servers(backend).items()
        if row["srv_addr"] != "-"
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_server_that_is_ill_leaves_and_comes_back(name: str, tmp_path: Path) -> None:
    example = RUNS[name]
    here = {number for number, _ in example.handlers}
    with running(name, tmp_path) as (program, servers):

        def are(wanted: dict[int, str]) -> bool:
            found = statuses(program, example.backend)
            return found == {number: wanted.get(number, "UP") for number in found.keys() & here}

        def all_are_up() -> bool:
            found = statuses(program, example.backend)
            checked = example.falls is None or all(server.accepted for server in servers.values())
            return checked and bool(found) and are({})

        wait_for(all_are_up, 15, "all are well")
        if example.falls is None:
            return
        ill = servers[example.falls]
        ill.well = False
        falling, _ = example.falls
        wait_for(lambda: are({falling: example.ill}), 15, "it is ill, and no other")
        ill.well = True
        wait_for(lambda: are({}), 15, "it is well again")


@pytest.mark.parametrize("name", RUNS)
def test_haproxy_takes_the_same_files(name: str, tmp_path: Path) -> None:
    text = (EXAMPLES / f"{name}.cfg").read_text().replace("/run/millrace", str(tmp_path))
    file = tmp_path / "edge.cfg"
    file.write_text(text)
    for words in ([require_program("haproxy")], [sys.executable, "-m", "proxy"]):
        checked = subprocess.run(
            [*words, "-c", "-f", str(file)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert checked.returncode == 0, checked.stderr
        assert "WARNING" not in checked.stderr
        assert "ALERT" not in checked.stderr
