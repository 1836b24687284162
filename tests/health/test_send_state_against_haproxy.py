"""`http-check send-state`: a server is told of itself what HAProxy tells it, through a life."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path

import pytest

from tests.health.check_peers import Case, Told, send, tell
from tests.health.test_http_check_against_haproxy import OK, reply, request
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

STATE = "http-check send-state"
BUSY = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"
CASES = {
    "bare": Case(("option httpchk", STATE), (request, send(OK))),
    "body": Case(
        (
            *("option httpchk GET /x HTTP/1.1", STATE),
            "http-check send hdr A b hdr Connection keep-alive meth POST body xyz",
        ),
        (request, send(OK)),
    ),
    "own_header": Case(
        ("option httpchk", STATE, "http-check send hdr X-Haproxy-Server-State mine"),
        (request, send(OK)),
    ),
    "before_the_option": Case((STATE, "option httpchk"), (request, send(OK))),
    "rise_and_fall": Case(
        ("option httpchk", STATE), (request, send(OK)), "check inter 2s rise 5 fall 4 weight 30"
    ),
    "backup": Case(("option httpchk", STATE), (request, send(OK)), "check weight 7 backup"),
    "two_connections": Case(
        (
            *("option httpchk", STATE, "http-check connect", "http-check send uri /a"),
            *("http-check expect status 200", "http-check connect", "http-check send uri /b"),
            "http-check expect status 200",
        ),
        (request, send(OK)),
    ),
    "with_404": Case(
        ("option httpchk", STATE, "http-check disable-on-404"), (request, reply("404 X"))
    ),
    "elsewhere": Case(
        ("option httpchk", STATE), (request, send(OK)), "check addr 127.0.0.1 port PORT", port=False
    ),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    folder = tmp_path_factory.mktemp("peers")
    return {program: tell(program, folder, CASES) for program in ("haproxy", "millrace")}


@pytest.mark.parametrize("name", CASES)
def test_a_check_says_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    ours, theirs = told["millrace"][name], told["haproxy"][name]
    assert b"x-haproxy-server-state: " in ours.sent
    assert _without_port(ours.sent) == _without_port(theirs.sent)
    assert ours[1:] == theirs[1:]


def _without_port(sent: bytes) -> bytes:
    """The servers of both programs have ports of their own."""
    return re.sub(rb"(?<=; port=)[1-9]\d+", b"PORT", sent)


CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  node here
defaults
  mode tcp
  timeout connect 5s
  timeout check 60s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
listen edge
  bind 127.0.0.1:{client}
  balance {balance}
  option httpchk
  http-check send-state
  server s 127.0.0.1:{port} weight 30 check inter 100ms rise 3 fall 4 slowstart 1000s maxconn 1
  server t 127.0.0.1:{other} weight 20 disabled
  server r 127.0.0.1:{other} weight 10 disabled
  server b 127.0.0.1:{other} weight 7 backup
"""
PAUSE = "set server edge/s state maint"
LEAVE = "set server edge/s health stopping"
ORDERS = (
    *("set server edge/t state ready", "set server edge/t state drain"),
    *("set server edge/s state drain", "set server edge/s state ready"),
    *("set server edge/s health down", LEAVE),
    *(
        "set server edge/s weight 0",
        "set server edge/s weight 200",
        "set server edge/r state ready",
    ),
    *("disable server edge/r", PAUSE, "set server edge/s state ready"),
)


class Life:
    """A server that is checked all the time; `states`: each state that it was told, once."""

    def __init__(self, program: str, folder: Path, balance: str = "roundrobin") -> None:
        self._seen: list[str] = []
        self._said = OK
        self._answered = threading.Event()
        self._answered.set()
        self._client = free_port()
        self._server = Server(self._answer)
        text = CONFIGURATION.format(
            client=self._client, port=self._server.port, other=free_port(), balance=balance
        )
        self._running = one_program(PROGRAMS[program](), folder / program, text, {})

    def _answer(self, connection: socket.socket) -> None:
        """Take one request, which a client ends as a check does."""
        received = bytearray()
        request(connection, received)
        found = re.search(rb"x-haproxy-server-state: (.*?)\r\n", received)
        if found is None:  # a client's
            connection.recv(1)
            return
        self._seen.append(re.sub(r"; port=\d+", "", found[1].decode()))
        self._answered.wait(PATIENCE_SECONDS)
        connection.sendall(self._said)
        self._said = OK

    @contextmanager
    def lived(self) -> Iterator[OneProgram]:
        with self._server, self._running as running:
            self.settled()
            yield running

    @contextmanager
    def check_held(self, said: bytes) -> Iterator[None]:
        """A check is at the server meanwhile: whether it has ended must not depend on the moment."""
        self._answered.clear()
        begun = len(self._seen)
        wait_for(lambda: len(self._seen) > begun, PATIENCE_SECONDS, "a check")
        yield
        self._said = said
        self._answered.set()

    def settled(self) -> None:
        """Wait until the state has not changed for three checks: it takes as many to rise."""
        begun = len(self._seen)
        wait_for(lambda: len(self._seen) > begun + 5 and len(set(self._seen[-4:])) == 1, 30, "rest")

    def paused(self) -> None:
        """Wait until no check has come for longer than five take."""
        seen, since = -1, 0.0
        while time.monotonic() < since + 0.6 or seen != len(self._seen):
            if seen != len(self._seen):
                seen, since = len(self._seen), time.monotonic()
            time.sleep(0.02)

    @contextmanager
    def client(self) -> Iterator[str]:
        """A client with a session at the server, or one that waits for it: the last state."""
        with socket.create_connection(("127.0.0.1", self._client)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.settled()
            yield self._seen[-1]

    @property
    def states(self) -> list[str]:
        """Each state once; HAProxy lets a server that is out keep a part of its weight."""
        every = [re.sub(r"^((?:DOWN|NOLB).*weight=)\d+", r"\1", state) for state in self._seen]
        return [s for s, former in zip(every, ["", *every], strict=False) if s != former]


def lived(program: str, folder: Path, balance: str) -> list[str]:
    life = Life(program, folder, balance)
    with life.lived() as running:
        for former, order in pairwise(("", *ORDERS)):
            said = BUSY if order == LEAVE else OK  # one that passes ends it at once
            with nullcontext() if former == PAUSE else life.check_held(said):
                running.ask(order)
            (life.paused if order == PAUSE else life.settled)()
    return life.states


@pytest.mark.lengthy
@pytest.mark.parametrize("balance", ["roundrobin", "static-rr"])
def test_states_follow_orders(tmp_path: Path, balance: str) -> None:
    ours, theirs = (lived(program, tmp_path, balance) for program in ("millrace", "haproxy"))
    assert ours == theirs
    assert any("throttle=1%" in state for state in ours)
    assert {state.split(";")[0].split()[0] for state in ours} == {"UP", "DOWN", "NOLB"}


@pytest.mark.parametrize("balance", ["roundrobin", "source"])
def test_sessions_and_queue_are_told(tmp_path: Path, balance: str) -> None:
    """A client waits for any server, which no server is told; or for the one that it belongs to."""
    told = {}
    for program in ("millrace", "haproxy"):
        life = Life(program, tmp_path, balance)
        with life.lived(), life.client() as served, life.client() as waiting:
            told[program] = [state.partition("scur=")[2] for state in (served, waiting)]
    assert told["millrace"] == told["haproxy"]
    assert told["millrace"][1].endswith(f"qcur={balance == 'source':d}")
