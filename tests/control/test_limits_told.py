"""The events say at which limit clients wait: once, and also when the wait was a short one."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, Program, who_answers

HOST = "127.44.41.1"
CONFIGURATION = """
global
  nbthread 2
  stats socket {{socket}} level admin
  log stdout format raw local0
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
  default_backend one
frontend quiet
  bind {host}:{quiet}
frontend narrow
  bind {host}:{narrow}
  maxconn 1
frontend second
  bind {host}:{other}
  bind {host}:{second} maxconn 1
frontend slow
  bind {host}:{slow}
  rate-limit sessions 1
backend one
  server a {host}:{server}
frontend queued
  bind {host}:{queued}
  default_backend few
backend few
  server a {host}:{server} maxconn 1
"""
FRONTENDS = ("quiet", "narrow", "other", "second", "slow", "queued")
WAIT = "clients wait to be let in: "


class Edge:
    """The program, and clients that may have to wait."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.stack = stack
        server = stack.enter_context(closing(NamedBackend(HOST, 0)))
        self.ports = {name: free_port() for name in FRONTENDS}
        text = CONFIGURATION.format(host=HOST, server=server.port, **self.ports)
        self.program = stack.enter_context(Program(folder, text))

    def client(self, name: str) -> socket.socket:
        client = socket.create_connection((HOST, self.ports[name]), PATIENCE_SECONDS)
        self.stack.callback(client.close)
        return client

    def events(self, said: str) -> list[str]:
        return re.findall(rf" ({re.escape(said)}.*)", self.program.ask("show events state"))

    def one_event(self, said: str) -> str:
        found: list[str] = wait_for(lambda: self.events(said), PATIENCE_SECONDS, said)
        assert len(found) == 1
        return found[0]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        yield Edge(tmp_path, stack)


def test_each_limit_is_told_with_its_word(edge: Edge) -> None:
    clients = {name: [edge.client(name) for _ in range(2)] for name in FRONTENDS}
    assert edge.one_event("narrow: ") == f"narrow: {WAIT}it has 1 sessions of 1 (maxconn)"
    place = f"{HOST}:{edge.ports['second']}"
    full = f"{place} has 1 sessions of 1 (maxconn of its line)"
    assert edge.one_event("second: ") == f"second: {WAIT}{full}"
    assert f"  full        : {full}\n" in edge.program.ask("show why frontend second")
    assert edge.one_event("few: ") == (
        "few: sessions wait in the queue: all places of its servers were taken (maxconn of servers)"
    )
    assert edge.one_event("slow: ").startswith(f"slow: {WAIT}")
    said = edge.program.output
    wait_for(lambda: said.read_text().count(WAIT) == 3, PATIENCE_SECONDS, "the log says so, too")
    assert not edge.events("quiet: ")
    for each in clients["second"]:
        each.close()
    wait_for(
        lambda: "full" not in edge.program.ask("show why frontend second"),
        PATIENCE_SECONDS,
        "its place is free",
    )


def test_another_wait_soon_after_is_no_news(edge: Edge) -> None:
    for _ in range(3):
        first, second = edge.client("narrow"), edge.client("narrow")
        edge.one_event("narrow: ")
        for each in (first, second):
            each.close()
    edge.client("queued").recv(1)
    edge.client("queued")
    edge.one_event("few: ")  # a later look
    edge.one_event("narrow: ")


def test_a_wait_between_two_looks_is_told(edge: Edge) -> None:
    for _ in range(20):
        first = edge.client("narrow")
        assert first.recv(1)
        with closing(edge.client("narrow")) as second:
            first.close()
            assert second.recv(1)
    assert edge.one_event("narrow: ").startswith(f"narrow: {WAIT}")
    assert who_answers((HOST, edge.ports["narrow"])) == HOST
