"""Rules that wait for the server's first bytes, beside a client that ends, leaves or says nothing."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
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
CLIENT_MS = 200  # `timeout client` of one that is silent for too long
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


def all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(100), b""))


def ends(client: socket.socket, _heard: Event) -> bytes:
    client.sendall(b"q")
    client.shutdown(socket.SHUT_WR)
    return all_of(client)


def is_silent(client: socket.socket, _heard: Event) -> bytes:
    return all_of(client)


def resets(client: socket.socket, heard: Event) -> bytes:
    client.sendall(b"q")
    assert heard.wait(PATIENCE_SECONDS)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    return b""


def after_the_client(connection: socket.socket, heard: Event) -> None:
    """Answer once the client's end has been passed on."""
    if connection.recv(1):
        heard.set()
        all_of(connection)
    with suppress(OSError):
        connection.sendall(b"HELLO")


def after_a_while(connection: socket.socket, _heard: Event) -> None:
    """Answer a client that has been silent for longer than it may, and leave the end to it."""
    time.sleep(2 * CLIENT_MS / 1_000)
    connection.sendall(b"HELLO")
    all_of(connection)


class Case(NamedTuple):
    """`meet` is the client and `answer` the server."""

    rules: tuple[str, ...]
    meet: Callable[[socket.socket, Event], bytes] = ends
    answer: Callable[[socket.socket, Event], None] = after_the_client
    client_timeout: str = "9s"


CASES = {
    "the end of a client": Case(BEGINS_WITH_H),
    "a key after the end of a client": Case(HAS_FIVE),
    "nothing at last after the end of a client": Case(AT_LAST),
    "a client that is silent for too long": Case(
        AT_LAST, is_silent, after_a_while, f"{CLIENT_MS}ms"
    ),
    "a client that is gone": Case(AT_LAST, resets),
}


def line_of(program: OneProgram) -> tuple[str, ...]:
    program.read()
    found = [LINE.search(text) for _, text in program.lines]
    return next((match.groups() for match in found if match), ())


def entries_of(program: OneProgram) -> list[str]:
    return re.findall(r"key=(\S+)", program.ask("show table l"))


@pytest.mark.parametrize("case", CASES)
def test_the_rules_wait_for_the_server(tmp_path: Path, case: str) -> None:
    rules, meet, answer, client_timeout = CASES[case]
    seen, heard = {}, Event()
    with Server(lambda connection: answer(connection, heard)) as server:
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
                    said = meet(client, heard)
                heard.clear()
                line = wait_for(lambda: line_of(program), PATIENCE_SECONDS, f"{kind}: its line")
                seen[kind] = Seen(said, line, entries_of(program))
    assert seen["millrace"] == seen["haproxy"]
