"""Servers of the files are deleted at run time: nothing goes on about them in any process, and a
reload brings them back.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records
from tests.support.program.program import Program, in_force
from tests.support.servers import Server

pytestmark = pytest.mark.slow

DELETED = "Server deleted.\n\n"
NAME, OTHER = "app.test", "other.test"
POINTED_TO = (
    "This server cannot be removed at runtime due to other configuration elements pointing to it."
    "\n\n"
)
BY_TEMPLATE = "A server of a 'server-template', or of an SRV name, cannot be removed at runtime: "
CONFIGURATION = """
global
    nbthread 2
    spare-servers 1
    stats socket {{socket}} level admin
    server-state-file {folder}/state
    dns-accept-family ipv4
defaults
    mode tcp
    load-server-state-from-file global
    timeout connect 1s
    timeout client 10s
    timeout server 10s
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 100ms
    timeout retry 100ms
    hold valid 0s
listen edge
    bind 127.0.0.1:{port}
    balance {balance}
    option tcp-check
    tcp-check expect string s
    server s1 127.0.0.1:{s1} check inter 100ms agent-check agent-addr 127.0.0.1 agent-port {agent} agent-inter 100ms
    server s2 127.0.0.1:{s2} check inter 100ms
    server s3 127.0.0.1:{s3}
    server s4 app.test:{s3} resolvers r1 disabled
    server s5 app.test:{s3} resolvers r1 disabled
    server s6 127.0.0.1:{s3} track s2 disabled
backend needed
    use-server named if {{{{ src 127.0.0.9 }}}}
    server named 127.0.0.1:{s1} disabled
    server asked 127.0.0.1:{s1} disabled
    server tracked 127.0.0.1:{s1} check disabled
    server tracks 127.0.0.1:{s1} track tracked disabled
    server-template t 2 127.0.0.1:{s1} disabled
    server-template n 1-2 other.test:{s1} resolvers r1 disabled
    server srv _http._tcp.srv.test resolvers r1 disabled
frontend asks
    bind 127.0.0.1:{asks}
    default_backend needed
    tcp-request connection reject if {{{{ srv_is_up(needed/asked) }}}}
"""


class Edge(NamedTuple):
    """A program with servers that say their names, of which s1 is checked and has an agent."""

    program: Program
    nameserver: ScriptedNameserver
    servers: dict[str, Server]
    port: int
    text: Callable[[], str]

    def ask(self, command: str) -> str:
        """The answer, of a successor if control was killed before it gave one."""
        return self.program.ask_until_answered(command)

    def delete(self, name: str) -> None:
        self.ask(f"disable server edge/{name}")
        answers = (DELETED, "No such server.\n\n")  # a control that was killed had deleted it
        wait_for(
            lambda: in_force(self.ask(f"del server edge/{name}")) in answers,
            PATIENCE_SECONDS,
            "deleted",
        )

    def names(self) -> set[str]:
        return set(self.program.servers("edge"))

    def who(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            return client.recv(20).decode()

    def shares(self, sessions: int) -> Counter[str]:
        return Counter(self.who() for _ in range(sessions))

    def kill(self, kind: str) -> None:
        found = wait_for(lambda: self.program.children().get(kind), PATIENCE_SECONDS, kind)
        os.kill(found[0], signal.SIGKILL)
        self.program.wait_until_answering()

    def reload(self) -> None:
        done = self.program.output.read_text().count("reload done")
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: self.program.output.read_text().count("reload done") > done,
            PATIENCE_SECONDS,
            "the reload",
        )


def made(folder: Path, stack: ExitStack, balance: str = "roundrobin") -> Edge:
    nameserver = stack.enter_context(ScriptedNameserver())
    nameserver.set(NAME, "A", records("127.0.0.1", "127.0.0.2"))
    nameserver.set(OTHER, "A", records("127.0.0.1"))
    servers: dict[str, Server] = {}
    for name in ("s1", "s2", "s3"):

        def greet(connection: socket.socket, name: str = name) -> None:
            connection.sendall(name.encode())
            connection.recv(1)

        servers[name] = stack.enter_context(Server(greet))
    servers["agent"] = stack.enter_context(Server(lambda asked: asked.sendall(b"up\n")))
    ports = {name: server.port for name, server in servers.items()}
    port, asks = free_port(), free_port()

    def text() -> str:
        said = CONFIGURATION.format(
            folder=folder,
            nameserver=nameserver.address,
            port=port,
            asks=asks,
            balance=balance,
            **ports,
        )
        return said.replace("{{", "{").replace("}}", "}")

    program = stack.enter_context(Program(folder, text(), "-W"))
    return Edge(program, nameserver, servers, port, text)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        yield made(tmp_path, stack)


def test_checks_agent_and_sessions_end_with_a_server(edge: Edge) -> None:
    s1, s2, agent = (edge.servers[name] for name in ("s1", "s2", "agent"))
    assert edge.ask("del server edge/s1") == "Only servers in maintenance mode can be deleted.\n\n"
    with ExitStack() as clients:
        seen = ""
        while seen != "s1":
            address = ("127.0.0.1", edge.port)
            client = clients.enter_context(socket.create_connection(address, PATIENCE_SECONDS))
            seen = client.recv(20).decode()
        edge.ask("disable server edge/s1")
        assert edge.ask("del server edge/s1").startswith("Server still has connections attached")
    wait_for(lambda: agent.accepted > 1, PATIENCE_SECONDS, "the agent is asked")
    edge.delete("s1")
    assert edge.ask("enable server edge/s1") == "No such server.\n\n"
    assert ",s1," not in edge.ask("show stat edge 4 -1")
    assert edge.names() == {"s2", "s3", "s4", "s5", "s6"}
    assert edge.shares(6) == {"s2": 3, "s3": 3}
    wait_checks(s2, 2)  # what was under way has come in
    asked = s1.accepted, agent.accepted
    wait_checks(s2, 5)
    assert (s1.accepted, agent.accepted) == asked
    assert "exited" not in log(edge)
    by = "server s1 deleted by "
    assert by in edge.ask("show config diff")
    assert by in edge.ask("show config")
    state = edge.program.folder / "state"
    wait_for(lambda: " s2 " in state.read_text(), PATIENCE_SECONDS, "the state file is written")
    wait_for(lambda: " s1 " not in state.read_text(), PATIENCE_SECONDS, "without s1")


def wait_checks(server: Server, number: int) -> None:
    before = server.accepted
    wait_for(lambda: server.accepted >= before + number, PATIENCE_SECONDS, "it is checked")


def test_resolverd_asks_for_a_name_until_its_last_server_is_deleted(edge: Edge) -> None:
    wait_for(
        lambda: edge.program.servers("edge")["s5"]["srv_addr"] != "-", PATIENCE_SECONDS, "there"
    )
    edge.delete("s4")
    edge.nameserver.set(NAME, "A", records("127.0.0.3"))
    wait_for(
        lambda: edge.program.servers("edge")["s5"]["srv_addr"] == "127.0.0.3",
        PATIENCE_SECONDS,
        "s5 goes on",
    )
    edge.delete("s5")
    wait_for(lambda: NAME not in edge.ask("show resolution"), PATIENCE_SECONDS, "it is dropped")
    for _ in range(2):
        assert NAME not in edge.ask("show resolution")
        asked, others = len(edge.nameserver.asked(NAME)), len(edge.nameserver.asked(OTHER))
        edge.nameserver.wait_queries(others + 3, OTHER)
        assert len(edge.nameserver.asked(NAME)) == asked
        edge.kill("resolverd")  # its successor asks for nothing either
        more = len(edge.nameserver.asked(OTHER))
        edge.nameserver.wait_queries(more + 1, OTHER)
    line = f"{NAME}:{edge.servers['s3'].port} resolvers r1"
    assert edge.ask(f"add server edge/s4 {line}") == "New server registered.\n\n"
    wait_for(
        lambda: edge.program.servers("edge")["s4"]["srv_addr"] == "127.0.0.3",
        PATIENCE_SECONDS,
        "another one has the name",
    )


@pytest.mark.parametrize("kind", ["worker", "control", "resolverd"])
def test_successors_know_that_it_is_gone(edge: Edge, kind: str) -> None:
    edge.ask("disable server edge/s1")
    edge.kill(kind)
    edge.delete("s1")
    edge.delete("s4")
    edge.kill(kind)
    assert edge.names() == {"s2", "s3", "s5", "s6"}
    wait_for(lambda: edge.shares(6) == {"s2": 3, "s3": 3}, PATIENCE_SECONDS, "s1 gets none")
    place = f"127.0.0.1:{edge.servers['s1'].port}"
    for _ in range(3):  # in the one spare slot, never in that of the file's server
        assert edge.ask(f"add server edge/s1 {place} enabled") == "New server registered.\n\n"
        assert edge.ask(f"add server edge/more {place}").startswith("No slot is free")
        edge.kill(kind)
        wait_for(
            lambda: edge.shares(6) == {"s1": 2, "s2": 2, "s3": 2}, PATIENCE_SECONDS, "it is back"
        )
        edge.delete("s1")
        assert edge.names() == {"s2", "s3", "s5", "s6"}


def test_a_reload_brings_it_back_and_says_so(edge: Edge) -> None:
    for name in ("s1", "s3", "s4"):
        edge.delete(name)
    place = f"127.0.0.1:{edge.servers['s3'].port}"
    assert edge.ask(f"add server edge/s3 {place} enabled") == "New server registered.\n\n"
    edge.reload()
    back = "server (\\S+), deleted at run time, is in the files"
    wait_for(lambda: len(re.findall(back, log(edge))) > 1, PATIENCE_SECONDS, "it says so")
    assert sorted(re.findall(back, log(edge))) == ["edge/s1", "edge/s4"]
    assert edge.names() == {"s1", "s2", "s3", "s4", "s5", "s6"}
    wait_for(
        lambda: edge.shares(6) == {"s1": 2, "s2": 2, "s3": 2},
        PATIENCE_SECONDS,
        lambda: f"all are back: {edge.shares(6)}, {edge.ask('show servers state edge')}",
    )
    wait_for(
        lambda: edge.program.servers("edge")["s4"]["srv_addr"] != "-", PATIENCE_SECONDS, "resolved"
    )
    edge.delete("s1")  # and again, in the new generation
    assert edge.shares(4) == {"s2": 2, "s3": 2}


def test_it_comes_back_as_its_line_says_whatever_the_state_file_has(edge: Edge) -> None:
    """A state file is written a little later than an order comes into force."""
    file = edge.program.folder / "state"
    edge.ask("disable server edge/s1")
    wait_for(lambda: " s1 127.0.0.1 0 1 " in file.read_text(), PATIENCE_SECONDS, "it is written")
    stale = file.read_text()
    edge.delete("s1")
    wait_for(lambda: " s1 " not in file.read_text(), PATIENCE_SECONDS, "it is written again")
    file.write_text(stale)
    edge.reload()
    wait_for(lambda: edge.shares(6) == {"s1": 2, "s2": 2, "s3": 2}, PATIENCE_SECONDS, "it is back")


def log(edge: Edge) -> str:
    return edge.program.output.read_text()


def test_one_that_tracked_another_leaves_no_trace(edge: Edge) -> None:
    assert edge.ask("del server edge/s2") == POINTED_TO
    edge.delete("s6")
    assert edge.ask("disable server edge/s2") == "\n"
    assert edge.ask("enable server edge/s2") == "\n"
    wait_for(lambda: "Server edge/s2 is UP" in log(edge), PATIENCE_SECONDS, "s2 is up")
    wait_for(lambda: edge.shares(6)["s2"] == 2, PATIENCE_SECONDS, "s2 has its share")
    edge.delete("s2")
    wait_for(lambda: edge.shares(6) == {"s1": 3, "s3": 3}, PATIENCE_SECONDS, "s2 has none")
    assert "exited" not in log(edge)


def test_what_others_need_stays(edge: Edge) -> None:
    for name in ("named", "asked", "tracked"):
        assert edge.ask(f"del server needed/{name}") == POINTED_TO, name
    for name in ("t1", "t2", "n1", "n2", "srv"):
        assert edge.ask(f"del server needed/{name}").startswith(BY_TEMPLATE), name
    assert in_force(edge.ask("del server needed/tracks")) == DELETED
    assert in_force(edge.ask("del server needed/tracked")) == DELETED  # nothing tracks it any more


@pytest.mark.parametrize("balance", ["static-rr", "source", "leastconn", "random", "first"])
def test_each_algorithm_goes_on_without_it(tmp_path: Path, balance: str) -> None:
    with ExitStack() as stack:
        edge = made(tmp_path, stack, balance)
        before = set(edge.shares(12))
        gone = min(before)
        if gone == "s2":  # tracked
            edge.delete("s6")
        edge.delete(gone)
        after = set(edge.shares(12))
        assert gone not in after
        assert after
        assert "exited" not in log(edge)
