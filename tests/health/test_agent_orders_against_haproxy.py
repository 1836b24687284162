"""Orders about agents, and agents of servers that track another: HAProxy's answers and ours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.health.agent_peers import Agent, idle_row, running, told
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout check 300ms
  timeout client 5s
  timeout server 5s
backend be
  server s 127.0.0.1:9 agent-check agent-port {port} agent-inter 50ms agent-send "one\\n"
  server plain 127.0.0.1:9
"""
TEXTS = (
    *("two", r"three\ four\n\\x", "", "five six", '"seven', r"eight\;nine", "#ten", "é"),
    "y" * 255,
)
REFUSED = (
    *("set server be/s agent-addr", "set server be/s agent-addr no.invalid"),
    *("set server be/s agent-addr 127.0.0.1:99", "set server be/s agent-addr /tmp/x"),
    *("set server be/s agent-addr 127.0.0.1 port", "set server be/s agent-addr ::1 port x"),
    *(
        "set server be/s agent-port",
        "set server be/s agent-port x",
        "set server be/s agent-port 99999",
    ),
    *("set server be/s agent", "set server be/s agent x", "set server be/plain agent up"),
    *("set server be/plain agent-addr 1.2.3.4", "set server be/plain agent-port 5"),
    *("set server be/plain agent-send x", "enable agent be/plain", "disable agent be/plain"),
)


class Listener:
    """An agent that answers only once it knows that nothing more is sent to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        received = b""
        with suppress(ConnectionResetError):
            while data := connection.recv(4_096):  # until the check has taken all of its time
                received += data
        with self._lock:
            self._heard.append(received)

    def next(self) -> bytes:
        """What the second check from now on sends: it begins behind it."""
        with self._lock:
            self._heard.clear()
        return wait_for(lambda: self._heard[1:2], PATIENCE_SECONDS, "two checks")[0]


@contextmanager
def listening(program: str, folder: Path) -> Iterator[tuple[OneProgram, Listener]]:
    listener = Listener()
    with Server(listener) as server:
        text = CONFIGURATION.format(port=server.port)
        with one_program(PROGRAMS[program](), folder / program, text, {}) as made:
            yield made, listener


def sent(program: str, folder: Path) -> list[tuple[str, bytes]]:
    """What each order is answered, and what the agent is sent then."""
    with listening(program, folder) as (made, listener):
        found = [("", listener.next())]
        for text in TEXTS:
            answer = made.ask(f"set server be/s agent-send {text}")
            found.append((answer.strip(), listener.next()))
        return found


def test_an_agent_is_sent_what_was_ordered(tmp_path: Path) -> None:
    ours = sent("millrace", tmp_path)
    assert ours == sent("haproxy", tmp_path)
    assert ours[:4] == [("", b"one\n"), ("", b"two"), ("", b"three fourn\\x"), ("", b"")]


def test_orders_that_cannot_be_are_answered_alike(tmp_path: Path) -> None:
    answers = {}
    for program in PROGRAMS:
        with listening(program, tmp_path) as (made, _):
            answers[program] = [made.ask(order).strip().rstrip(".") for order in REFUSED]
    assert answers["millrace"] == answers["haproxy"]


def test_an_agent_is_found_by_name(tmp_path: Path) -> None:
    for program in PROGRAMS:
        with listening(program, tmp_path) as (made, listener):
            made.ask("set server be/s agent-addr 127.0.0.9")
            assert made.rows()["s"]["srv_agent_addr"] == "127.0.0.9"
            assert made.ask("set server be/s agent-addr localhost").strip() == ""
            address = made.rows()["s"]["srv_agent_addr"]
            assert address in ("127.0.0.1", "::1"), program
            if address == "127.0.0.1":
                assert listener.next() == b"one\n"


LINES = (
    *(b"50%\n", b"maxconn:7\n", b"drain\n", b"ready\n", b"maint\n", b"ready\n", b"down\n"),
    *(b"garbage\n", b"up\n", b"drain down\n", b"ready up\n"),
)
COLUMNS = ("weight", "slim", "agent_status", "last_agt", "agent_health")
FIELDS = ("srv_op_state", "srv_admin_state", "srv_uweight")


def beside_track(program: str, folder: Path) -> tuple[list[list[str]], list[str]]:
    """What is shown after each line of the agent of a tracker, and what is told of it."""
    with Agent() as agent, Server(lambda _: None) as server:
        checked = f"server base 127.0.0.1:{server.port} check inter 60ms"
        options = {"s": "weight 40 maxconn 50 agent-inter 60ms track be/base"}
        with running(program, folder, agent, options, checked) as made:
            made.read()
            made.lines.clear()
            found = []
            for line in LINES:
                agent.say({"s": line})
                row, fields = idle_row(made, "s"), made.rows()["s"]
                found.append([row[c] for c in COLUMNS] + [fields[f] for f in FIELDS])
            return found, told(made)


def test_an_agent_beside_track(tmp_path: Path) -> None:
    ours, theirs = beside_track("millrace", tmp_path), beside_track("haproxy", tmp_path)
    assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
    assert any("is DOWN via be/base" in line for line in ours[1])


@pytest.mark.parametrize("down", ["agent", "tracked"])
def test_a_tracker_is_up_while_its_agent_and_the_tracked_server_are(
    tmp_path: Path, down: str
) -> None:
    with Agent() as agent:
        checked = "server base 127.0.0.1:9"
        base = f"agent-check agent-port {agent.port} agent-inter 60ms"
        options = {"s": "agent-inter 60ms track be/base"}
        line = rf'{checked} {base} agent-send "base\n"'
        with running("millrace", tmp_path, agent, options, line) as made:
            first, second = ("s", "base") if down == "agent" else ("base", "s")

            def state() -> str:
                return made.rows()["s"]["srv_op_state"]

            agent.say_once({first: b"down\n"})
            wait_for(lambda: state() == "0", PATIENCE_SECONDS, "down")
            agent.say_once({second: b"down\n"})
            agent.say_once({second: b"up\n"})
            agent.say({}, again=0)
            assert state() == "0"
            agent.say_once({first: b"up\n"})
            wait_for(lambda: state() == "2", PATIENCE_SECONDS, "up")
