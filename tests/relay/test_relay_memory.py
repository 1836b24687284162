"""What a session costs in memory, and that all of it comes back."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from proxy.relay.engine import SESSION_BYTES
from tests.support.common import wait_for
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, holding, receive_count

IDLE_SESSION_BYTES_MAX = 400
CROWD = 1_500


def private_bytes(pid: int) -> int:
    """Anonymous memory of a process that is resident."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Anonymous line")


def serve_crowd(relay: RelayUnderTest, count: int) -> list[socket.socket]:
    clients = [relay.connect() for _ in range(count)]
    for client in clients:
        client.sendall(random.randbytes(100))
        assert receive_count(client, 1) == b"x"
    return clients


@pytest.mark.slow
def test_an_idle_session_costs_less_than_400_bytes_and_leaves_nothing_behind() -> None:
    assert SESSION_BYTES <= 208, "half of the goal: there are allocators between"
    with Server(holding("x")) as server, RelayUnderTest([server.address]) as relay:
        for client in serve_crowd(relay, 50):
            client.close()
        relay.wait_terminations({"--": 50})
        before = private_bytes(relay.pid())
        clients = serve_crowd(relay, CROWD)
        grown = private_bytes(relay.pid()) - before
        assert grown / CROWD <= IDLE_SESSION_BYTES_MAX
        for client in clients:
            client.close()
        wait_for(lambda: relay.counters()["sessions"] == 0, 20, "all sessions end")
        left = private_bytes(relay.pid()) - before
        assert left <= 2 * 65_536, "one spare slab stays, and the one in use before"


@pytest.mark.slow
def test_no_descriptor_is_left_behind() -> None:
    with Server(holding("x")) as server, RelayUnderTest([server.address]) as relay:
        folder = Path(f"/proc/{relay.pid()}/fd")
        before = len(list(folder.iterdir()))
        for client in serve_crowd(relay, 100):
            client.close()
        relay.wait_terminations({"--": 100})
        assert len(list(folder.iterdir())) == before
