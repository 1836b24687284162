"""Servers that are added and deleted at run time have the turns that they would have by the file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.program.program import Program, in_force
from tests.support.servers import Server, named, receive_all

pytestmark = pytest.mark.slow

CONFIGURATION = """
global
    nbthread 2
    spare-servers 2
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen edge
    bind 127.0.0.1:{front}
    {balance}
    server a 127.0.0.1:{ports[0]} id 10
    server b 127.0.0.1:{ports[1]} id 20
"""
ADDED, DELETED = "New server registered.\n\n", "Server deleted.\n\n"


class Edge:
    """The program and the servers behind it, of which the third is in no file."""

    def __init__(self, folder: Path, stack: ExitStack, balance: str) -> None:
        servers = [stack.enter_context(Server(named(name))) for name in "abc"]
        self.ports = [server.address[1] for server in servers]
        self.front = free_port()
        text = CONFIGURATION.format(balance=balance, front=self.front, ports=self.ports)
        self.program = stack.enter_context(Program(folder, text))

    def order(self, order: str, answer: str = "\n") -> None:
        assert in_force(self.program.ask(order)) == answer

    def add(self, options: str) -> None:
        self.order(f"add server edge/c 127.0.0.1:{self.ports[2]} {options}", ADDED)
        self.order("set server edge/c state ready")

    def owner(self, source: str = "127.0.0.1") -> str:
        with socket.create_connection(("127.0.0.1", self.front), 60, (source, 0)) as client:
            return receive_all(client).decode()

    def owners(self) -> list[str]:
        return [self.owner(f"127.0.{number}.1") for number in range(1, 41)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_the_lowest_id_comes_first_whenever_it_came(tmp_path: Path, stack: ExitStack) -> None:
    edge = Edge(tmp_path, stack, "balance first")
    assert edge.owner() == "a"
    edge.add("id 5")
    wait_for(lambda: set(edge.owners()) == {"c"}, 20, "both workers have laid it out")
    edge.order("set server edge/c state maint")
    wait_for(lambda: set(edge.owners()) == {"a"}, 20, "they follow")


def test_clients_of_a_ring_come_back_to_their_servers(tmp_path: Path, stack: ExitStack) -> None:
    edge = Edge(tmp_path, stack, "balance source\n    hash-type consistent sdbm avalanche")
    before = edge.owners()
    edge.add("weight 2")
    with_it = edge.owners()
    assert "c" in with_it
    assert all(new in (old, "c") for old, new in zip(before, with_it, strict=True))
    edge.order("set server edge/c state maint")
    edge.order("del server edge/c", DELETED)
    assert edge.owners() == before
