"""Orders that follow each other at once: each counts in every worker, also in one that looks late."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program

pytestmark = pytest.mark.slow
ROUNDS, CLIENTS = 20, 20
BACKUPS = "on-marked-up shutdown-backup-sessions"
CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 5s
listen f
    bind 127.0.0.1:{port}
    server s1 127.0.0.1:{first} {first_words}
    server s2 127.0.0.1:{second} backup
"""
DOWN_AND_UP = "set server f/s1 state maint; set server f/s1 state ready"


def cell(program: Program, server: str, position: int) -> int:
    for line in program.ask("show stat").splitlines():
        cells = line.split(",")
        if cells[:2] == ["f", server]:
            return int(cells[position] or 0)
    raise AssertionError(f"no server {server}")


def sessions_on(program: Program, server: str) -> int:
    """`scur` of a server."""
    return cell(program, server, 4)


def bytes_in(program: Program, server: str) -> int:
    """`bin` of a server."""
    return cell(program, server, 8)


def site(stack: ExitStack, folder: Path, words: str) -> tuple[Program, int]:
    servers = [
        stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1_000)) for _ in "12"
    ]
    first, second = (server.getsockname()[1] for server in servers)
    port = free_port()
    text = CONFIGURATION.format(port=port, first=first, second=second, first_words=words)
    return stack.enter_context(Program(folder, text)), port


def crowd(stack: ExitStack, program: Program, port: int, server: str) -> list[socket.socket]:
    clients = [
        stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
        for _ in range(CLIENTS)
    ]
    wait_for(
        lambda: sessions_on(program, server) == CLIENTS, PATIENCE_SECONDS, "all have a session"
    )
    return clients


def test_a_server_that_goes_down_and_up_in_one_line_loses_all_sessions(tmp_path: Path) -> None:
    with ExitStack() as stack:
        program, port = site(stack, tmp_path, "on-marked-down shutdown-sessions")
        for _ in range(ROUNDS):
            clients = crowd(stack, program, port, "s1")
            program.ask(DOWN_AND_UP)
            assert all(client.recv(1) == b"" for client in clients)


def test_a_server_that_comes_up_and_goes_in_one_line_ends_those_of_the_backup(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        program, port = site(stack, tmp_path, BACKUPS)
        program.ask("set server f/s1 state maint")
        for _ in range(ROUNDS):
            clients = crowd(stack, program, port, "s2")
            program.ask("set server f/s1 state ready; set server f/s1 state maint")
            assert all(client.recv(1) == b"" for client in clients)


@pytest.mark.parametrize(
    ("words", "server", "before", "orders"),
    [
        ("on-marked-down shutdown-sessions", "s1", "state ready", ("state maint", "state ready")),
        ("on-marked-down shutdown-sessions", "s1", "health up", ("health down", "health up")),
        (BACKUPS, "s2", "state maint", ("state ready", "state maint")),
        (BACKUPS, "s2", "health down", ("health up", "health down")),
    ],
)
def test_a_worker_that_was_stopped_acts_on_orders_that_took_each_other_back(
    tmp_path: Path, words: str, server: str, before: str, orders: tuple[str, str]
) -> None:
    with ExitStack() as stack:
        program, port = site(stack, tmp_path, words)
        program.ask(f"set server f/s1 {before}")
        clients = crowd(stack, program, port, server)
        with program.stand_still(*program.children()["worker"]):
            for order in orders:
                program.ask(f"set server f/s1 {order}")
        assert all(client.recv(1) == b"" for client in clients)
        after = crowd(stack, program, port, server)
        program.ask("set server f/s1 weight 7")  # a change of the table, and none of its state
        after[0].sendall(b"x")
        wait_for(lambda: bytes_in(program, server) > 0, PATIENCE_SECONDS, "it serves on")
        assert sessions_on(program, server) == CLIENTS


def test_a_stopped_worker_holds_up_no_order_for_long(tmp_path: Path) -> None:
    with ExitStack() as stack:
        program, _ = site(stack, tmp_path, "")
        with program.stand_still(program.children()["worker"][0]):
            for _ in range(20):
                program.ask(DOWN_AND_UP)
        assert program.process.poll() is None
