"""Entries that sessions follow, in the whole program: over workers, their deaths, and reloads."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, links_of, wait_for
from tests.support.program.program import NamedBackend, Program, greet

pytestmark = pytest.mark.slow
FILE = """global
  stats socket {{socket}} level admin
  nbthread 2
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen web
  bind 127.0.0.1:{port}
  stick-table type ip size 1k expire 1h store conn_cur,conn_cnt,conn_rate(1h),sess_cnt,gpc0,\
bytes_in_cnt
  tcp-request connection track-sc0 src
  tcp-request connection sc-inc-gpc0(0)
  tcp-request content track-sc1 dst table keys
  server s {host}:{server}
backend keys
  stick-table type ip size 10 expire 1h store conn_cur
"""


@pytest.fixture
def backend() -> Iterator[NamedBackend]:
    """One server that greets."""
    made = NamedBackend("127.62.0.1", 0)
    yield made
    made.close()


class TrackingEdge:
    """The program, its clients, and what its tables show."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.target = ("127.0.0.1", port)
        self.clients: list[socket.socket] = []

    def come(self, count: int) -> None:
        """So many clients come, and stay."""
        for _ in range(count):
            greeted = greet(self.target)
            assert greeted is not None
            self.clients.append(greeted[1])

    def leave(self) -> None:
        while self.clients:
            self.clients.pop().close()

    def reload(self) -> list[int]:
        """Let a new generation take over; the workers of the former one, which has sessions."""
        former = self.program.children()["worker"]
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: len(set(self.program.titled_children().get("worker", [])) - set(former)) == 2,
            20,
            "two new workers",
        )
        wait_for(
            lambda: "reload done" in self.program.output.read_text(), 20, "they have taken over"
        )
        self.program.wait_until_answering()
        return former

    def alive(self) -> int:
        """How many clients still have a connection."""
        ended, _, _ = select.select(self.clients, [], [], 0)
        return len(self.clients) - len(ended)

    def value(self, data: str, table: str = "web") -> int:
        found = re.search(rf" {data}(?:\(\d+\))?=(\d+)", self.program.ask(f"show table {table}"))
        return int(found[1]) if found else 0

    def shows(self, current: int) -> None:
        """Wait until both tables, and who holds their entries, say that so many are there."""
        for table in ("web", "keys"):
            for data in ("conn_cur", "use"):
                wait_for(
                    lambda data=data, table=table: self.value(data, table) == current,
                    PATIENCE_SECONDS,
                    f"{data} of {table} is {current}",
                )


@pytest.fixture
def edge(tmp_path: Path, backend: NamedBackend) -> Iterator[TrackingEdge]:
    """A program of two workers."""
    port = free_port()
    text = FILE.format(port=port, host=backend.address, server=backend.port)
    with Program(tmp_path, text) as program:
        made = TrackingEdge(program, port)
        yield made
        made.leave()


def reaped(pid: int) -> None:
    """Wait until a process is gone with all its threads, the last of which closes its sockets."""
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 20, "it was reaped")


def kill(edge: TrackingEdge, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    reaped(pid)
    wait_for(lambda: pid not in edge.program.children().get("worker", [pid]), 20, "it was replaced")


def served(pid: int, port: int) -> int:
    """How many clients of this port a process has."""
    rows = map(str.split, Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    established = {
        f"socket:[{words[9]}]"
        for words in rows
        if words[1].endswith(f":{port:04X}") and words[3] == "01"
    }
    return sum(link in established for link in links_of(pid).values())


def test_two_workers_give_the_sum_and_a_dead_one_s_sessions_are_gone(edge: TrackingEdge) -> None:
    first, second = edge.program.children()["worker"]
    edge.come(10)
    while min(served(pid, edge.target[1]) for pid in (first, second)) < 2:
        edge.come(1)
    sessions = len(edge.clients)
    edge.shows(sessions)
    for data in ("conn_cnt", "conn_rate", "sess_cnt", "gpc0"):
        assert edge.value(data) == sessions, data
    for client in edge.clients:
        client.sendall(b"12345")
        assert client.recv(5)
    wait_for(lambda: edge.value("bytes_in_cnt") == 5 * sessions, PATIENCE_SECONDS, "bytes")
    kill(edge, first)
    left = edge.alive()
    assert 0 < left < sessions
    edge.shows(left)
    edge.come(3)
    edge.shows(left + 3)
    kill(edge, second)
    edge.shows(edge.alive())
    edge.leave()
    edge.shows(0)
    assert edge.value("conn_cnt") == sessions + 3


def test_workers_that_die_while_clients_come_and_go_leave_no_hold(
    edge: TrackingEdge, seed: int
) -> None:
    drawn = random.Random(seed)
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            greeted = greet(edge.target, 2)
            if greeted is not None:
                greeted[1].close()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            before = edge.value("conn_cnt")
            wait_for(
                lambda before=before: edge.value("conn_cnt") > before + drawn.randrange(20),
                PATIENCE_SECONDS,
                "clients come",
            )
            kill(edge, drawn.choice(edge.program.children()["worker"]))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    edge.shows(0)
    edge.come(2)
    edge.shows(2)


def test_a_reload_keeps_what_is_counted_and_who_is_there(edge: TrackingEdge) -> None:
    edge.come(5)
    former = edge.reload()
    edge.shows(5)
    edge.come(4)
    edge.shows(9)
    assert edge.value("conn_cnt") == 9
    for client in edge.clients[:5]:
        client.close()
    edge.clients = edge.clients[5:]
    edge.shows(4)
    wait_for(
        lambda: not set(former) & set(edge.program.children()["worker"]), 20, "the old ones end"
    )
    edge.shows(4)
    edge.leave()
    edge.shows(0)


def test_an_old_worker_that_dies_takes_its_sessions_alone_with_it(edge: TrackingEdge) -> None:
    edge.come(8)
    former = edge.reload()
    edge.come(3)
    edge.shows(11)
    for pid in former:
        with suppress(ProcessLookupError):  # one without sessions has ended
            os.kill(pid, signal.SIGKILL)
    for pid in former:
        reaped(pid)
    assert edge.alive() == 3
    edge.shows(3)
    edge.leave()
    edge.shows(0)


def test_a_table_that_a_reload_makes_anew_knows_new_sessions_alone(edge: TrackingEdge) -> None:
    edge.come(4)
    text = edge.program.file.read_text()
    edge.program.write(text.replace("size 1k", "size 2k"))
    edge.reload()
    edge.come(2)
    wait_for(lambda: edge.value("conn_cur") == 2, PATIENCE_SECONDS, "of the new table")
    wait_for(lambda: edge.value("conn_cur", "keys") == 6, PATIENCE_SECONDS, "of the same one")
    assert edge.value("conn_cnt") == 2
    edge.leave()
    edge.shows(0)
