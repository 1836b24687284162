"""Servers get other names at run time: in the log, in every answer, and for each process that dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.control.commands.members.needed import (
    NAME_POINTED_TO,
    NAMED_BY_DNS,
    NAMED_TO_PROGRAM,
)
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program, in_force
from tests.support.servers import Server

pytestmark = pytest.mark.slow

CHECK = (sys.executable, "-m", "proxy", "-c", "-f")
RENAMED = "Server renamed.\n\n"
CONFIGURATION = """
global
    nbthread 2
    spare-servers 2
    stats socket {{socket}} level admin
    log stdout format raw local0
    external-check
    insecure-fork-wanted
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 5s
    timeout client 60s
    timeout server 60s
resolvers r1
    nameserver ns1 127.0.0.1:{nameserver}
listen edge
    bind 127.0.0.1:{port}
    option log-health-checks
    server-template slot 3 127.0.0.1:{server} disabled
backend needed
    use-server named if {{{{ src 127.0.0.9 }}}}
    server named 127.0.0.1:{server} disabled
    server tracked 127.0.0.1:{server} check disabled
    server tracks 127.0.0.1:{server} track tracked disabled
    server resolved app.test:{server} resolvers r1 init-addr none disabled
    server addressed 127.0.0.1:{server} resolvers r1 disabled
backend programs
    option external-check
    external-check command /bin/true
    server program 127.0.0.1:{server} check disabled
"""


class Edge(NamedTuple):
    """A program with three slots, and a server that says hello and sends all back."""

    program: Program
    port: int
    text: Callable[[], str]

    def ask(self, command: str) -> str:
        return in_force(self.program.ask_until_answered(command))

    @property
    def told(self) -> str:
        return self.program.output.read_text()

    def until(self, text: str) -> None:
        wait_for(lambda: text in self.told, PATIENCE_SECONDS, text)

    def rename(self, server: str, name: str) -> None:
        assert self.ask(f"set server {server} name {name}") == RENAMED

    def session(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)
        assert client.recv(5) == b"hello"
        return client

    def sessions_of(self, name: str) -> int:
        rows = self.program.ask("show stat edge 4 -1").splitlines()
        [row] = [row.split(",") for row in rows if row.startswith(f"edge,{name},")]
        return int(row[7])

    def names(self, backend: str = "edge") -> list[str]:
        return sorted(self.program.servers(backend))

    def kill(self, kind: str) -> None:
        found = wait_for(lambda: self.program.children().get(kind), PATIENCE_SECONDS, kind)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        self.program.wait_until_answering()

    def reload(self) -> None:
        done = self.told.count("reload done")
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: self.told.count("reload done") > done, PATIENCE_SECONDS, "the reload")


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    def echo(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        while content := connection.recv(100):
            connection.sendall(content)

    with ExitStack() as stack:
        server = stack.enter_context(Server(echo))
        port, nameserver = free_port(), free_port()

        def text() -> str:
            said = CONFIGURATION.format(port=port, server=server.port, nameserver=nameserver)
            return said.replace("{{", "{").replace("}}", "}")

        yield Edge(stack.enter_context(Program(tmp_path, text(), "-W")), port, text)


def test_everything_goes_by_the_new_name(edge: Edge) -> None:
    edge.rename("edge/slot2", "pod-7")
    assert edge.names() == ["pod-7", "slot1", "slot3"]
    assert edge.ask("enable server edge/slot2") == "No such server.\n\n"
    edge.ask("enable server edge/pod-7")
    with edge.session():
        pass
    edge.until(" edge edge/pod-7 ")
    assert edge.sessions_of("pod-7") == 1
    assert "pod-7" in edge.ask("show servers state edge")
    assert "edge/pod-7" in edge.ask("show servers conn edge")
    edge.until("server edge/slot2: renamed to pod-7.")
    assert "edge/pod-7" in edge.ask("show why edge/pod-7")
    events = edge.ask("show events state")
    assert "set server edge/slot2 name pod-7 [renamed slot2 -> pod-7]" in events


def test_a_session_that_was_open_ends_under_the_new_name(edge: Edge) -> None:
    edge.ask("enable server edge/slot1")
    with edge.session() as client:
        edge.ask("disable server edge/slot1")
        for before, name in (("slot1", "a"), ("a", "b" * 255), ("b" * 255, "c")):
            edge.rename(f"edge/{before}", name)
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"
        assert " srv=c " in edge.ask("show sess")
    edge.until(" edge edge/c ")
    assert edge.sessions_of("c") == 1


@pytest.mark.parametrize(
    ("server", "name", "text"),
    [
        ("edge/slot1", "", "'set server <backend>/<server> name' expects a name."),
        ("edge/slot1", "slot2", "Already exists a server with the same name in backend."),
        ("edge/slot1", "a/b", "character '/' is not permitted in server name 'a/b'."),
        ("edge/slot1", "x" * 256, "A name has at most 255 characters here, not 256."),
        ("needed/named", "x", NAME_POINTED_TO),
        ("needed/tracked", "x", NAME_POINTED_TO),
        ("needed/resolved", "x", NAMED_BY_DNS),
        ("needed/addressed", "x", NAMED_BY_DNS),
        ("programs/program", "x", NAMED_TO_PROGRAM),
        ("edge/nobody", "x", "No such server."),
    ],
)
def test_what_cannot_be_is_refused(edge: Edge, server: str, name: str, text: str) -> None:
    before = {backend: edge.names(backend) for backend in ("edge", "needed", "programs")}
    assert edge.ask(f"set server {server} name {name}") == f"{text}\n\n"
    assert {backend: edge.names(backend) for backend in before} == before


def test_only_a_server_in_maintenance_is_renamed(edge: Edge) -> None:
    edge.ask("enable server edge/slot1")
    refusal = "Only servers in maintenance mode can be renamed.\n\n"
    assert edge.ask("set server edge/slot1 name x") == refusal
    edge.ask("set server edge/slot1 state drain")
    assert edge.ask("set server edge/slot1 name x") == refusal
    edge.ask("set server edge/slot1 state maint")
    edge.rename("edge/slot1", "x")
    edge.rename("edge/x", "x")  # as it is


def test_a_name_that_is_given_up_is_free(edge: Edge) -> None:
    edge.rename("edge/slot1", "slot1-old")
    edge.rename("edge/slot2", "slot1")
    edge.rename("edge/slot1-old", "slot2")
    assert edge.names() == ["slot1", "slot2", "slot3"]
    assert [edge.program.servers("edge")[name]["srv_id"] for name in edge.names()] == list("213")


def test_one_that_has_its_own_name_again_is_as_in_the_files(edge: Edge) -> None:
    edge.rename("edge/slot1", "other")
    assert "slot1 renamed to other" in edge.ask("show config diff")
    edge.rename("edge/other", "slot1")
    assert "renamed" not in edge.ask("show config diff")


def test_an_entry_of_a_stick_table_leads_to_it_still(edge: Edge) -> None:
    bind = f"bind 127.0.0.1:{edge.port}\n"
    sticks = f"{bind}    stick-table type ip size 10\n    stick on src\n"
    edge.program.write(edge.text().replace(bind, sticks))
    edge.reload()
    for name in ("slot1", "slot2", "slot3"):
        edge.ask(f"enable server edge/{name}")
    with edge.session():
        pass
    wait_for(lambda: sum(map(edge.sessions_of, edge.names())) == 1, PATIENCE_SECONDS, "one has it")
    counts = {name: edge.sessions_of(name) for name in edge.names()}
    [chosen] = [name for name, count in counts.items() if count]
    edge.ask(f"disable server edge/{chosen}")
    edge.rename(f"edge/{chosen}", "renamed")
    edge.ask("enable server edge/renamed")
    for _ in range(6):
        with edge.session():
            pass
    wait_for(lambda: edge.sessions_of("renamed") == 7, PATIENCE_SECONDS, "it got all of them")


@pytest.mark.parametrize("kind", ["worker", "control", "resolverd"])
def test_a_successor_goes_by_the_name(edge: Edge, kind: str) -> None:
    for before, name in (("slot1", "a"), ("a", "b"), ("b", "c")):
        edge.rename(f"edge/{before}", name)
    edge.kill(kind)
    assert edge.names() == ["c", "slot2", "slot3"]
    edge.ask("enable server edge/c")
    with edge.session():
        pass
    edge.until(" edge edge/c ")


def test_an_added_server_is_renamed_and_deleted(edge: Edge) -> None:
    address = edge.program.servers("edge")["slot1"]
    line = f"{address['srv_addr']}:{address['srv_port']}"
    edge.ask(f"add server edge/new {line} check inter 100ms")
    edge.rename("edge/new", "newer")
    edge.ask("enable health edge/newer")
    edge.ask("enable server edge/newer")
    edge.until("Health check for server edge/newer succeeded")
    with edge.session():
        pass
    edge.until(" edge edge/newer ")
    edge.kill("control")
    edge.kill("worker")
    assert "newer" in edge.names()
    edge.ask("disable server edge/newer")
    wait_for(
        lambda: edge.ask("del server edge/newer") in ("Server deleted.\n\n", "No such server.\n\n"),
        PATIENCE_SECONDS,
        "deleted",
    )
    assert edge.ask(f"add server edge/new {line}") == "New server registered.\n\n"
    assert edge.names() == ["new", "slot1", "slot2", "slot3"]


def test_a_reload_goes_by_the_files_and_loses_nothing_else(edge: Edge) -> None:
    edge.rename("edge/slot2", "pod-7")
    edge.rename("edge/slot3", "pod-8")
    edge.ask("set weight edge/pod-7 5")
    edge.ask("enable server edge/pod-7")
    with edge.session():
        pass
    wait_for(lambda: edge.sessions_of("pod-7") == 1, PATIENCE_SECONDS, "counted")
    assert "server slot2 renamed to pod-7 by uid" in edge.ask("show config diff")
    edge.program.write(edge.text() + f"    # {edge.port}\n")
    edge.reload()
    assert edge.names() == ["slot1", "slot2", "slot3"]
    edge.until("server edge/pod-7, renamed at run time, is slot2 again")
    assert edge.sessions_of("slot2") == 1
    assert edge.ask("get weight edge/slot2") == "5 (initial 1)\n\n"
    with edge.session():
        pass
    edge.until(" edge edge/slot2 ")


def test_files_that_have_the_new_name_keep_what_it_counted(edge: Edge) -> None:
    edge.rename("edge/slot2", "pod-7")
    edge.ask("enable server edge/pod-7")
    with edge.session():
        pass
    wait_for(lambda: edge.sessions_of("pod-7") == 1, PATIENCE_SECONDS, "counted")
    address = edge.program.servers("edge")["slot1"]
    line = f"server pod-7 127.0.0.1:{address['srv_port']}\n    server-template slot"
    edge.program.write(edge.text().replace("server-template slot", line))
    said = subprocess.run(
        (*CHECK, str(edge.program.file), "--against", str(edge.program.socket_path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert "server slot2 renamed to pod-7" in said.stdout + said.stderr
    edge.reload()
    assert edge.names() == ["pod-7", "slot1", "slot2", "slot3"]
    assert edge.sessions_of("pod-7") == 1
    assert edge.sessions_of("slot2") == 0
    assert "renamed at run time, is" not in edge.told


def test_many_renames_under_load_lose_no_client(edge: Edge) -> None:
    for name in ("slot1", "slot2"):
        edge.ask(f"enable server edge/{name}")
    names = ["slot1", "slot2"]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(edge.session()) for _ in range(20)]
        for turn in range(40):
            name = names[turn % 2]
            edge.ask(f"disable server edge/{name}")
            names[turn % 2] = f"n{turn}-{'x' * (turn * 37 % 200)}"
            edge.rename(f"edge/{name}", names[turn % 2])
            edge.ask(f"enable server edge/{names[turn % 2]}")
            client = clients[turn % len(clients)]
            client.sendall(b"here")
            assert client.recv(100) == b"here"
    assert sum(map(edge.sessions_of, names)) == 20
    for name in names:
        edge.until(f" edge edge/{name} ")
