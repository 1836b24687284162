"""Old generations of the real program: which workers stay, how long, and what is said when they are ended."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.supervisor.limits import TICK_MS
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.servers import Server, echo, receive_count
from tests.support.supervisor.program import ROOT, Program, is_alive, started

pytestmark = pytest.mark.slow
HOST = "127.44.10.1"
CONFIGURATION = """
global
    nbthread {workers}
{more}
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 5s
listen web
    bind {host}:{port}
    server a {server[0]}:{server[1]}
"""
STORM = 40  # reloads; their signals may fall together
OLD = 12  # generations that only finish their sessions


class Edge:
    """The program before one echoing server."""

    def __init__(self, folder: Path, program: Program, address: tuple[str, int]) -> None:
        self.folder, self.program, self.address = folder, program, address

    def session(self) -> socket.socket:
        """A client whose session works."""
        client = socket.create_connection(self.address, PATIENCE_SECONDS)
        assert works(client)
        return client

    def workers(self) -> set[int]:
        """The pids of all workers, those of old generations too."""
        titles = self.program.titles_all()
        return {pid for pid, title in titles.items() if title.startswith("millrace: worker")}

    def reload(self, number: int) -> None:
        """Reload; that many new workers come."""
        before = self.workers()
        self.program.signal(signal.SIGUSR2)
        wait_for(
            lambda: len(self.workers() - before) == number,
            PATIENCE_SECONDS,
            "there are new workers",
        )


def works(client: socket.socket) -> bool:
    client.sendall(b"hello")
    return receive_count(client, 5) == b"hello"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as made:
        yield made


def edge_of(
    stack: ExitStack, folder: Path, server: Server, workers: int, more: str = "", **ways: Any
) -> Edge:
    address = HOST, free_port()
    path = folder / "edge.cfg"
    path.write_text(
        CONFIGURATION.format(
            host=HOST, port=address[1], workers=workers, more=more, server=server.address
        )
    )
    ways = ways or {"real": True}
    program = stack.enter_context(started(folder, "-f", str(path), **ways))
    edge = Edge(folder, program, address)
    wait_for(lambda: len(edge.workers()) == workers, PATIENCE_SECONDS, "the start")
    return edge


def test_an_old_worker_without_sessions_ends_though_its_sibling_has_some(
    tmp_path: Path, server: Server
) -> None:
    with ExitStack() as stack:
        edge = edge_of(stack, tmp_path, server, 2)
        client = stack.enter_context(edge.session())
        old = edge.workers()
        assert len(old) == 2
        edge.reload(2)
        wait_for(lambda: sum(map(is_alive, old)) == 1, PATIENCE_SECONDS, "one has ended")
        assert works(client)
        client.close()
        wait_for(lambda: not any(map(is_alive, old)), PATIENCE_SECONDS, "both have ended")


def test_hard_stop_after_says_how_many_sessions_it_ends(tmp_path: Path, server: Server) -> None:
    with ExitStack() as stack:
        edge = edge_of(stack, tmp_path, server, 2, "    hard-stop-after 300ms")
        clients = [stack.enter_context(edge.session()) for _ in range(3)]
        edge.reload(2)
        assert all(client.recv(1) == b"" for client in clients)
        assert "hard-stop-after 300 ms is over: ending 3 sessions of generation" in (
            edge.program.text()
        )


def test_a_storm_of_reloads_ends_no_session(tmp_path: Path, server: Server) -> None:
    with ExitStack() as stack:
        edge = edge_of(stack, tmp_path, server, 1)
        clients = []
        for _ in range(STORM):
            clients.append(stack.enter_context(edge.session()))
            os.kill(edge.program.child.pid, signal.SIGUSR2)
        clients.append(stack.enter_context(edge.session()))
        edge.reload(1)
        assert all(map(works, clients))


def test_old_generations_have_no_turns_in_a_reload_but_those_of_their_heartbeats(
    tmp_path: Path, server: Server
) -> None:
    """A reload takes no longer where a hundred of them are left."""
    counts = tmp_path / "turns"
    script = str(ROOT / "tests/supervisor/turn_counts.py")
    with ExitStack() as stack:
        environ = {"MILLRACE_TURNS": str(counts)}
        edge = edge_of(stack, tmp_path, server, 1, script=script, environ=environ)
        for _ in range(OLD):
            stack.enter_context(edge.session())
            edge.reload(1)
        edge.program.await_text(f"reload done: generation {OLD + 1} serves")
        wait_for(lambda: len(json.loads(counts.read_text())) == 2 * OLD, PATIENCE_SECONDS, "counts")
        (began_ms, before), (ended_ms, after) = json.loads(counts.read_text())[-2:]
        for number in range(1, OLD - 1):  # without those that have sockets or a control to end
            had = after[str(number)] - before[str(number)]
            assert had <= 2 + (ended_ms - began_ms) // TICK_MS, (number, before, after)
