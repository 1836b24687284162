"""What one session may do before the others have their turn: told by the order of system calls."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.relay.test_relay_syscalls import SystemCalls
from tests.support.common import wait_for
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_count

STREAMS = 6
STREAM_BYTES = 8 << 20
PIPE_BYTES = 262_144  # one splice at most; a share is used up by it, or by a smaller one and it
NEWCOMERS = 20
CONNECTS = re.compile(r"connect\((\d+),")
WAITED = re.compile(r"epoll_wait")
SPLICED = re.compile(r"splice\((\d+), NULL, \d+, NULL, 262144, .*\) = (\d+)$")


def waits_for_events(pid: int) -> bool:
    """Whether a thread of a process is asleep in epoll_wait(2)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return any(
        task.joinpath("wchan").read_text().endswith(("ep_poll", "epoll_wait")) for task in tasks
    )


def pour(connection: socket.socket) -> None:
    connection.sendall(bytes(STREAM_BYTES))


def drain(client: socket.socket) -> None:
    receive_count(client, STREAM_BYTES)


@pytest.mark.slow
def test_a_bulk_stream_moves_no_more_than_its_share_while_others_have_work(tmp_path: Path) -> None:
    with (
        ExitStack() as stack,
        Server(pour) as server,
        RelayUnderTest([server.address], splice=True) as relay,
        SystemCalls(relay.pid(), tmp_path) as calls,
    ):
        clients = [stack.enter_context(relay.connect()) for _ in range(STREAMS)]
        readers = [threading.Thread(target=drain, args=(client,)) for client in clients]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    lines = calls.output.read_text().splitlines()
    servers = {connects[1] for line in lines if (connects := CONNECTS.search(line))}
    turn: Counter[str] = Counter()
    largest = 0
    for line in lines:
        if WAITED.search(line):
            if len(turn) > 1:
                largest = max(largest, *turn.values())
            turn.clear()
        elif (spliced := SPLICED.search(line)) and spliced[1] in servers:  # not out of a pipe
            turn[spliced[1]] += int(spliced[2])
    assert 0 < largest < 2 * PIPE_BYTES


@pytest.mark.slow
def test_a_session_does_not_wait_for_newcomers(tmp_path: Path) -> None:
    with (
        ExitStack() as stack,
        Server(echo) as server,
        RelayUnderTest([server.address]) as relay,
    ):
        client = stack.enter_context(relay.connect())
        client.sendall(b"here")
        assert receive_count(client, 4) == b"here"
        wait_for(lambda: relay.counters()["sessions"] == 1, 5, "the session is there")
        with SystemCalls(relay.pid(), tmp_path) as calls:
            wait_for(lambda: waits_for_events(relay.pid()), 5, "the relay has accepted all")
            relay.signal(signal.SIGSTOP, 0)
            for _ in range(NEWCOMERS):
                stack.enter_context(relay.connect())
            client.sendall(b"still")
            relay.signal(signal.SIGCONT, 0)
            assert receive_count(client, 5) == b"still"
            wait_for(
                lambda: relay.counters()["accepts"] == 1 + NEWCOMERS, 5, "newcomers are accepted"
            )
    lines = calls.output.read_text().splitlines()
    order = [line for line in lines if '"still"' in line or "accept4" in line]
    assert "still" in order[0], order[:3]
