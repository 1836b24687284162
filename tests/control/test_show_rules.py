"""What rules have done: counts are those of clients, over workers, a kill -9 and a reload."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, Program

pytestmark = pytest.mark.slow
HEAD = """global
  stats socket {socket} level admin
  nbthread 2
defaults
  mode tcp
  balance first
  timeout connect 2s
  timeout client 60s
  timeout server 60s
"""
LINES = (
    "tcp-request connection reject if { src 127.0.0.9 }",
    "tcp-request session reject if { src 127.0.0.8 }",
    "tcp-request inspect-delay 30s",
    'tcp-request content reject if { req.payload(0,4) -m str "drop it" drop }',
    "tcp-request content accept if { req.payload(0,4) -m str pass }",
    "tcp-request content accept if { req.payload(0,4) -m str pass }",
    "tcp-request content reject unless { src 127.0.0.0/29 }",
    "use_backend other if { src 127.0.0.7 }",
    "use-server away if { src 127.0.0.6 }",
    "use-server b if { src 127.0.0.6 }",
    "stick-table type ip size 1k",
    "stick match src if { src 127.0.0.5 }",
    "stick store-request src if { src 127.0.0.5 }",
    "tcp-response content accept unless { src 127.0.0.99 }",
    "tcp-request content set-var(txn.said) req.payload(0,4)",
    "tcp-request content capture req.payload(0,4) len 4",
    "tcp-request content unset-var(txn.said) if { src 127.0.0.1 }",
)
SERVERS = "  server a <a>\n  server b <b>\n  server away <a> disabled\n"
MOVED = (LINES[0], "tcp-request connection reject if { src 127.0.0.10 }", *LINES[1:])


class Kind(NamedTuple):
    """A client: where it comes from, what it says, and the rules that act on it."""

    source: str
    says: bytes
    meets: tuple[str, ...]
    served: bool


PASS, MATCH, STORE, ANSWERED = LINES[4], *LINES[11:14]
KINDS = (
    Kind("127.0.0.9", b"pass", (LINES[0],), False),
    Kind("127.0.0.8", b"pass", (LINES[1],), False),
    Kind("127.0.0.1", b"drop", (LINES[3],), False),
    Kind("127.0.0.1", b"pass", (LINES[4], ANSWERED), True),
    Kind("127.0.0.7", b"pass", (LINES[4], LINES[7]), True),
    Kind("127.0.0.6", b"pass", (LINES[4], LINES[9], ANSWERED), True),
    Kind("127.0.0.1", b"else", (ANSWERED, *LINES[14:]), True),
    Kind("127.0.0.8", b"else", (LINES[1],), False),
)


def play(kind: Kind, port: int) -> None:
    """One client until its end."""
    heard = b""
    with suppress(ConnectionError), socket.socket() as client:
        client.settimeout(PATIENCE_SECONDS)
        client.bind((kind.source, 0))
        client.connect(("127.0.0.1", port))
        client.sendall(kind.says)
        with suppress(OSError):  # it was refused meanwhile
            client.shutdown(socket.SHUT_WR)
        while received := client.recv(4096):
            heard += received
    assert bool(heard) is kind.served, kind


class Edge:
    """The program, its clients, and what they should have met."""

    def __init__(self, folder: Path, servers: dict[str, str]) -> None:
        self.port, self.scraped = free_port(), free_port()
        self.servers = servers
        self.met: Counter[str] = Counter()
        self.program = Program(folder, self.configuration(LINES))

    def configuration(self, lines: tuple[str, ...]) -> str:
        text = f"{HEAD}listen edge\n  bind 127.0.0.1:{self.port}\n"
        text += "".join(f"  {line}\n" for line in lines) + SERVERS
        text += "backend other\n  server a <a>\nfrontend scraped\n  mode http\n"
        text += f"  bind 127.0.0.1:{self.scraped}\n"
        text += "  http-request use-service prometheus-exporter\n"
        for name, address in self.servers.items():
            text = text.replace(f"<{name}>", address)
        return text

    def play(self, draw: random.Random, clients: int) -> None:
        """So many clients, drawn; then one that sticks to its server."""
        for _ in range(clients):
            kind = draw.choice(KINDS)
            play(kind, self.port)
            self.met.update(kind.meets)
        known = [MATCH] if self.met[STORE] else []
        play(Kind("127.0.0.5", b"pass", (), True), self.port)
        self.met.update([PASS, STORE, ANSWERED, *known])

    def rows(self, section: str = "") -> list[list[str]]:
        """The rows of rules that workers count."""
        answer = self.program.ask(f"show rules {section}".strip())
        rows = [line.split(" ", 5) for line in answer.strip().splitlines()[1:]]
        return [row for row in rows if row[3] != "-"]

    def counted(self) -> Counter[str]:
        """Sums by text."""
        found: Counter[str] = Counter()
        for _, _, hits, workers, carried, text in self.rows():
            assert int(hits) == sum(map(int, workers.split(","))) + int(carried)
            found[text] += int(hits)
        return +found

    def agree(self) -> None:
        """All clients have ended, and the counts are theirs."""
        wait_for(
            lambda: "\nCurrConns: 0\n" in self.program.ask("show info"),
            PATIENCE_SECONDS,
            "no session",
        )
        assert self.counted() == self.met

    def reload(self, lines: tuple[str, ...]) -> None:
        former = {pid for pids in self.program.children().values() for pid in pids}
        self.program.write(self.configuration(lines))
        self.program.process.send_signal(signal.SIGUSR2)

        def gone() -> bool:
            now = self.program.titled_children()
            return "worker" in now and not former & {pid for pids in now.values() for pid in pids}

        wait_for(gone, 20, "the former generation is gone")
        self.program.wait_until_answering()

    def metric(self) -> dict[tuple[str, ...], float]:
        """The series of the metric, by its labels."""
        url = f"http://127.0.0.1:{self.scraped}/metrics"
        with urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            text = answer.read().decode()
        [family] = [
            each
            for each in text_string_to_metric_families(text)
            if each.name == "millrace_rule_hits"
        ]
        return {
            tuple(each.labels[name] for name in ("proxy", "line", "rule")): each.value
            for each in family.samples
        }


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    backends = [NamedBackend("127.61.0.1", 0), NamedBackend("127.61.0.2", 0)]
    servers = {n: f"{b.address}:{b.port}" for n, b in zip("ab", backends, strict=True)}
    made = Edge(tmp_path, servers)
    with made.program:
        yield made
    for backend in backends:
        backend.close()


def test_counts_are_those_of_clients_whatever_becomes_of_workers(edge: Edge, seed: int) -> None:
    draw = random.Random(seed)
    edge.play(draw, 60)
    edge.agree()
    by_worker = [row[3].split(",") for row in edge.rows()]
    assert all(any(row[worker] != "0" for row in by_worker) for worker in (0, 1))
    killed = edge.program.children()["worker"][0]
    os.kill(killed, signal.SIGKILL)
    edge.program.wait_until_answering()
    wait_for(
        lambda: len(edge.program.children()["worker"]) == 2, PATIENCE_SECONDS, "it is replaced"
    )
    edge.agree()
    edge.play(draw, 30)
    edge.agree()
    edge.reload(MOVED)
    edge.agree()
    assert all(row[3] == "0,0" for row in edge.rows())
    edge.play(draw, 30)
    edge.agree()
    edge.reload(tuple(line for line in MOVED if line != ANSWERED))
    del edge.met[ANSWERED]
    edge.agree()


def test_each_rule_has_a_row_and_a_series(edge: Edge, seed: int) -> None:
    edge.play(random.Random(seed), 20)
    edge.agree()
    file = edge.program.file.read_text().splitlines()
    rows = edge.rows()
    assert rows == edge.rows("edge")
    assert edge.rows("other") == []
    assert edge.program.ask("show rules nowhere").strip() == "No such proxy."
    for section, place, _, _, _, text in rows:
        path, _, line = place.rpartition(":")
        assert (section, path) == ("edge", str(edge.program.file))
        assert file[int(line) - 1].strip() == text
    texts = Counter(row[5] for row in rows)
    ruling = (line for line in LINES if re.match("tcp-re|use|stick (m|s)", line))
    assert texts == Counter(line for line in ruling if "inspect-delay" not in line)
    assert edge.metric() == {(row[0], row[1], row[5]): float(row[2]) for row in rows}


def test_what_waits_is_not_counted(tmp_path: Path) -> None:
    noted = "tcp-request content set-var(txn.any) src"
    waiting = "tcp-request content capture req.payload(0,8) len 8"
    with closing(NamedBackend("127.61.0.1", 0)) as backend:
        port = free_port()
        text = f"{HEAD}listen edge\n  bind 127.0.0.1:{port}\n  tcp-request inspect-delay 30s\n"
        text += f"  {noted}\n  {waiting}\n  server a {backend.address}:{backend.port}\n"
        with Program(tmp_path, text) as program:

            def hits() -> dict[str, int]:
                lines = program.ask("show rules").strip().splitlines()[1:]
                rows = [line.split(" ", 5) for line in lines]
                return {row[5]: int(row[2]) for row in rows}

            with socket.create_connection(("127.0.0.1", port)) as client:
                client.settimeout(PATIENCE_SECONDS)
                client.sendall(b"four")
                wait_for(lambda: hits()[noted] == 1, PATIENCE_SECONDS, "the rules have looked")
                assert hits() == {noted: 1, waiting: 0}
                client.sendall(b"more")
                assert client.recv(64)
                assert hits() == {noted: 1, waiting: 1}, "and what is behind is not done again"


FIRST = ("tcp-request connection expect-proxy layer4", "use_backend other")
ANSWERING = (
    "http-request deny if { path /no }",
    "http-request return status 200 if { path /yes }",
    "redirect location /yes if { path /go }",
)


def test_what_stands_first_and_what_answers_is_counted_until_it_is_cleared(tmp_path: Path) -> None:
    with closing(NamedBackend("127.61.0.1", 0)) as backend:
        port, answering = free_port(), free_port()
        text = f"{HEAD}frontend edge\n  bind 127.0.0.1:{port}\n"
        text += "".join(f"  {line}\n" for line in FIRST)
        text += f"backend other\n  server a {backend.address}:{backend.port}\n"
        text += f"frontend web\n  mode http\n  bind 127.0.0.1:{answering}\n"
        text += "".join(f"  {line}\n" for line in ANSWERING)
        with Program(tmp_path, text) as program:

            def hits() -> dict[str, int]:
                lines = program.ask("show rules").strip().splitlines()[1:]
                return {line.split(" ", 5)[5]: int(line.split(" ", 5)[2]) for line in lines}

            assert hits() == dict.fromkeys((*FIRST, *ANSWERING), 0)
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.settimeout(PATIENCE_SECONDS)
                    client.sendall(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nhello")
                    assert client.recv(64)
            for path in ("/no", "/yes", "/yes", "/go", "/other"):
                with socket.create_connection(("127.0.0.1", answering)) as client:
                    client.settimeout(PATIENCE_SECONDS)
                    client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                    assert client.recv(64)
            assert hits() == dict(zip((*FIRST, *ANSWERING), (3, 3, 1, 2, 1), strict=True))
            program.ask("clear counters")
            assert sum(hits().values()) == 10
            program.ask("clear counters all")
            assert hits() == dict.fromkeys((*FIRST, *ANSWERING), 0)
