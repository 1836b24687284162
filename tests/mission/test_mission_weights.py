"""Weights of SRV records share connections out exactly, over two workers."""

from __future__ import annotations

import collections
import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver, services
from tests.support.program.program import NamedBackend, Program, who_answers

LIGHT, HEAVY = "127.0.33.1", "127.0.33.2"
EDGE = "127.0.33.9"
LABELS = {"additional": "_web._tcp.app.test", "target": "_8080._tcp.app.test"}
CONNECTIONS = 1_000
CLIENTS = 8
WORKERS = 2

CONFIGURATION = """
global
    nbthread {workers}
    stats socket {{socket}} level admin
    dns-accept-family ipv4
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 8192
    timeout resolve 200ms
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
frontend metrics
    mode http
    bind {edge}:{metrics}
    http-request use-service prometheus-exporter if {{ path /metrics }}
listen additional
    bind {edge}:{additional}
    balance roundrobin
    server-template web 4 _web._tcp.app.test resolvers r1 init-addr none
listen target
    bind {edge}:{target}
    balance roundrobin
    server-template web 4 _8080._tcp.app.test resolvers r1 init-addr none
"""


@pytest.fixture
def port() -> Iterator[int]:
    """Where both servers listen."""
    with ExitStack() as stack:
        light = NamedBackend(LIGHT, 0)
        stack.callback(light.close)
        stack.callback(NamedBackend(HEAVY, light.port).close)
        yield light.port


@pytest.fixture
def nameserver(port: int) -> Iterator[ScriptedNameserver]:
    """One label comes with the addresses of its targets, the other without."""
    with ScriptedNameserver() as started:
        pair = (f"256 {port} light.test", f"768 {port} heavy.test")
        answer = services(*pair, light_test=LIGHT, heavy_test=HEAVY)
        started.set(LABELS["additional"], "SRV", answer)
        started.set(LABELS["target"], "SRV", services(*pair))
        started.set("light.test", "A", LIGHT)
        started.set("heavy.test", "A", HEAVY)
        yield started


def accepts(port: int) -> list[int]:
    """How many connections each worker accepted, and then those that are no more."""
    with urllib.request.urlopen(
        f"http://{EDGE}:{port}/metrics", timeout=PATIENCE_SECONDS
    ) as answer:
        text = answer.read().decode()
    found = re.findall(r"^millrace_worker_accepts_total\{.*\} ([0-9.e+]+)$", text, re.MULTILINE)
    return [round(float(value)) for value in found]


@pytest.mark.slow
def test_weights_256_and_768_share_a_thousand_connections_exactly(
    tmp_path: Path, port: int, nameserver: ScriptedNameserver
) -> None:
    ports = {name: free_port() for name in ("metrics", *LABELS)}
    text = CONFIGURATION.format(nameserver=nameserver.address, edge=EDGE, workers=WORKERS, **ports)
    with Program(tmp_path, text) as program, ThreadPoolExecutor(CLIENTS) as pool:
        for name in LABELS:
            wanted = {(LIGHT, "1"), (HEAVY, "3"), ("-", "1")}
            wait_for(
                lambda: (
                    {
                        (row["srv_addr"], row["srv_uweight"])
                        for row in program.servers(name).values()  # noqa: B023
                    }
                    == wanted  # noqa: B023
                ),
                10.0,
                "both weights",
            )
            target = (EDGE, ports[name])
            before = accepts(ports["metrics"])
            found = collections.Counter(pool.map(who_answers, [target] * CONNECTIONS))
            assert found == {LIGHT: 250, HEAVY: 750}, f"with {name} records"
            per_worker = [b - a for a, b in zip(before, accepts(ports["metrics"]), strict=True)]
            assert sum(per_worker) == CONNECTIONS
            assert min(per_worker[:WORKERS]) > CONNECTIONS // 10, f"workers took {per_worker}"
