"""Every order about a server, in every state that an order leaves: HAProxy's log lines and ours.

A case is a backend with a server of its own, which gets two orders. What follows on another server,
because it tracks the first, is at the end.
"""

from __future__ import annotations

import csv
import io
import re
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

ORDERS = {
    "ready": "set server {} state ready",
    "drain": "set server {} state drain",
    "maint": "set server {} state maint",
    "healthy": "set server {} health up",
    "unhealthy": "set server {} health down",
    "stopping": "set server {} health stopping",
    "weightless": "set server {} weight 0",
}
CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
  max-spread-checks 500ms
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend unused
  bind unix@{{folder}}/unused
backend base
  server b 127.0.0.1:{port} check inter 1h
{backends}
"""
AT_ONCE = 10  # commands of one line


def not_found(connection: socket.socket) -> None:
    connection.recv(1_000)
    connection.sendall(b"HTTP/1.0 404 no\r\n\r\n")


class Case(NamedTuple):
    """A server of a kind, and the orders that it gets."""

    kind: str
    first: str
    second: str


def server_kinds(port: int) -> dict[str, str]:
    """The lines of each kind's backend; the port has a server that says 404."""
    httpchk = "option httpchk\n  http-check disable-on-404"
    return {
        "plain": "server s 127.0.0.1:9",
        "one-of-two": "server s 127.0.0.1:9\n  server other 127.0.0.1:9",
        "checked": f"server s 127.0.0.1:{port} check inter 1h",
        "stopping": f"{httpchk}\n  server s 127.0.0.1:{port} check inter 1h",
        "backup": "server s 127.0.0.1:9 backup",
        "disabled": "server s 127.0.0.1:9 disabled",
        "tracking": "server s 127.0.0.1:9 track base/b",
    }


CASES = {
    f"{kind}-{first}-{second}": Case(kind, first, second)
    for kind in server_kinds(0)
    for first in ORDERS
    for second in ORDERS
    if not (kind == "tracking" and "health" in ORDERS[first] + ORDERS[second])  # no such order
}
Seen = dict[str, list[str]]


def shown(made: OneProgram) -> dict[tuple[str, str], list[str]]:
    """What is shown of each server."""
    rows = csv.DictReader(io.StringIO(made.ask("show stat -1 4 -1").lstrip("# ").strip()))
    found = {(row["pxname"], row["svname"]): [row["status"]] for row in rows}
    lines = made.ask("show servers state").strip().splitlines()
    names = lines[1][2:].split()
    for line in lines[2:]:
        row = dict(zip(names, line.split(), strict=True))
        columns = ("srv_op_state", "srv_admin_state", "srv_check_health")
        found[row["be_name"], row["srv_name"]] += [row[column] for column in columns]
    return found


def told(made: OneProgram, cases: dict[str, Case]) -> Seen:
    """The lines of the log by backend, in their order."""
    made.read_all()
    found: Seen = defaultdict(list)
    for level, text in made.lines:
        said = text.split(": ", 1)[1].strip()
        name = re.search(r"\b(?:backend|proxy|Server) ([a-z-]+)", said)
        if name and name.group(1) in cases:
            found[name.group(1)].append(f"{level} {said}")
    return found


@contextmanager
def program(name: str, folder: Path) -> Iterator[OneProgram]:
    """One of the programs with a backend for each case, once all checks have ended."""
    with Server(not_found) as server, ExitStack() as stack:
        kinds = server_kinds(server.port)
        backends = "\n".join(f"backend {n}\n  {kinds[case.kind]}" for n, case in CASES.items())
        text = CONFIGURATION.format(port=server.port, backends=backends)
        made = stack.enter_context(one_program(PROGRAMS[name](), folder / name, text, {}))
        stopping = [(n, "s") for n, case in CASES.items() if case.kind == "stopping"]
        wait_for(
            lambda: (
                all(shown(made)[server][0] == "NOLB" for server in stopping)
                and "INI" not in made.ask("show stat -1 4 -1")
            ),
            PATIENCE_SECONDS,
            "the first checks",
        )
        made.read()
        made.lines.clear()
        yield made


def step(made: OneProgram, orders: dict[str, str]) -> None:
    """Give each server its order."""
    commands = [ORDERS[order].format(f"{name}/s") for name, order in orders.items()]
    for at in range(0, len(commands), AT_ONCE):
        made.ask(";".join(commands[at : at + AT_ONCE]))
        made.read()


def test_every_order_in_every_state_is_told_as_haproxy_tells_it(tmp_path: Path) -> None:
    orders = (
        {name: case.first for name, case in CASES.items()},
        {name: case.second for name, case in CASES.items()},
    )
    wanted: list[tuple[Seen, dict[tuple[str, str], list[str]]]] = []
    with program("haproxy", tmp_path) as made:
        for given in orders:
            step(made, given)
            wanted.append((told(made, CASES), shown(made)))
    with program("millrace", tmp_path) as made:
        for given, (lines, states) in zip(orders, wanted, strict=True):
            step(made, given)

            def same() -> bool:
                return told(made, CASES) == lines and shown(made) == states  # noqa: B023

            with suppress(pytest.fail.Exception):  # what differs is shown below
                wait_for(same, PATIENCE_SECONDS, "HAProxy's lines and states", step=0.2)
            ours, our_states = told(made, CASES), shown(made)
            differ = {n: (ours.get(n), lines.get(n)) for n in CASES if ours.get(n) != lines.get(n)}
            assert not differ, differ
            states_differ = {
                n: (our_states[n], states[n]) for n in states if our_states[n] != states[n]
            }
            assert not states_differ, states_differ
