"""A reload is said to be done when the old workers accept no more: what is done behind that is new."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from proxy.supervisor.reload import STILL_THERE
from tests.support.common import free_port, wait_for
from tests.support.supervisor.program import Program, await_serving, greeting, hello, started

CONFIGURATION = """
global
    nbthread 2
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 1s
listen web
    bind {host}:{port}
    server {name} 127.0.0.1:1
"""
pytestmark = pytest.mark.slow  # each test starts the program
HOST = "127.44.21.1"
RELOADS = 12
CLIENTS = 8  # so that each worker would have some
STAYS = "stays"  # such stand-ins do not say that they accept no more


def edge(folder: Path, name: str) -> tuple[str, tuple[str, int]]:
    """The path of a file, and where it listens."""
    address = HOST, free_port()
    path = folder / "edge.cfg"
    path.write_text(CONFIGURATION.format(host=HOST, port=address[1], name=name))
    return str(path), address


def done(program: Program, number: int) -> int:
    program.signal(signal.SIGUSR2)
    program.await_text(f"reload done: generation {number} serves")
    return number


def served_by(address: tuple[str, int]) -> set[int]:
    """The generations that some new clients meet."""
    return {hello(address)[2] for _ in range(CLIENTS)}


def test_clients_that_come_when_it_is_done_are_those_of_the_new_generation(tmp_path: Path) -> None:
    path, address = edge(tmp_path, "late")
    with started(tmp_path, "-f", path) as program:
        await_serving(address)
        for number in range(2, RELOADS + 2):
            done(program, number)
            assert served_by(address) == {number}
        assert STILL_THERE not in program.text()


def test_old_workers_that_have_no_turn_are_named(tmp_path: Path) -> None:
    path, address = edge(tmp_path, STAYS)
    with started(tmp_path, "-f", path) as program:
        await_serving(address)
        with socket.create_connection(address) as client:
            worker = greeting(client)[0]
            done(program, 2)
            program.await_text(f"old worker {worker} {STILL_THERE}")


def test_the_program_ends_while_a_reload_waits_for_them(tmp_path: Path) -> None:
    path, address = edge(tmp_path, STAYS)
    with started(tmp_path, "-f", path) as program:
        await_serving(address)
        with socket.create_connection(address) as client:
            greeting(client)
            program.signal(signal.SIGUSR2)
            wait_for(lambda: served_by(address) == {2}, 15, "the old one accepts no more")
            program.signal(signal.SIGTERM)
            assert program.wait() == -signal.SIGTERM
        assert program.text().count("reload done: generation 2 serves") == 1
        assert "Traceback" not in program.text()
