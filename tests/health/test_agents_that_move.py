"""An agent is where its server is, unless it has an address of its own; an answer counts there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.health.agent_peers import NEUTRAL
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.dns.scripted import NX
from tests.support.servers import Server

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
resolvers dns
  nameserver one {{nameserver}}
  timeout resolve 100ms
  timeout retry 100ms
  hold valid 100ms
  hold nx 0s
defaults
  mode tcp
  timeout connect 5s
  timeout check 60s
  timeout client 5s
  timeout server 5s
backend be
  server s app.test:9 resolvers dns init-addr none agent-check agent-port {port} agent-inter 60ms
"""
OLD, NEW = "127.80.1.1", "127.80.1.2"


class Agents:
    """One at the old address, which answers when it is told to, and one at the new."""

    def __init__(self) -> None:
        self.asked = {OLD: 0, NEW: 0}
        self.told = threading.Event()
        self.old = Server(self._late, OLD)
        self.new = Server(self._at_once, NEW, self.old.port)

    def _late(self, connection: socket.socket) -> None:
        self.asked[OLD] += 1
        self.told.wait(PATIENCE_SECONDS)
        connection.sendall(b"down maint 50%\n")

    def _at_once(self, connection: socket.socket) -> None:
        self.asked[NEW] += 1
        connection.sendall(NEUTRAL)


@contextmanager
def site(folder: Path) -> Iterator[tuple[OneProgram, Agents]]:
    agents = Agents()
    with ExitStack() as stack:
        stack.enter_context(agents.old)
        stack.enter_context(agents.new)
        text = CONFIGURATION.format(port=agents.old.port)
        zone = {"app.test": OLD}
        yield (
            stack.enter_context(one_program(PROGRAMS["millrace"](), folder / "p", text, zone)),
            agents,
        )


@pytest.mark.parametrize("mover", ["dns", "operator", "nowhere"])
def test_an_answer_that_comes_too_late_counts_for_nothing(tmp_path: Path, mover: str) -> None:
    with site(tmp_path) as (made, agents):
        wait_for(lambda: agents.asked[OLD] == 1, PATIENCE_SECONDS, "a check at the old address")
        if mover == "dns":
            made.nameserver.set("app.test", "A", NEW)
            wait_for(lambda: made.rows()["s"]["srv_addr"] == NEW, PATIENCE_SECONDS, "a move")
        elif mover == "operator":
            made.ask(f"set server be/s agent-addr {NEW}")
        else:
            made.nameserver.set("app.test", "A", NX)
            wait_for(lambda: made.rows()["s"]["srv_addr"] == "-", PATIENCE_SECONDS, "a loss")
        agents.told.set()
        if mover == "nowhere":
            made.nameserver.set("app.test", "A", NEW)
        wait_for(lambda: agents.asked[NEW] > 1, PATIENCE_SECONDS, "checks at the new address")
        row = made.rows()["s"]
        shown = row["srv_op_state"], row["srv_admin_state"], row["srv_uweight"]
        assert shown == ("2", "0", "1")
        assert agents.asked[OLD] == 1
