"""Rules of connections in sections that answer themselves: who is kept out, and how it is counted."""

from __future__ import annotations

import csv
import io
import socket
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.config.loading import only_alert
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

pytestmark = pytest.mark.slow
CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend page
  bind 127.0.0.1:{page}
  {rules}
  monitor-uri /alive
  default_backend behind
backend behind
  {content}
  stats enable
  stats uri /st
"""
RULES = {
    "an open page": ((), ()),
    "no connection": (("connection reject if { src 127.0.0.9 }",), ()),
    "only these": (("connection reject unless { src 127.0.0.1 127.0.0.8 }",), ()),
    "the first that holds": (
        ("connection accept if { src 127.0.0.9 }", "connection reject"),
        (),
    ),
    "no session": (("session reject if { src 127.0.0.9 }",), ()),
    "no request": (("content reject if { src 127.0.0.9 }",), ()),
    "of the page": ((), ("content reject if { src 127.0.0.9 }",)),
    "accepted by one stage": (
        ("connection accept", "session reject if { src 127.0.0.8 } or { src 127.0.0.9 }"),
        (),
    ),
    "waits for nothing": (("inspect-delay 5s", "content reject if { src 127.0.0.9 }"), ()),
    "by an acl": (("connection reject if !near",), ()),
}
SOURCES = ("127.0.0.1", "127.0.0.8", "127.0.0.9")
COLUMNS = ("stot", "conn_tot", "dcon", "dses", "dreq")


def asked(source: str, port: int) -> bytes:
    """The status line of an answer; nothing where the client was kept out."""
    address = ("127.0.0.1", port)
    try:
        with socket.create_connection(address, PATIENCE_SECONDS, (source, 0)) as client:
            client.sendall(b"GET /st HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            return client.makefile("rb").readline()
    except ConnectionError:
        return b""


def counted(program: OneProgram) -> tuple[str, ...]:
    rows = csv.DictReader(io.StringIO(program.ask("show stat").lstrip("# ")))
    row = next(row for row in rows if (row["pxname"], row["svname"]) == ("page", "FRONTEND"))
    return tuple(row[column] for column in COLUMNS)


def lived(program: str, folder: Path, name: str) -> tuple[list[bytes], tuple[str, ...]]:
    port = free_port()
    rules, content = ("\n  ".join(f"tcp-request {rule}" for rule in each) for each in RULES[name])
    acl = "acl near src 127.0.0.0/29"
    text = CONFIGURATION.format(
        page=port,
        rules=f"{acl}\n  {rules}".replace("{", "{{").replace("}", "}}"),
        content=content.replace("{", "{{").replace("}", "}}"),
    )
    with one_program(PROGRAMS[program](), folder / program, text, {}) as running:
        heard = [asked(source, port) for source in SOURCES]
        wait_for(lambda: sum(map(int, counted(running)[1:2])) >= len(SOURCES), 10, "counts")
        return heard, counted(running)


@pytest.mark.parametrize("name", RULES)
def test_the_same_clients_may_ask(name: str, tmp_path: Path) -> None:
    ours, theirs = (lived(program, tmp_path, name) for program in ("millrace", "haproxy"))
    assert ours == theirs
    assert b"HTTP/1.1 200 OK\r\n" in ours[0]
    assert (b"" in ours[0]) == (name != "an open page")


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("content reject if { req.len gt 3 }", "'req.len' is not known when a client comes"),
        ("connection silent-drop", "only 'accept' and 'reject' can be honoured"),
        ("content reject if { path /x }", "'path' is not known when a client comes"),
    ],
)
@pytest.mark.parametrize("shown", [False, True])
def test_what_cannot_be_judged_so_is_refused(rule: str, why: str, shown: bool) -> None:
    front = "frontend f\n mode http\n bind 127.0.0.1:1\n timeout client 1s\n default_backend b\n"
    back = "backend b\n mode http\n stats enable\n"
    if shown and "connection" in rule:
        return
    line = f" tcp-request {rule}\n"
    _, text = only_alert(front + back + line if shown else front + line + back)
    assert why in text
