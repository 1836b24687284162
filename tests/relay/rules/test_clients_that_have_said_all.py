"""Rules that wait for the server's first bytes, beside a client that ends, leaves or says nothing."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

pytestmark = pytest.mark.slow
CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
  log {{log}} local0
  nbthread 1
defaults
  mode tcp
  log global
  option tcplog
  timeout connect 5s
  timeout client {client}
  timeout server 9s
listen l
  bind 127.0.0.1:{port}
{rules}
  server s 127.0.0.1:{server}
"""
AFTER_SECONDS = 0.4  # what the server says comes later than the client's end
LINE = re.compile(r" l/\S+ [-\d/]+ (\d+) (\S\S) ")
BEGINS_WITH_H = (
    "tcp-response inspect-delay 5s",
    "tcp-response content reject unless {{ res.payload(0,1) -m str H }}",
)
HAS_FIVE = (
    "stick-table type string len 5 size 9 expire 1h",
    "tcp-response inspect-delay 5s",
    "tcp-response content accept if {{ res.len ge 5 }}",
    "stick store-response res.payload(0,5)",
)
AT_LAST = (
    "tcp-response inspect-delay 5s",
    "tcp-response content accept if {{ res.len ge 5 }}",
    "tcp-response content reject if WAIT_END",
)


class Seen(NamedTuple):
    """What the client gets, and the line of its session: bytes, and how it ended."""

    heard: bytes
    line: tuple[str, ...]
    entries: list[str]


def late(connection: socket.socket) -> None:
    """Answer after a while; the client may have ended long before. Then wait for its end."""
    time.sleep(AFTER_SECONDS)
    connection.sendall(b"HELLO")
    while connection.recv(100):
        pass


def after_its_end(client: socket.socket) -> bytes:
    client.sendall(b"q")
    client.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: client.recv(100), b""))


def silent(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(100), b""))


def reset(client: socket.socket) -> bytes:
    client.sendall(b"q")
    time.sleep(AFTER_SECONDS / 2)  # the server has the connection by then
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    return b""


CASES: dict[str, tuple[tuple[str, ...], Callable[[socket.socket], bytes], str]] = {
    "the end of a client": (BEGINS_WITH_H, after_its_end, "9s"),
    "a key after the end of a client": (HAS_FIVE, after_its_end, "9s"),
    "nothing at last after the end of a client": (AT_LAST, after_its_end, "9s"),
    "a client that is silent for too long": (AT_LAST, silent, "200ms"),
    "a client that is gone": (AT_LAST, reset, "9s"),
}


def line_of(program: OneProgram) -> tuple[str, ...]:
    program.read()
    found = [LINE.search(text) for _, text in program.lines]
    return next((match.groups() for match in found if match), ())


def entries_of(program: OneProgram) -> list[str]:
    return re.findall(r"key=(\S+)", program.ask("show table l"))


@pytest.mark.parametrize("case", CASES)
def test_the_rules_wait_for_the_server(tmp_path: Path, case: str) -> None:
    rules, meet, client_timeout = CASES[case]
    seen = {}
    with Server(late) as server:
        for kind, command in PROGRAMS.items():
            port = free_port()
            text = CONFIGURATION.format(
                client=client_timeout,
                port=port,
                rules="\n".join(f"  {rule}" for rule in rules),
                server=server.port,
            )
            with one_program(command(), tmp_path / kind, text, {}) as program:
                with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
                    heard = meet(client)
                line = wait_for(lambda: line_of(program), PATIENCE_SECONDS, f"{kind}: its line")
                seen[kind] = Seen(heard, line, entries_of(program))
    assert seen["millrace"] == seen["haproxy"]
