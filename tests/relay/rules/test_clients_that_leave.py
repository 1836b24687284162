"""Clients that leave while rules wait for their bytes: what HAProxy makes of them, and Millrace."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.relay.rule_cases import Case, Finish, Met, Pause, Reset, meet, serving

OWN = """  tcp-request inspect-delay 30s
  tcp-request content accept if { req.len ge 5 }
  server s1 <s1>
"""
THEIRS = "\nbackend <other>\n" + OWN.replace("s1", "s2")
LEFT = Pause(0.2), Reset()
CASES = [
    Case("its frontend waits", OWN, (b"abc", *LEFT)),
    Case("its frontend waits, no byte", OWN, LEFT),
    Case("its frontend waits, abortonclose", "  option abortonclose\n" + OWN, (b"abc", *LEFT)),
    Case("its backend waits", "  default_backend <other>\n", (b"abc", *LEFT), THEIRS),
    Case("its backend waits, no byte", "  default_backend <other>\n", LEFT, THEIRS),
    Case("and the rules refuse", OWN + "  tcp-request content reject\n", (b"abc", *LEFT)),
    Case("finished", OWN, (b"abc", Pause(0.2), Finish())),
]
QUEUE = """global
  stats socket {{folder}}/s level admin
  log {{log}} local0
defaults
  mode tcp
  log global
  log-format "%ft %b/%s %ts"
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  option abortonclose
  tcp-request inspect-delay 30s
  tcp-request content accept if {{{{ req.len ge 5 }}}}
  server s 127.0.0.1:{server} maxconn 1
"""


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Met]]:
    folder = tmp_path_factory.mktemp("leaving")
    with serving() as servers:
        return {
            program: meet(CASES, program, folder / program, servers)
            for program in ("haproxy", "millrace")
        }


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_client_that_breaks_its_connection_gets_no_server(
    met: dict[str, dict[str, Met]], name: str
) -> None:
    assert met["millrace"][name] == met["haproxy"][name]


@pytest.mark.lengthy
@pytest.mark.parametrize("program", PROGRAMS)
def test_one_that_left_while_rules_waited_leaves_the_queue(program: str, tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = QUEUE.format(port=port, server=server.getsockname()[1])
        with (
            one_program(PROGRAMS[program](), tmp_path / program, text, {}) as made,
            socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as first,
            socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as second,
        ):
            first.sendall(b"first")
            taken, _ = server.accept()
            with taken:
                second.sendall(b"abc")
                second.shutdown(socket.SHUT_WR)
                wait_for(lambda: " back/<NOSRV> CQ" in said(made), 20, "it leaves the queue")
                assert second.recv(1) == b""


def said(made: OneProgram) -> str:
    made.read()
    return "\n".join(text for _, text in made.lines)
