"""`http-check disable-on-404` over time: the states, results and log lines of HAProxy."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

CODES = (200, 404, 200, 500, 404, 200, 404, 500, 200)
CHECKS = 4  # of each code, at least: `fall` and `rise` are 2
CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout check 60s
  timeout client 5s
  timeout server 5s
listen be
  bind 127.0.0.1:{port}
  option httpchk
  http-check disable-on-404
  server s 127.0.0.1:{server_port} check inter 100ms fall 2 rise 2 weight 32 slowstart 1000s
"""


class Answering:
    """Answers each check with `code`, and counts them."""

    def __init__(self) -> None:
        self.code = CODES[0]
        self.answered = 0

    def __call__(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        self.answered += 1
        connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.code)


def settled(running: OneProgram) -> list[str]:
    """`status`, `check_status` and `check_code` between two checks; HAProxy's have none in one.

    Of a server that is up `weight`, `throttle` and `srv_op_state` as well.
    """
    found = running.ask("show stat").splitlines()
    [row] = [line.split(",") for line in found if line.startswith("be,s,")]
    if row[36].startswith("*"):
        return []
    warmth = [row[18], row[29], running.rows()["s"]["srv_op_state"]] if row[17] == "UP" else []
    return [row[17], row[36], row[37], *warmth]


def told(program: str, folder: Path) -> tuple[list[list[str]], list[str]]:
    """What `settled` finds behind each code, and the lines about the server."""
    answering, rows = Answering(), []
    with Server(answering) as server:
        text = CONFIGURATION.format(port=free_port(), server_port=server.port)
        with one_program(PROGRAMS[program](), folder / program, text, {}) as running:
            for code in CODES:
                answering.code, before = code, answering.answered
                wait_for(lambda: answering.answered >= before + CHECKS, PATIENCE_SECONDS, "checks")  # noqa: B023
                rows.append(wait_for(lambda: settled(running), PATIENCE_SECONDS, "its end"))
            running.read_all()
            lines = [
                f"{level} " + re.sub(r"duration: \d+ms", "duration", line.split(": ", 1)[-1])
                for level, line in running.lines
                if "be/s" in line or "no server" in line
            ]
    return rows, lines


@pytest.mark.slow
def test_a_server_that_answers_404_is_on_its_way_out(tmp_path: Path) -> None:
    rows, lines = told("millrace", tmp_path)
    assert (rows, lines) == told("haproxy", tmp_path)
    assert [row[0] for row in rows[:3]] == ["UP", "NOLB", "UP"]
    assert [rows[0][3:], rows[2][3:]] == [["32", "", "2"], ["2", "6", "1"]]  # it warms up
    assert rows[4] == ["DOWN", "L7STS", "404"]  # it was down before
