"""Frontends that are closed and opened at the same time, and while a reload is under way."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

ATTEMPTS = 50  # to give an order while a reload is under way
CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen web
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{backend}
"""
OPENED = "the reload has opened listen web, which was closed by order"


class Edge(NamedTuple):
    """A program with one frontend, and where that listens."""

    program: Program
    target: tuple[str, int]

    @property
    def told(self) -> str:
        return self.program.output.read_text()

    @property
    def state(self) -> str:
        return self.program.ask("show stat web 1 -1").splitlines()[1].split(",")[17]

    def is_closed(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(self.target) != 0

    def reload(self) -> None:
        """Returns when it has new workers, which do not serve yet as a rule, and stand still."""
        before = set(self.program.titled_children()["worker"])
        self.program.process.send_signal(signal.SIGUSR2)

        def found() -> set[int]:
            return set(self.program.titled_children().get("worker", ())) - before

        for pid in wait_for(found, PATIENCE_SECONDS, "new workers", step=0.001):
            os.kill(pid, signal.SIGSTOP)

    def go_on(self, reloads: int) -> None:
        """Let the workers go on; returns when so many reloads are done."""
        for pid in self.program.titled_children()["worker"]:
            os.kill(pid, signal.SIGCONT)
        done = lambda: self.told.count("reload done") == reloads  # noqa: E731 - used once
        wait_for(done, PATIENCE_SECONDS, "the reload")
        self.program.wait_until_answering()


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        backend = NamedBackend("127.0.0.1", 0)
        stack.callback(backend.close)
        port = free_port()
        text = CONFIGURATION.format(port=port, backend=backend.port)
        yield Edge(stack.enter_context(Program(tmp_path, text, "-W")), ("127.0.0.1", port))


def test_an_order_that_waits_closes_nothing_that_another_has_opened(edge: Edge) -> None:
    _, slow = edge.program.children()["worker"]
    with ThreadPoolExecutor(1) as pool:
        with edge.program.stand_still(slow):  # an order waits for it
            closing = pool.submit(edge.program.ask, "disable frontend web")
            wait_for(lambda: edge.state != "OPEN", PATIENCE_SECONDS, "the order")
            assert edge.program.ask("enable frontend web") == "\n"
        closing.result()
    assert edge.state == "OPEN"
    assert who_answers(edge.target)
    edge.program.ask("disable frontend web")
    assert edge.is_closed()


def test_a_frontend_that_is_closed_while_a_reload_is_under_way_is_open_after_it(edge: Edge) -> None:
    for attempt in range(1, ATTEMPTS):
        edge.reload()
        edge.program.ask_until_answered("disable frontend web")
        edge.go_on(attempt)
        if OPENED in edge.told:
            assert edge.state == "OPEN"
            assert who_answers(edge.target)
            return
        edge.program.ask("enable frontend web")
    raise AssertionError(f"no order came in time: {edge.told}")
