"""The configurations that started the project, run as printed with addresses of this host.

Only ports change: bind lines, nameservers and backends take free ones. Names, time-outs, holds,
orders of `init-addr` and templates are those of tests/mission.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.dns.resolv_conf import nameserver_at_port_53, with_resolv_conf
from tests.support.dns.scripted import SILENT, Answer, ScriptedNameserver, records
from tests.support.program.program import NamedBackend, Program, who_answers

MISSION = Path(__file__).parent.parent / "mission"
SOCKET = "global\n    stats socket {socket} level admin\n"
READ_BY_HAPROXY = (2, 3, 5, 6)  # 2.6 refuses words of 1 and 4

Target = tuple[str, int]


def text_of(number: int, ports: Mapping[str, int]) -> str:
    """A configuration with other ports; `ports` has what is replaced, `:80` or `127.7.3.1:10080`."""
    text = SOCKET + (MISSION / f"{number}.cfg").read_text()
    for written in ports:
        assert re.search(rf"{re.escape(written)}(?![0-9])", text), f"'{written}' is not in {number}"
    any_of_them = "|".join(map(re.escape, ports)) or "(?!)"

    def replaced(found: re.Match[str]) -> str:
        """In one go: what takes the place of one port may be written as another."""
        return f"{found[0].rpartition(':')[0]}:{ports[found[0]]}"

    return re.sub(rf"(?:{any_of_them})(?![0-9])", replaced, text)


@pytest.fixture
def backend() -> Iterator[Callable[[str, int], NamedBackend]]:
    """Starts named backends, which end with the test."""
    with ExitStack() as stack:

        def start(address: str, port: int = 0) -> NamedBackend:
            started = NamedBackend(address, port)
            stack.callback(started.close)
            return started

        yield start


def answers_of(target: Target, connections: int) -> list[str]:
    """The backends that answered, sorted; a word of its own without an answer."""
    return sorted(who_answers(target) or "nobody" for _ in range(connections))


def wait_for_answers(target: Target, addresses: Iterable[str], what: str) -> None:
    wanted = sorted(addresses)

    def all_answer() -> bool:
        found = answers_of(target, len(wanted))
        print(f"{what}: {found}")
        return found == wanted

    wait_for(all_answer, 20.0, what, step=0.05)


def check_with(command: list[str], number: int) -> tuple[int, set[str], bool]:
    """Exit status, places of the warnings, and whether it says that there were some."""
    done = subprocess.run(
        [*command, "-c", "-f", str(MISSION / f"{number}.cfg")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    output = done.stdout + done.stderr
    assert "[ALERT]" not in output, output
    places = re.findall(r"\[WARNING\] .*?\[(\S+:[0-9]+)\]", output)
    return done.returncode, set(places), "Warnings were found." in output


MILLRACE = [sys.executable, "-m", "proxy"]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 7))
def test_each_configuration_is_valid(number: int) -> None:
    status, _, _ = check_with(MILLRACE, number)
    assert status == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", READ_BY_HAPROXY)
def test_a_check_warns_where_haproxy_warns(number: int) -> None:
    haproxy = require_program("haproxy")
    assert check_with(MILLRACE, number) == check_with([haproxy], number)


@pytest.mark.slow
def test_1_finds_its_server_through_its_own_nameserver(
    tmp_path: Path, backend: Callable[..., NamedBackend]
) -> None:
    server = backend("127.7.1.11")
    name = "desktop-server.flexhcs.rancher.internal"
    front = ("127.7.1.1", free_port())
    with ScriptedNameserver("127.7.1.53") as nameserver:
        nameserver.set(name, "A", server.address)
        ports = {"127.7.1.1:10443": front[1], "127.7.1.53:53": nameserver.port}
        with Program(tmp_path, text_of(1, ports | {".internal:443": server.port}), executed=True):
            wait_for_answers(front, [server.address], "the server by host name")
        assert {query.name for query in nameserver.queries} == {name}


@pytest.mark.slow
def test_2_finds_its_server_through_a_nameserver_of_resolv_conf(
    tmp_path: Path, backend: Callable[..., NamedBackend]
) -> None:
    server = backend("127.7.2.11")
    front = ("127.7.2.1", free_port())
    silent = ScriptedNameserver("127.7.2.53"), ScriptedNameserver("127.7.2.54")
    with silent[0] as first, silent[1] as second, nameserver_at_port_53() as listed:
        for nameserver in silent:
            nameserver.set("desktop-server.flexhcs.rancher.internal", "*", SILENT)
        ports = {"127.7.2.1:10443": front[1], ".internal:443": server.port}
        ports |= {"127.7.2.53:53": first.port, "127.7.2.54:53": second.port}
        wrapper = with_resolv_conf(tmp_path, listed.host)
        with Program(tmp_path, text_of(2, ports), wrapper=wrapper, executed=True):
            listed.set("desktop-server.flexhcs.rancher.internal", "A", server.address)
            wait_for_answers(front, [server.address], "the server by host name")
        assert first.queries[0].payload == second.queries[0].payload == 512


@pytest.mark.slow
def test_3_starts_without_answers_and_goes_on_with_them(
    tmp_path: Path, backend: Callable[..., NamedBackend]
) -> None:
    addresses = ["127.7.3.11", "127.7.3.12", "127.7.3.13"]
    port = backend("127.7.3.25").port
    fronts = {written: free_port() for written in (10080, 10081, 10082)}
    for address in addresses:
        backend(address, port)
    with ScriptedNameserver("127.7.3.53") as first, ScriptedNameserver("127.7.3.54") as second:
        for nameserver in (first, second):
            for number in (1, 2, 3):
                nameserver.set(f"hostname{number}.example.com", "*", SILENT)
        ports = {f"127.7.3.1:{written}": front for written, front in fronts.items()}
        ports |= {"127.7.3.53:53": first.port, "127.7.3.54:53": second.port}
        ports |= {".com:8080": port, ".com:80": port}
        with Program(tmp_path, text_of(3, ports), executed=True):
            www, waiting, fixed = (("127.7.3.1", front) for front in fronts.values())
            wait_for_answers(fixed, ["127.7.3.25"], "the address of init-addr")
            assert answers_of(www, 1) == answers_of(waiting, 1) == ["nobody"]
            for number, address in enumerate(addresses, 1):
                name = f"hostname{number}.example.com"
                second.set(name, "*", records())
                second.set(name, "A", address)
            wait_for_answers(www, addresses, "three servers by host name")
            wait_for_answers(waiting, addresses[:1] * 2, "the server that waited")
            wait_for_answers(fixed, addresses[:1] * 2, "the answer in place of the fixed address")


@pytest.mark.slow
def test_3_does_not_start_when_a_name_has_no_last_resort(tmp_path: Path) -> None:
    text = text_of(3, {})
    for old, new in (
        (" resolvers mynameservers\n    server s2", "\n    server s2"),
        ("init-addr last,libc,none", "init-addr last,libc"),
    ):
        assert old in text
        with Program(tmp_path, text.replace(old, new), wait=False, executed=True) as program:
            assert program.process.wait(PATIENCE_SECONDS) == 1
            assert "could not resolve address 'hostname1." in program.output.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("family", "asked"), [("ipv4", {"A"}), ("ipv6", {"AAAA"})])
def test_4_asks_for_one_family_only(
    family: str, asked: set[str], tmp_path: Path, backend: Callable[..., NamedBackend]
) -> None:
    name = "hostname1.example.com"
    addresses = {"A": "127.7.4.11", "AAAA": "::1"}
    port = backend(addresses["A"]).port
    with ScriptedNameserver("127.7.4.53") as nameserver:
        for rtype, address in addresses.items():
            nameserver.set(name, rtype, address)
        front = free_port()
        ports = {"127.7.4.1:10080": front, "127.7.4.53:53": nameserver.port, ".com:80": port}
        text = text_of(4, ports).replace("dns-accept-family ipv4", f"dns-accept-family {family}")
        with Program(tmp_path, text, executed=True) as program:
            wanted = {addresses[rtype] for rtype in asked}
            wait_for(
                lambda: {row["srv_addr"] for row in program.servers("www").values()} == wanted,
                20.0,
                f"the {family} address",
            )
            if family == "ipv4":
                wait_for_answers(("127.7.4.1", front), wanted, "the server")
        assert {query.rtype for query in nameserver.queries} == asked


@pytest.mark.slow
def test_5_fills_the_slots_that_wait_when_records_are_added(
    tmp_path: Path, backend: Callable[..., NamedBackend]
) -> None:
    addresses = [f"127.7.5.{number}" for number in (11, 12, 13, 14, 15)]
    port = backend(addresses[0]).port
    for address in addresses[1:]:
        backend(address, port)
    zone = [f"myservice IN A {address}" for address in addresses]
    front = ("127.7.5.1", free_port())
    with Nsd(tmp_path, "example.local", zone[:3], "127.7.5.53") as nsd:
        ports = {"127.7.5.1:10080": front[1], "127.7.5.53:53": nsd.port, ".local:80": port}
        with Program(tmp_path, text_of(5, ports), executed=True) as program:
            wait_for_answers(front, addresses[:3], "three records")
            filled = [row["srv_addr"] != "-" for row in program.servers("webservers").values()]
            assert filled == [True, True, True, False, False]
            nsd.set_records(zone)
            wait_for_answers(front, addresses, "five records")


@pytest.mark.slow
def test_6_takes_ports_from_srv_records_whose_weights_are_all_0(
    tmp_path: Path, backend: Callable[..., NamedBackend]
) -> None:
    started = [backend(f"127.7.6.{number}") for number in (11, 12, 13)]
    zone = [
        line
        for number, each in enumerate(started, 1)
        for line in (
            f"_myservice._tcp IN SRV 0 0 {each.port} host{number}",
            f"host{number} IN A {each.address}",
        )
    ]
    front = ("127.7.6.1", free_port())
    with Nsd(tmp_path, "example.local", zone, "127.7.6.53") as nsd:
        ports = {"127.7.6.1:10080": front[1], "127.7.6.53:53": nsd.port}
        with Program(tmp_path, text_of(6, ports), executed=True) as program:
            wait_for_answers(front, [each.address for each in started] * 2, "three records")
            rows = list(program.servers("webservers").values())
            assert {row["srvrecord"] for row in rows} == {"_myservice._tcp.example.local"}
            assert sorted(int(row["srv_port"]) for row in rows if row["srv_addr"] != "-") == sorted(
                each.port for each in started
            )
            nsd.set_records(zone[2:])
            remaining = [each.address for each in started[1:]]
            wait_for_answers(front, remaining * 2, "two records")


def as_printed(servers: Iterable[NamedBackend]) -> Answer:
    """The document's answer: targets of one label, their addresses beside them, weights 0."""
    hosts = [(f"host{number}.", each) for number, each in enumerate(servers, 1)]
    return Answer(
        tuple(f"0 0 {each.port} {host}" for host, each in hosts),
        additional=tuple(f"{host} 0 IN A {each.address}" for host, each in hosts),
    )


@pytest.mark.slow
def test_6_fills_slots_that_wait_and_frees_them_with_the_answer_as_printed(
    tmp_path: Path, backend: Callable[..., NamedBackend]
) -> None:
    started = [backend(f"127.7.6.{number}") for number in range(21, 26)]
    front = ("127.7.6.2", free_port())
    with ScriptedNameserver("127.7.6.54") as nameserver:
        ports = {"127.7.6.1:10080": front[1], "127.7.6.53:53": nameserver.port}
        text = text_of(6, ports).replace("127.7.6.1:", "127.7.6.2:")
        text = text.replace("127.7.6.53:", "127.7.6.54:")
        with Program(tmp_path, text, executed=True) as program:
            for count in (3, 5, 2, 4):
                nameserver.set("_myservice._tcp.example.local", "SRV", as_printed(started[:count]))
                found = [each.address for each in started[:count]]
                wait_for_answers(front, found * 2, f"{count} records")
                rows = program.servers("webservers").values()
                shown = sorted((row["srv_addr"], row["srv_port"]) for row in rows)
                waiting = [("-", "0")] * (5 - count)
                assert shown == waiting + [
                    (each.address, str(each.port)) for each in started[:count]
                ]
