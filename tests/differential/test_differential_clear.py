"""`clear counters [all]`: which cells begin anew, beside HAProxy."""

from __future__ import annotations

import csv
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command
from tests.support.servers import Server, echo, receive_count

EDGE = "127.67.4.1"
SERVER = "127.67.4.2"
CELLS = ("smax", "stot", "bin", "bout", "lbtot", "rate_max", "conn_tot", "connect", "chkfail")
TEXT = """\
global
    nbthread 1
    stats socket {{folder}}/s level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 600s
    timeout server 600s
listen edge
    bind {edge}:{port}
    server s {server}:{server_port} check port {check_port} inter 100ms rise 1 fall 2
"""
Rows = dict[str, dict[str, str]]


def rows(program: OneProgram) -> Rows:
    lines = program.ask("show stat").strip().splitlines()
    names = lines[0].removeprefix("# ").split(",")
    read = (dict(zip(names, row, strict=False)) for row in csv.reader(lines[1:]))
    return {row["svname"]: row for row in read if row["pxname"] == "edge"}


def cells(program: OneProgram) -> dict[str, dict[str, str]]:
    """What is compared: a rate counts as none or some; a server's may be missed between looks."""
    found = {
        name: {
            cell: str(min(1, int(row[cell]))) if cell == "rate_max" and row[cell] else row[cell]
            for cell in CELLS
        }
        for name, row in rows(program).items()
    }
    del found["s"]["rate_max"]
    return found


def sessions(port: int, count: int) -> None:
    """So many sessions at once, each with five bytes either way."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection((EDGE, port), PATIENCE_SECONDS))
            for _ in range(count)
        ]
        for client in clients:
            client.sendall(b"hello")
            assert receive_count(client, 5) == b"hello"


def observe(command: tuple[str, ...], folder: Path) -> list[dict[str, dict[str, str]]]:
    """The cells before, after both kinds of clearing, and after more sessions."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(echo, SERVER))
        checked = stack.enter_context(socket.create_server((SERVER, 0)))
        port = free_port()
        text = TEXT.format(
            edge=EDGE,
            port=port,
            server=SERVER,
            server_port=server.address[1],
            check_port=checked.getsockname()[1],
        )
        program = stack.enter_context(one_program(command, folder, text, {}))
        wait_for(lambda: rows(program)["s"]["check_status"] == "L4OK", 10, "a check")
        sessions(port, 3)
        wait_for(lambda: rows(program)["s"]["scur"] == "0", 5, "they have ended")
        wait_for(lambda: int(rows(program)["FRONTEND"]["rate_max"]) > 0, 5, "a rate")
        found = [cells(program)]
        for order in ("clear counters", "clear counters all"):
            assert program.ask(order) == "\n"
            found.append(cells(program))
        sessions(port, 2)
        wait_for(lambda: rows(program)["s"]["scur"] == "0", 5, "they have ended")
        later = cells(program)
        for row in later.values():  # two sessions may be gone between two looks of control
            del row["smax"]
            row.pop("rate_max", None)
        found.append(later)
        checked.close()
        wait_for(lambda: int(rows(program)["s"]["chkfail"]) > 0, 10, "a failed check")
        program.ask("clear counters all")
        assert int(rows(program)["s"]["chkfail"]) <= 1  # the next one may just have failed
        return found


def test_the_same_cells_begin_anew(tmp_path: Path) -> None:
    theirs = observe(haproxy_command(), tmp_path / "haproxy")
    ours = observe(millrace_command(), tmp_path / "millrace")
    assert ours == theirs
    assert [seen["s"]["stot"] for seen in ours] == ["3", "3", "0", "2"]
    assert [seen["s"]["smax"] for seen in ours[:3]] == ["3", "0", "0"]
