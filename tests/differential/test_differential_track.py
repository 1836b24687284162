"""`track`: a server that shares the state of another one, beside HAProxy."""

from __future__ import annotations

import csv
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command

EDGE = "127.67.6.1"
SERVER = "127.67.6.2"
TEXT = """\
global
    nbthread 1
    stats socket {{folder}}/s level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 600s
    timeout server 600s
backend origin
    server s {server}:{checked} check inter 100ms rise 1 fall 1
listen edge
    bind {edge}:{port}
    server t {server}:{served} track origin/s
    server u {server}:{served} track t backup
"""
State = dict[str, tuple[str, ...]]


def state(program: OneProgram) -> State:
    """Status and tracked server of each; its operational and administrative state."""
    lines = program.ask("show stat").strip().splitlines()
    names = lines[0].removeprefix("# ").split(",")
    read = (dict(zip(names, row, strict=False)) for row in csv.reader(lines[1:]))
    shown = {row["svname"]: (row["status"], row["tracked"]) for row in read}
    return {
        name: (*shown[name], row["srv_op_state"], row["srv_admin_state"])
        for name, row in program.rows().items()
    }


def observe(command: tuple[str, ...], folder: Path) -> list[tuple[State, bool]]:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((SERVER, 0)))
        server.settimeout(PATIENCE_SECONDS)
        checked, port = free_port(), free_port()
        text = TEXT.format(
            edge=EDGE, port=port, server=SERVER, served=server.getsockname()[1], checked=checked
        )
        found: list[tuple[State, bool]] = []

        def see(*status: str) -> None:
            wait_for(
                lambda: tuple(each[0] for each in state(program).values()) == status,
                10,
                f"status {status}",
            )
            found.append((state(program), reaches()))

        def reaches() -> bool:
            with socket.create_connection((EDGE, port), PATIENCE_SECONDS) as client:
                client.settimeout(PATIENCE_SECONDS)
                if state(program)["t"][0] not in ("UP",):
                    return client.recv(1) != b""
                accepted, _ = server.accept()
                with accepted:
                    accepted.sendall(b"x")
                    return client.recv(1) == b"x"

        with socket.create_server((SERVER, checked)):
            program = stack.enter_context(one_program(command, folder, text, {}))
            see("UP", "UP", "UP")
        see("DOWN", "DOWN", "DOWN")
        with socket.create_server((SERVER, checked)):
            see("UP", "UP", "UP")
            program.ask("set server origin/s state maint")
            see("MAINT", "MAINT (via origin/s)", "MAINT (via edge/t)")
            program.ask("set server edge/t state ready")
            see("MAINT", "MAINT (via origin/s)", "MAINT (via edge/t)")
            program.ask("set server origin/s state drain")
            see("DRAIN", "DRAIN", "DRAIN")
            program.ask("set server origin/s state ready")
            see("UP", "UP", "UP")
            program.ask("set server edge/t state maint")
            wait_for(lambda: state(program)["t"][0] == "MAINT", 10, "maintenance")
            found.append((state(program), True))
        return found


def test_states_of_servers_that_track(tmp_path: Path) -> None:
    theirs = observe(haproxy_command(), tmp_path / "haproxy")
    ours = observe(millrace_command(), tmp_path / "millrace")
    assert ours == theirs
    assert [reached for _, reached in ours] == [True, False, True, False, False, False, True, True]
