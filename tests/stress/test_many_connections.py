"""18,000 connections at once through two workers: idle, active, gone; nothing lost, nothing left.

A worker then has 18,000 descriptors, near its limit of 20,000. Memory is compared with what it was
after a first wave of the same kind; what a connection costs, with what it was before that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.footprint import anonymous_bytes, open_sockets
from tests.support.program.program import Program
from tests.support.relay.crowd import Helper, all_together, be_echo_server, be_quiet_clients

CONNECTIONS = 18_000
PROCESSES = 2  # of clients, and of servers: 9,000 descriptors each
ADDRESSES = 4  # of each process
WARM_UP = 200
IDLE_SESSION_BYTES_MAX = 400
LEFT_SHARE = 0.01
IDLE_SECONDS = 1.0  # how long they stay silent: the state under test
CONFIGURATION = """
global
  nbthread 2
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 10s
  timeout client 300s
  timeout server 300s
listen edge
  bind 127.0.0.1:{port}
{servers}
"""


class Scene:
    """The program, its crowd, and what it holds."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        port, server_port = free_port(), free_port()
        addresses = [
            [f"127.{part}.{process}.{number}" for number in range(1, ADDRESSES + 1)]
            for process in range(PROCESSES)
            for part in (31, 32)
        ]
        servers, sources = addresses[0::2], addresses[1::2]
        lines = "\n".join(
            f"  server s{number} {address}:{server_port}"
            for number, address in enumerate(address for part in servers for address in part)
        )
        self.servers = [
            stack.enter_context(Helper(be_echo_server, [(each, server_port) for each in part]))
            for part in servers
        ]
        self.clients = [
            stack.enter_context(Helper(be_quiet_clients, ("127.0.0.1", port), part))
            for part in sources
        ]
        configuration = CONFIGURATION.format(port=port, servers=lines)
        self.program = stack.enter_context(Program(folder, configuration))
        self.workers = self.program.children()["worker"]

    def sessions(self) -> int:
        """The gauge of all workers."""
        lines = self.program.ask("show info").splitlines()
        return int(next(line for line in lines if line.startswith("CurrConns:")).split()[1])

    def memory(self) -> int:
        return anonymous_bytes(self.program.process.pid)

    def sockets(self) -> list[int]:
        return [open_sockets(pid) for pid in self.workers]

    def open(self, count: int) -> None:
        assert sum(all_together(self.clients, "open", count // PROCESSES)) == count
        wait_for(lambda: self.sessions() == count, 10, "every client has a session")
        wait_for(lambda: self.served() == count, 10, "every session has a server")

    def served(self) -> int:
        return sum(all_together(self.servers, "open"))

    def talk(self, turn: int, count: int) -> None:
        assert sum(all_together(self.clients, "talk", turn)) == count

    def close(self, count: int) -> None:
        assert sum(all_together(self.clients, "close")) == count
        wait_for(lambda: self.sessions() == self.served() == 0, 20, "every session ends")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def wave(scene: Scene, count: int) -> tuple[int, list[int]]:
    """Come, be idle, talk twice, leave: memory and sockets while all were there and idle."""
    scene.open(count)
    time.sleep(IDLE_SECONDS)
    held = scene.memory(), scene.sockets()
    scene.talk(1, count)
    time.sleep(IDLE_SECONDS)
    scene.talk(2, count)
    assert scene.sessions() == count, "none was lost"
    scene.close(count)
    return held


@pytest.mark.lengthy
@pytest.mark.slow
def test_eighteen_thousand_connections_come_and_go_without_a_trace(scene: Scene) -> None:
    wave(scene, WARM_UP)
    fresh, sockets = scene.memory(), scene.sockets()
    full, busy = wave(scene, CONNECTIONS)
    assert sum(busy) - sum(sockets) == 2 * CONNECTIONS
    assert (full - fresh) / CONNECTIONS <= IDLE_SESSION_BYTES_MAX
    warm = scene.memory()
    wave(scene, CONNECTIONS)
    assert scene.sockets() == sockets
    left = scene.memory()
    assert abs(left - warm) <= LEFT_SHARE * warm, f"{warm} before the second wave, {left} after"
