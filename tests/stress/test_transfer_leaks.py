"""Thousands of sessions that end in every way leave memory and descriptors as they were."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.config.model.settings import Timeouts
from tests.support.common import wait_for
from tests.support.relay.load import run_transfers
from tests.support.relay.site import RelayUnderTest

ROUNDS = 3
TRANSFERS = 250
REFUSED = 200
GROWTH_BYTES = 64 << 10  # what the allocator may still add after the first round
TIMEOUTS = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=60_000)


def private_bytes(pid: int) -> int:
    """Anonymous memory of a process, its own alone."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Private_Dirty in smaps_rollup")


def descriptors(relay: RelayUnderTest) -> int:
    """Open descriptors without those of pooled pipes."""
    counters = relay.counters()
    pipes: int = counters["pipes_free"] + counters["pipes_used"]
    return len(list(Path(f"/proc/{relay.pid()}/fd").iterdir())) - 2 * pipes


def refused_sessions(relay: RelayUnderTest) -> None:
    """Sessions whose server does not exist, half of them with bytes at hand."""
    for number in range(REFUSED):
        with relay.connect() as client, suppress(ConnectionResetError):
            if number % 2:  # bytes that come after the end are answered by RST
                client.sendall(b"anybody?")
            assert client.recv(100) == b""


@pytest.mark.slow
def test_sessions_leave_no_memory_and_no_descriptor_behind() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = listener.getsockname()[:2]
        with RelayUnderTest([server], timeouts=TIMEOUTS, retries=0) as relay:
            sizes, held = [], []
            for seed in range(ROUNDS):
                failures = run_transfers(relay.address[:2], listener, seed=seed, count=TRANSFERS)
                assert not failures, "\n".join(failures)
                relay.publish(0, "127.0.0.1", 1)
                refused_sessions(relay)
                relay.publish(0, *server)
                wait_for(lambda: relay.counters()["sessions"] == 0, 10, "all sessions ended")
                sizes.append(private_bytes(relay.pid()))
                held.append(descriptors(relay))
    assert len(set(held)) == 1, f"descriptors after each round: {held}"
    assert sizes[-1] - sizes[0] <= GROWTH_BYTES, f"memory after each round: {sizes}"
