"""Rows of servers that track, have an ordered name or health, or a Unix socket: beside HAProxy.

Millrace's state file says the same of each server as its `show servers state`.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from resolverd.state_file.format import COLUMNS
from tests.support.common import free_port, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command

SERVER = "127.67.9.2"
TEXT = """\
global
    nbthread 1
    stats socket {{folder}}/s level admin
    server-state-file {{folder}}/state
resolvers r
    nameserver ns {{nameserver}}
    timeout resolve 1s
    timeout retry 100ms
    resolve_retries 1
defaults
    mode tcp
    timeout connect 2s
    timeout client 600s
    timeout server 600s
    load-server-state-from-file global
backend origin
    server s {server}:{checked} check inter 100ms rise 1 fall 1
backend edge
    server t {server}:81 track origin/s
    server u {server}:82 track edge/t backup
    server m {server}:83 track origin/s disabled
    server n nowhere.test:84 resolvers r init-addr none track origin/s
    server o nowhere.test:84 resolvers r init-addr none
    server h {server}:85
    server x unix@/nowhere/socket
"""
# those after which HAProxy shows another counter for a server without checks that was out once
OUT = (
    "set server edge/t state maint",
    "set server origin/s state ready",
    "set server origin/s state maint",
    "set server edge/t state ready",
    "set server origin/s state ready",
)
ORDERS = (
    "set server origin/s state drain",
    "set server edge/t state drain",
    "set server edge/h health down",
    "set server edge/h health up",
    "set server edge/h health stopping",
    *OUT,
)
CHANGES = "srv_time_since_last_change"
COUNTER = "srv_check_health"
IN_PROGRESS = 1
Rows = dict[str, dict[str, str]]


def still(rows: Rows, *, counters: bool = True) -> Rows | None:
    """The rows without their ages, with counters where those are comparable; None in mid-check."""
    if any(int(row["srv_check_state"]) & IN_PROGRESS for row in rows.values()):
        return None
    left = (CHANGES,) if counters else (CHANGES, COUNTER)
    return {
        name: {field: value for field, value in row.items() if field not in left}
        for name, row in rows.items()
    }


def kept(program: OneProgram) -> Rows:
    """The rows of the state file."""
    lines = (program.folder / "state").read_text().splitlines()[2:]
    rows = [dict(zip(COLUMNS.split(), line.split(), strict=True)) for line in lines]
    return {row["srv_name"]: row for row in rows}


def agree(theirs: OneProgram, ours: OneProgram, *, counters: bool = True) -> bool:
    """HAProxy and Millrace show the same rows, and the file of Millrace has them."""
    shown, other = ours.rows(), still(theirs.rows(), counters=counters)
    if other is None or still(shown, counters=counters) != other:
        return False
    return still(shown) == still(kept(ours))


def test_rows_are_haproxys_and_those_of_the_file(tmp_path: Path) -> None:
    with ExitStack() as stack:
        checked = free_port()
        text = TEXT.format(server=SERVER, checked=checked)
        with socket.create_server((SERVER, checked)):
            theirs = stack.enter_context(
                one_program(haproxy_command(), tmp_path / "haproxy", text, {})
            )
            ours = stack.enter_context(
                one_program(millrace_command(), tmp_path / "millrace", text, {})
            )
            wait_for(lambda: agree(theirs, ours), 20, "rows of the start")
        wait_for(lambda: theirs.rows()["s"]["srv_op_state"] == "0", 20, "the origin is down")
        wait_for(lambda: agree(theirs, ours), 20, "rows of servers that track one that is down")
        assert (ours.rows()["t"]["srv_op_state"], ours.rows()["t"][COUNTER]) == ("0", "2")
        for order in ORDERS:
            theirs.ask(order)
            ours.ask(order)
            same = partial(agree, theirs, ours, counters=order not in OUT)
            wait_for(same, 20, order)


def test_an_ordered_name_is_marked_in_the_row_and_in_the_file(tmp_path: Path) -> None:
    """HAProxy marks it from the next change of state on, Millrace at once: a file needs the mark."""
    text = TEXT.format(server=SERVER, checked=free_port())
    order, change = "set server edge/o fqdn other.test", "set server edge/o state drain"
    with (
        one_program(haproxy_command(), tmp_path / "haproxy", text, {}) as theirs,
        one_program(millrace_command(), tmp_path / "millrace", text, {}) as ours,
    ):
        for program in (theirs, ours):
            program.ask(order)
        marked = {"srv_fqdn": "other.test", "srv_admin_state": "96"}
        wait_for(lambda: marked.items() <= ours.rows()["o"].items(), 20, order)
        wait_for(lambda: marked.items() <= kept(ours).get("o", {}).items(), 20, "the file")
        for program in (theirs, ours):
            program.ask(change)
        wait_for(lambda: agree(theirs, ours), 20, change)
        assert ours.rows()["o"]["srv_admin_state"] == "104"
