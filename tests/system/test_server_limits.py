"""The whole program keeps to `maxconn` of its servers while a worker is killed in the middle."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, all_stopped, free_port, wait_for
from tests.support.program.chaos import Child, children_of
from tests.support.program.program import Program
from tests.support.servers import CountingServer

CLIENTS = 200
PLACES = 5
SERVERS = 3
SERVED_BEFORE = 30
CONFIGURATION = """
global
  nbthread 2
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 60s
  timeout client 600s
  timeout server 600s
  timeout queue 600s
listen edge
  bind 127.0.0.1:{port}
{servers}
"""


def kill_a_worker(program: Program) -> int:
    """Kill a worker that has sessions; as many as its death may cost."""
    workers = [child for child in children_of(program.process.pid) if child.kind == "worker"]
    victim = max(workers, key=Child.open_sessions)
    os.kill(victim.pid, signal.SIGSTOP)
    wait_for(lambda: all_stopped(victim.pid), 5, "it is stopped")
    sessions = victim.open_sessions()
    os.kill(victim.pid, signal.SIGKILL)
    return sessions


def serve(waiting: set[socket.socket]) -> tuple[int, int]:
    """Read what came to the clients, which leave then: served, lost."""
    served = lost = 0
    readable, _, _ = select.select(waiting, [], [], PATIENCE_SECONDS)
    assert readable, f"{len(waiting)} clients wait for ever"
    for client in readable:
        got = b""
        with contextlib.suppress(ConnectionError):
            got = client.recv(10)
        served += got == b"s"
        lost += got == b""
        client.close()
        waiting.discard(client)
    return served, lost


def sessions_of(program: Program) -> set[str]:
    """The gauges `scur` and `qcur` of all rows."""
    rows = [line.split(",") for line in program.ask("show stat").splitlines() if line]
    names = rows[0]
    places = [names.index(name) for name in ("qcur", "scur")]
    return {row[place] for row in rows[1:] for place in places if row[place]}


@pytest.mark.slow
def test_the_death_of_a_worker_costs_its_sessions_and_no_others(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(CountingServer(PLACES)) for _ in range(SERVERS)]
        port = free_port()
        lines = "\n".join(
            f"  server s{number} 127.0.0.1:{server.port} maxconn {PLACES}"
            for number, server in enumerate(servers)
        )
        configuration = CONFIGURATION.format(port=port, servers=lines)
        program = stack.enter_context(Program(tmp_path, configuration))
        waiting = {
            socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) for _ in range(CLIENTS)
        }
        served = lost = 0
        endangered: int | None = None
        while waiting:
            if served >= SERVED_BEFORE and endangered is None:
                endangered = kill_a_worker(program)
            found = serve(waiting)
            served += found[0]
            lost += found[1]
        assert endangered is not None
        assert 0 < lost <= endangered
        assert served == CLIENTS - lost
        assert max(server.most for server in servers) == PLACES
        assert all(server.accepted > PLACES for server in servers)
        wait_for(lambda: sessions_of(program) == {"0"}, 5, "all places are free")
