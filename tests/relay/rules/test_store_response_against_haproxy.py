"""Keys of stick tables from what servers say first, and entries that name addresses of servers."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

pytestmark = pytest.mark.slow
HEAD = """\
global
  stats socket {folder}/s level admin
  nbthread 1
defaults
  mode tcp
  balance first
  timeout connect 5s
  timeout client 9s
  timeout server 9s
"""
TABLE = "stick-table type string len 8 size 1k expire 1h"
WAIT = ("tcp-response inspect-delay 5s", "tcp-response content accept if {{ res.len ge 8 }}")
STORE = "stick store-response res.payload(0,8)"
SECTIONS: dict[str, tuple[str, ...]] = {
    "waited": (TABLE, *WAIT, STORE),
    "at_once": (TABLE, STORE),
    "source": (TABLE, "stick store-response src"),
    "condition": (TABLE, *WAIT, f"{STORE} if {{{{ res.payload(0,2) -m str no }}}}"),
    "first": (
        *(TABLE, *WAIT, "stick store-response res.payload(0,40)"),
        *("stick store-response res.payload(0,4)", "stick store-response res.payload(0,5)"),
    ),
    "both": (TABLE, *WAIT, "stick on req.payload(0,4)", STORE),
    "refused": (TABLE, "stick store-request src", *WAIT[:1], "tcp-response content reject", STORE),
    "closed": (TABLE, "stick store-request src", *WAIT[:1], "tcp-response content close", STORE),
    "elsewhere": (*WAIT, f"{STORE} table waited"),
    "excluded": (TABLE, *WAIT, STORE, "default-server non-stick"),
    "unused": (TABLE, *WAIT, f"{STORE} unless {{{{ res.len gt 0 }}}}"),
    "learnt": (TABLE, *WAIT, STORE, "stick match req.payload(0,8)"),
    "address": ("stick-table type ip size 1k srvkey addr", "stick on src"),
    "address_six": ("stick-table type ip size 1k srvkey addr", "stick on src", "<six>"),
}
LEARN = (
    "tcp-request inspect-delay 5s",
    "tcp-request content accept if {{ req.len ge 8 }}",
)


def greet(name: bytes) -> Server:
    """A server that says its name to what it hears, twice as long as a key."""

    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(name * 8)

    return Server(answer)


class Place:
    """One program; notes what is seen."""

    def __init__(self, program: OneProgram, ports: dict[str, int]) -> None:
        self.program, self.ports = program, ports
        self.seen: list[object] = []

    def ask(self, section: str, sent: bytes = b"question", host: int = 2) -> None:
        with socket.socket() as client:
            client.settimeout(PATIENCE_SECONDS)
            client.bind((f"127.0.0.{host}", 0))
            client.connect(("127.0.0.1", self.ports[section]))
            client.sendall(sent)
            heard = b""
            with suppress(ConnectionError):
                heard = b"".join(iter(lambda: client.recv(100), b""))
        self.seen.append((section, heard))
        wait_for(self.idle, PATIENCE_SECONDS, "the session ends")

    def idle(self) -> bool:
        head, *rows = self.program.ask("show stat").removeprefix("# ").strip().splitlines()
        place = head.split(",").index("scur")
        return all(row.split(",")[place] in ("", "0") for row in rows)

    def table(self, name: str) -> None:
        said = self.program.ask(f"show table {name}")
        rows = re.sub(r"0x\w+: | exp=\d+", "", said).strip().splitlines()
        for port, mark in ((self.ports["<s1>"], "<s1>"), (self.ports["<s2>"], "<s2>")):
            rows = [row.replace(str(port), mark) for row in rows]
        self.seen.append((rows[0], sorted(rows[1:])))


def scene(place: Place) -> None:
    """Each section learns from two answers."""
    for section, lines in SECTIONS.items():
        place.ask(section)
        place.ask(section, b"another one")
        if any(line.startswith("stick-table") for line in lines):
            place.table(section)
    place.table("waited")
    place.ask("learnt", b"s1s1s1s1")
    place.program.ask("set table learnt key s2s2s2s2 data.server_id 2")
    place.ask("learnt", b"s2s2s2s2")
    place.table("learnt")
    addresses(place)


def addresses(place: Place) -> None:
    """An entry follows the address: the servers change theirs."""
    order, one, two = place.program.ask, place.ports["<s1>"], place.ports["<s2>"]
    order(f"set server address/s1 addr 127.0.0.1 port {two}")
    order(f"set server address/s2 addr 127.0.0.1 port {one}")
    place.ask("address")
    place.table("address")
    order("set table address key 127.0.0.7 data.server_id 2")
    place.ask("address", host=7)
    place.table("address")


def noted(name: str, folder: Path) -> list[object]:
    with ExitStack() as stack:
        servers = {f"<s{n}>": stack.enter_context(greet(b"s%d" % n)) for n in (1, 2)}
        ports = {section: free_port() for section in SECTIONS}
        text = HEAD
        for section, lines in SECTIONS.items():
            host = "[::1]" if "<six>" in lines else "127.0.0.1"
            text += f"listen {section}\n  bind 127.0.0.1:{ports[section]}\n"
            text += "".join(f"  {line}\n" for line in (*LEARN, *lines) if line != "<six>")
            text += f"  server s1 {host}:<s1>\n  server s2 {host}:<s2>\n"
        for mark, server in servers.items():
            ports[mark] = server.address[1]
            text = text.replace(mark, str(server.address[1]))
            stack.enter_context(Relay6(server.address[1]))
        program = stack.enter_context(one_program(PROGRAMS[name](), folder / name, text, {}))
        place = Place(program, ports)
        scene(place)
        return place.seen


class Relay6(Server):
    """The same port at [::1]: says that it is there."""

    def __init__(self, port: int) -> None:
        super().__init__(lambda c: c.sendall(c.recv(100)[:0] + b"six"), "::1", port)


def test_tables_learn_from_answers_as_haproxys(tmp_path: Path) -> None:
    ours, theirs = noted("millrace", tmp_path), noted("haproxy", tmp_path)
    different = [(own, other) for own, other in zip(ours, theirs, strict=True) if own != other]
    assert not different
    assert any("s1s1s1s1" in str(each) for each in ours)
