"""What an agent says holds for the next client: of the real program, with real servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.health.agent_peers import Agent, server_line
from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout check 60s
  timeout client 60s
  timeout server 60s
listen edge
  bind 127.0.0.1:{port}
{servers}
"""


class Site:
    """A program with the servers a and b, which greet their clients by name."""

    def __init__(self, port: int, agent: Agent, program: OneProgram) -> None:
        self.port = port
        self.agent = agent
        self.program = program

    def connect(self) -> tuple[str, socket.socket]:
        """A client that stays, and the name of its server; "" for none."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)
        return client.recv(10).decode(), client

    def served(self, clients: int = 8) -> set[str]:
        """The servers of so many clients, one after the other."""
        found = set()
        for _ in range(clients):
            name, client = self.connect()
            client.close()
            found.add(name)
        return found


def greeting(name: str) -> Server:
    def handle(connection: socket.socket) -> None:
        connection.sendall(name.encode())
        connection.recv(10)

    return Server(handle)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port = free_port()
    with Agent() as agent, greeting("a") as a, greeting("b") as b:
        options = "weight 10 agent-inter 60ms"
        lines = [
            server_line(name, agent, options).replace("127.0.0.1:9 ", f"127.0.0.1:{server.port} ")
            for name, server in (("a", a), ("b", b))
        ]
        text = CONFIGURATION.format(port=port, servers="\n".join(lines))
        with one_program(PROGRAMS["millrace"](), tmp_path / "program", text, {}) as program:
            agent.say({"a": b"\n", "b": b"\n"})
            yield Site(port, agent, program)


@pytest.mark.parametrize(
    ("away", "back"),
    [
        (b"drain\n", b"ready\n"),
        (b"maint\n", b"ready\n"),
        (b"down\n", b"up\n"),
        (b"0%\n", b"100%\n"),
    ],
)
def test_clients_go_where_agents_say(site: Site, away: bytes, back: bytes) -> None:
    assert site.served() == {"a", "b"}
    site.agent.say({"a": away})
    assert site.served() == {"b"}
    site.agent.say({"a": back})
    assert site.served() == {"a", "b"}


def test_an_agent_may_say_how_many_sessions_its_server_takes(site: Site) -> None:
    site.agent.say({"a": b"down\n", "b": b"maxconn:1\n"})
    name, first = site.connect()
    assert name == "b"
    with first, socket.create_connection(("127.0.0.1", site.port), PATIENCE_SECONDS) as second:
        site.agent.say({"b": b"\n"}, again=3)
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(10)
        site.agent.say({"b": b"maxconn:2\n"})
        second.settimeout(PATIENCE_SECONDS)
        assert second.recv(10) == b"b"


def test_what_an_agent_said_lives_over_a_new_order_and_back(site: Site) -> None:
    site.agent.say_once({"a": b"drain\n"})
    assert site.served() == {"b"}
    site.program.ask("set server edge/a state ready")
    assert site.served() == {"a", "b"}
    site.agent.say_once({"a": b"maint\n"})
    assert site.served() == {"b"}
