"""Servers are added and deleted while processes die, slots run out, and the configuration is read
again: what was answered holds, and no server gets what belongs to another.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.generated import sample
from tests.support.program.program import Program, in_force
from tests.support.servers import Server

ADDED = "New server registered.\n\n"
DELETED = "Server deleted.\n\n"
NAMES = ("s1", "s2", "s3")
CONFIGURATION = """
global
  nbthread 2
  spare-servers {spare}
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen edge
  bind 127.0.0.1:{port}
  server s1 127.0.0.1:{s1}
{more}
"""


class Edge:
    """A program, its servers, and its clients."""

    def __init__(self, folder: Path, stack: ExitStack, spare: int, without: str = "") -> None:
        self.port = free_port()
        self.servers: dict[str, int] = {}
        for name in NAMES:

            def greet(connection: socket.socket, name: str = name) -> None:
                connection.sendall(name.encode())
                connection.recv(1)

            self.servers[name] = stack.enter_context(Server(greet)).port
        self.spare, self.without = spare, without
        self.program = stack.enter_context(Program(folder, self.text()))

    def text(self, more: str = "") -> str:
        said = CONFIGURATION.replace(self.without, "") if self.without else CONFIGURATION
        return said.format(port=self.port, spare=self.spare, more=more, **self.servers)

    def add(self, name: str, server: str, words: str = "enabled") -> str:
        return self.patient(f"add server edge/{name} 127.0.0.1:{self.servers[server]} {words}")

    def delete(self, name: str) -> str:
        self.patient(f"disable server edge/{name}")
        self.patient(f"wait 100s srv-removable edge/{name}")  # a client that has left ends later
        return self.patient(f"del server edge/{name}")

    def patient(self, command: str) -> str:
        """The answer, of a successor if control was killed before it gave one."""
        return self.program.ask_until_answered(command)

    def who(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            return client.recv(10).decode()

    def shares(self, sessions: int) -> Counter[str]:
        return Counter(self.who() for _ in range(sessions))

    def row(self, name: str) -> dict[str, str]:
        """Its row of `show stat`."""
        lines = [line.split(",") for line in self.program.ask("show stat edge 4 -1").splitlines()]
        [row] = [dict(zip(lines[0], line, strict=False)) for line in lines if line[1:2] == [name]]
        return row


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        yield Edge(tmp_path, stack, 3)


@pytest.mark.lengthy
@pytest.mark.slow
def test_many_come_and_go_while_each_process_is_killed(edge: Edge) -> None:
    kinds = ("worker", "control")
    for number in range(sample(50, 500)):
        name, server = f"n{number % 7}", NAMES[1 + number % 2]
        if number % 5 == 0:
            kind = kinds[number // 5 % 2]
            os.kill(edge.program.children()[kind][0], signal.SIGKILL)
        added = edge.add(name, server)
        assert in_force(added) in (
            ADDED,
            "Already exists a server with the same name in backend.\n\n",
        )
        if number % 10 == 0:  # every process of the answer is there, and goes by it
            edge.program.wait_until_answering()
            assert edge.shares(4) == {"s1": 2, server: 2}
            assert edge.row(name)["stot"] == "2"
        if number % 5 == 3:
            os.kill(edge.program.children()[kinds[number // 5 % 2]][0], signal.SIGKILL)
        deleted = edge.delete(name)
        assert in_force(deleted) in (
            DELETED,
            "No such server.\n\n",
            "Server still has connections attached to it, cannot remove it.\n\n",
        ), deleted
        wait_for(
            lambda name=name: edge.delete(name) == "No such server.\n\n",
            PATIENCE_SECONDS,
            "it is gone",
        )
    assert edge.shares(4) == {"s1": 4}
    assert list(edge.program.servers("edge")) == ["s1"]


@pytest.mark.slow
def test_a_slot_is_used_again_when_its_sessions_have_ended(edge: Edge) -> None:
    for number in range(3):
        assert in_force(edge.add(f"n{number}", "s2")) == ADDED
    full = edge.add("n3", "s2")
    assert full.startswith("No slot is free for another server of backend edge: it has 3 spare")
    assert in_force(edge.delete("n1")) == DELETED
    # a stopped worker goes by nothing: its slot is not used again, the answer says who is missing
    worker = edge.program.children()["worker"][0]
    with edge.program.stand_still(worker):
        assert edge.add("n3", "s3").startswith(ADDED[:-1] + "Not yet in force in worker ")
    wait_for(lambda: edge.shares(8)["s3"] == 2, PATIENCE_SECONDS, "it has caught up")


@pytest.mark.slow
def test_a_reload_keeps_those_that_the_file_has_by_then(edge: Edge) -> None:
    edge.add("kept", "s2")
    edge.add("gone", "s3")
    assert edge.shares(6) == {"s1": 2, "s2": 2, "s3": 2}
    edge.program.write(edge.text(f"  server kept 127.0.0.1:{edge.servers['s2']}"))
    before = edge.program.children()["worker"]
    edge.program.process.send_signal(signal.SIGUSR2)
    wait_for(
        lambda: not set(before) & set(edge.program.children().get("worker", before)),
        PATIENCE_SECONDS,
        "the reload is done",
    )
    assert edge.shares(6) == {"s1": 3, "s2": 3}
    assert list(edge.program.servers("edge")) == ["s1", "kept"]
    assert int(edge.row("kept")["stot"]) == 5
    assert "server edge/gone, added at run time, is not in the files" in (
        edge.program.output.read_text()
    )
    assert in_force(edge.add("gone", "s3")) == ADDED
    assert edge.row("gone")["stot"] == "0"
    assert edge.shares(6) == {"s1": 2, "s2": 2, "s3": 2}
    assert in_force(edge.delete("kept")) == DELETED


def test_workers_that_had_nothing_to_check_begin_with_the_first_server_that_comes(
    edge: Edge,
) -> None:
    """No line of the file has a check; two servers in a row are checked by two workers."""
    for name in ("n0", "n1"):
        assert in_force(edge.add(name, "s1", "check inter 1s")) == ADDED
        edge.patient(f"enable health edge/{name}")
        edge.patient(f"enable server edge/{name}")
    for name in ("n0", "n1"):
        wait_for(
            lambda name=name: edge.row(name)["check_status"] == "L4OK",
            PATIENCE_SECONDS,
            f"{name} is checked",
        )


def test_a_client_of_a_section_without_servers_ends_nothing_but_itself(tmp_path: Path) -> None:
    """The section is the first, so its slots are, and all of them are spare."""
    with ExitStack() as stack:
        edge = Edge(tmp_path, stack, 3, "  server s1 127.0.0.1:{s1}\n")
        workers = edge.program.children()["worker"]
        assert edge.shares(4) == {"": 4}
        assert edge.program.children()["worker"] == workers
        assert in_force(edge.add("n1", "s2")) == ADDED
        assert edge.shares(4) == {"s2": 4}
