"""`add server` and `del server`: HAProxy's answers, tables and shares of traffic, and ours.

Both get the same orders, one after the other, on one started program each.
"""

from __future__ import annotations

import csv
import io
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server, is_greeted

AGREEMENT_SECONDS = 5.0
CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  nbthread 2
  log {{log}} len 4096 local0
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  timeout queue 5s
  default-server weight 7
listen turns
  bind 127.0.0.1:{turns}
  balance roundrobin
  server s1 127.0.0.1:{s1}
  server s2 127.0.0.1:{s2}
listen least
  bind 127.0.0.1:{least}
  balance leastconn
  server s1 127.0.0.1:{s1}
backend fixed
  balance static-rr
  server s1 127.0.0.1:{s1}
backend mapped
  balance source
  server s1 127.0.0.1:{s1}
frontend unused
  bind 127.0.0.1:{unused}
"""
BALANCED = {"drawn": "random", "first": "first", "ring": "source", "plain": "roundrobin"}
CONFIGURATION += "".join(
    f"listen {name}\n  bind 127.0.0.1:{{{name}}}\n  balance {balance}\n"
    "  hash-type consistent\n  server base 127.0.0.1:{s1} disabled\n"
    for name, balance in BALANCED.items()
)
PLACES = ("turns", "least", "drawn", "first", "ring", "plain", "unused")
REFUSED = (
    *("add server", "add server turns", "add server turns/", "add server /x", "add server x/"),
    *("add server nowhere/n 127.0.0.1:1", "add server unused/n 127.0.0.1:1"),
    *("add server turns/s1 127.0.0.1:1", "add server turns/n"),
    *("add server fixed/n 127.0.0.1:1", "add server mapped/n 127.0.0.1:1", "add server fixed/s1"),
    *("add server turns/a,b 127.0.0.1:1", "add server turns/#5 127.0.0.1:1"),
    *("add server turns/a/b 127.0.0.1:1", "add server turns/n 127.0.0.1:1 id 1"),
    *("add server turns/n 127.0.0.1 check", "del server", "del server turns"),
    *("del server turns/nope", "del server nowhere/x"),
    *(
        f"add server turns/n 127.0.0.1:1 {words}"
        for words in (
            *("cookie a", "init-addr none", "log-proto legacy", "max-reuse 1", "namespace x"),
            *("no-agent-check", "no-check", "no-check-send-proxy", "no-check-ssl", "no-ssl"),
            *("non-stick", "redir /", "socks4 127.0.0.1:1", "ssl-reuse", "stick", "tcp-ut 1s"),
            *("from x", "guid x"),
        )
    ),
)
UNKNOWN = re.compile(
    "unknown keyword '(from|guid)'.*|'guid' option is not .*"
    "|unable to find 'default-server name x' in backend turns."
)
# of rows of `show stat`: what an added server has before and after it took sessions
COLUMNS = (
    *("svname", "scur", "slim", "stot", "bin", "bout", "econ", "wretr", "status"),
    *("act", "bck", "qlimit", "sid", "lbtot", "type", "check_status", "addr", "uweight"),
    *("check_rise", "check_fall", "check_health", "tracked"),
)
STATE = (  # of rows of `show servers state`
    *("srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state", "srv_uweight"),
    *("srv_iweight", "srv_f_forced_id", "srv_port", "srv_fqdn"),
)


class Both(NamedTuple):
    """The two programs and where they listen."""

    programs: dict[str, OneProgram]
    ports: dict[str, dict[str, int]]
    servers: dict[str, int]

    def ask(self, command: str) -> dict[str, str]:
        """What each answers, without empty lines."""
        command = re.sub(r"\{(\w+)\}", lambda found: str(self.servers[found[1]]), command)
        return {
            kind: "\n".join(filter(None, program.ask(command).splitlines()))
            for kind, program in self.programs.items()
        }

    def same(self, command: str, wanted: str | None = None) -> None:
        """Both answer alike."""
        answers = self.ask(command)
        assert answers["millrace"] == answers["haproxy"], command
        assert wanted in (None, answers["haproxy"]), command

    def add(self, name: str, words: str) -> None:
        """Add a server and enable it; in HAProxy 2.6 one that is `enabled` gets no sessions."""
        self.same(f"add server {name} {words}", "New server registered.")
        self.same(f"enable server {name}", "")

    def delete(self, name: str) -> None:
        """Delete a server once its sessions have ended, which each program sees in its own time."""
        gone = {"Server deleted.", "No such server."}
        wait_for(
            lambda: set(self.ask(f"del server {name}").values()) <= gone,
            PATIENCE_SECONDS,
            f"{name} is deleted",
        )

    def rows(self, backend: str) -> dict[str, list[dict[str, str]]]:
        """The servers of a backend in `show stat`."""
        found = {}
        for kind, program in self.programs.items():
            text = program.ask(f"show stat {backend} 4 -1").lstrip("# ")
            table = csv.DictReader(io.StringIO(text))
            found[kind] = [{name: row[name] for name in COLUMNS} for row in table]
        return found

    def states(self, backend: str) -> dict[str, list[dict[str, str]]]:
        """The servers of a backend in `show servers state`."""
        found = {}
        for kind, program in self.programs.items():
            lines = program.ask(f"show servers state {backend}").strip().splitlines()
            names = lines[1][2:].split()
            rows = [dict(zip(names, line.split(), strict=True)) for line in lines[2:]]
            found[kind] = [{name: row[name] for name in STATE} for row in rows]
        return found

    def connections(self, backend: str) -> dict[str, list[list[str]]]:
        """Which servers `show servers conn` has, with their addresses."""
        return {
            kind: [
                line.split()[:4]
                for line in program.ask(f"show servers conn {backend}").splitlines()[1:]
                if line
            ]
            for kind, program in self.programs.items()
        }

    def agree(self, backend: str) -> list[dict[str, str]]:
        """All tables say the same of the servers of a backend."""
        deadline = time.monotonic() + AGREEMENT_SECONDS  # what has ended is counted a little later
        while not same(self.rows(backend)) and time.monotonic() < deadline:
            time.sleep(0.02)  # tidy: why: of HAProxy no event says so
        rows, states, connections = (
            self.rows(backend),
            self.states(backend),
            self.connections(backend),
        )
        assert rows["millrace"] == rows["haproxy"]
        assert states["millrace"] == states["haproxy"]
        assert connections["millrace"] == connections["haproxy"]
        return [row for row in rows["haproxy"] if row["svname"] != "base"]

    def shares(self, section: str, sessions: int) -> dict[str, Counter[str]]:
        """Who answers how often."""
        return {
            kind: Counter(who(ports[section]) for _ in range(sessions))
            for kind, ports in self.ports.items()
        }


def same(found: dict[str, object]) -> bool:
    return found["millrace"] == found["haproxy"]


def who(port: int) -> str:
    """The name that the server says."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
        return b"".join(iter(lambda: client.recv(100), b"")).decode()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("members")
    with ExitStack() as stack:
        servers = {}
        for name in ("s1", "s2", "s3", "s4"):

            def greet(connection: socket.socket, name: str = name) -> None:
                connection.sendall(name.encode())

            servers[name] = stack.enter_context(Server(greet)).port

        def hold(connection: socket.socket) -> None:
            connection.sendall(b"held")
            connection.recv(1)

        servers["held"] = stack.enter_context(Server(hold)).port
        programs, ports = {}, {}
        for kind, command in PROGRAMS.items():
            ports[kind] = {name: free_port() for name in PLACES}
            text = CONFIGURATION.format(**ports[kind], **servers)
            programs[kind] = stack.enter_context(one_program(command(), folder / kind, text, {}))
        yield Both(programs, ports, servers)


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_refused_is_refused_alike(both: Both, command: str) -> None:
    answers = both.ask(command)
    theirs, ours = answers["haproxy"].replace("/haproxy/", "/millrace/"), answers["millrace"]
    if UNKNOWN.fullmatch(theirs):
        assert UNKNOWN.fullmatch(ours)
    else:
        assert ours == theirs
    assert "registered" not in ours
    assert "deleted" not in ours


def test_nobody_waits_for_a_name_in_an_address_of_checks(both: Both) -> None:
    ours = both.programs["millrace"].ask("add server turns/n 127.0.0.1:1 check addr localhost")
    assert "'localhost' is not resolved while running: write its address" in ours


def test_the_owner_of_an_id_is_named(both: Both) -> None:
    ours = both.programs["millrace"]
    ours.ask("add server turns/first 127.0.0.1:1 id 88")
    told = "custom id 88 already used by 'server first', which was added at run time."
    assert told in ours.ask("add server turns/second 127.0.0.1:1 id 88")
    assert ours.ask("del server turns/first").startswith("Server deleted.")


def test_a_server_comes_takes_its_share_and_goes(both: Both) -> None:
    both.agree("turns")
    both.same("add server turns/n1 127.0.0.1:{s3} weight 14", "New server registered.")
    both.same(
        "add server turns/n1 127.0.0.1:{s3}",
        "Already exists a server with the same name in backend.",
    )
    both.same("add server turns/n2 127.0.0.1:{s4} id 77 disabled", "New server registered.")
    rows = both.agree("turns")
    assert [(row["svname"], row["sid"], row["status"]) for row in rows[2:]] == [
        ("n1", "3", "MAINT"),
        ("n2", "77", "MAINT"),
    ]
    assert set(both.shares("turns", 12)["millrace"]) == {"s1", "s2"}  # in maintenance
    both.same("enable server turns/n1", "")
    shares = both.shares("turns", 40)
    assert shares["millrace"] == shares["haproxy"] == {"s1": 10, "s2": 10, "s3": 20}
    both.agree("turns")
    both.same("del server turns/n1", "Only servers in maintenance mode can be deleted.")
    both.same("disable server turns/n1", "")
    both.delete("turns/n1")
    both.same("del server turns/n1", "No such server.")
    both.agree("turns")
    # the lowest id is free again, the name too; nothing is left of what was counted
    both.add("turns/n1", "127.0.0.1:{s4} weight 7")
    both.agree("turns")
    shares = both.shares("turns", 30)
    assert shares["millrace"] == shares["haproxy"] == {"s1": 10, "s2": 10, "s4": 10}
    rows = both.agree("turns")
    assert [(row["svname"], row["sid"]) for row in rows[2:]] == [("n2", "77"), ("n1", "3")]
    both.same("set server turns/n1 state maint")
    both.delete("turns/#77")
    both.delete("turns/n1")
    both.agree("turns")


def test_one_with_sessions_is_kept(both: Both) -> None:
    both.add("plain/h", "127.0.0.1:{held}")
    clients = [
        socket.create_connection(("127.0.0.1", ports["plain"]), PATIENCE_SECONDS)
        for ports in both.ports.values()
    ]
    assert [client.recv(10) for client in clients] == [b"held", b"held"]
    both.same("disable server plain/h", "")
    both.same(
        "del server plain/h", "Server still has connections attached to it, cannot remove it."
    )
    assert all(rows[-1]["scur"] == "1" for rows in both.rows("plain").values())
    for client in clients:
        client.close()
    wait_for(
        lambda: all(rows[-1]["scur"] == "0" for rows in both.rows("plain").values()),
        PATIENCE_SECONDS,
        "the sessions end",
    )
    both.delete("plain/h")
    assert both.agree("plain") == []


@pytest.mark.parametrize("section", ["least", "drawn", "first", "ring", "plain"])
def test_every_dynamic_algorithm_takes_servers(both: Both, section: str) -> None:
    for name, place in (("n1", "s3"), ("n2", "s4")):
        both.add(f"{section}/{name}", f"127.0.0.1:{{{place}}} weight 7")
    shares = both.shares(section, 60)
    if section == "least":
        assert set(shares["millrace"]) == set(shares["haproxy"]) == {"s1", "s3", "s4"}
    elif section in ("first", "ring"):  # one after the other: the first one, the nearest one
        assert shares["millrace"] == shares["haproxy"]
        assert len(shares["haproxy"]) == 1
    else:
        assert set(shares["millrace"]) == set(shares["haproxy"]) == {"s3", "s4"}
    both.agree(section) if section in ("first", "plain") else None
    for name in ("n1", "n2"):
        both.same(f"disable server {section}/{name}", "")
        both.delete(f"{section}/{name}")


def test_limits_queues_and_backups_of_added_servers_hold(both: Both) -> None:
    both.add("drawn/full", "127.0.0.1:{held} maxconn 1 maxqueue 3")
    both.add("drawn/spare", "127.0.0.1:{s4} backup")
    rows = [(row["slim"], row["qlimit"], row["bck"]) for row in both.agree("drawn")]
    assert rows == [("1", "3", "0"), ("", "", "1")]
    for kind, ports in both.ports.items():
        wait_for(partial(is_greeted, ports["drawn"]), PATIENCE_SECONDS, f"{kind} serves")
        opened = partial(socket.create_connection, ("127.0.0.1", ports["drawn"]), PATIENCE_SECONDS)
        with ExitStack() as clients:
            waiting = {clients.enter_context(opened()) for _ in range(2)}
            while waiting:  # two threads accept them in any order, and one place serves both
                greeted = set(select.select(waiting, [], [], PATIENCE_SECONDS)[0])
                assert {client.recv(10) for client in greeted} == {b"held"}, kind
                waiting -= greeted
                if kind == "millrace":  # HAProxy lets both in at times
                    assert len(greeted) == 1
                    assert select.select(waiting, [], [], 0.3)[0] == []
                for client in greeted:
                    client.close()
    both.same("disable server drawn/full", "")
    assert all(share == {"s4": 3} for share in both.shares("drawn", 3).values())
    both.same("disable server drawn/spare", "")
    for name in ("full", "spare"):
        both.delete(f"drawn/{name}")


def test_checks_begin_when_they_are_enabled(both: Both) -> None:
    dead = free_port()
    both.same("add server plain/up 127.0.0.1:{s3} check inter 50ms rise 1 fall 2")
    both.same(f"add server plain/dead 127.0.0.1:{dead} check inter 50ms rise 1 fall 1")
    both.agree("plain")
    for name in ("up", "dead"):
        both.same(f"enable server plain/{name}", "")
    both.agree("plain")
    for name in ("up", "dead"):
        both.same(f"enable health plain/{name}", "")

    def found() -> set[tuple[tuple[str, str], ...]]:
        return {
            tuple((row["status"], row["check_status"]) for row in rows[1:])
            for rows in both.rows("plain").values()
        }

    wanted = (("UP", "L4OK"), ("DOWN", "L4CON"))
    wait_for(lambda: found() == {wanted}, PATIENCE_SECONDS, lambda: str(found()))
    assert all(share == {"s3": 4} for share in both.shares("plain", 4).values())
    for name in ("up", "dead"):
        both.same(f"disable server plain/{name}", "")
        both.delete(f"plain/{name}")
    assert both.agree("plain") == []


def test_a_server_that_wants_a_proxy_header_gets_one(both: Both) -> None:
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(connection.recv(200))
        connection.sendall(b"heard")

    with Server(listen) as server:
        both.add("plain/p", f"127.0.0.1:{server.port} send-proxy")
        for ports in both.ports.values():
            assert who(ports["plain"]) == "heard"
    forms = [re.sub(rb" \d+ \d+\r", b" N N\r", line) for line in heard]
    assert forms == [b"PROXY TCP4 127.0.0.1 127.0.0.1 N N\r\n"] * 2
    both.same("disable server plain/p", "")
    both.delete("plain/p")


def test_names_are_free_again_a_hundred_times(both: Both) -> None:
    for number in range(100):
        both.add("plain/again", f"127.0.0.1:{{s{number % 4 + 1}}}")
        answers = both.shares("plain", 1)
        assert answers["millrace"] == answers["haproxy"] == {f"s{number % 4 + 1}": 1}
        both.same("disable server plain/again", "")
        both.delete("plain/again")
