"""Sixty addresses that do not fit into UDP: all are used within one round, and kept where TCP is blocked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.dns.scripted import Answer, ScriptedNameserver
from tests.support.program.program import Program, who_answers

EDGE = "127.86.0.1"
MANY = [f"127.86.2.{number}" for number in range(1, 61)]
HELD = MANY[:24]  # what a cut reply of 512 bytes has room for
HOLD_OTHER_S = 4.0

CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
    dns-accept-family ipv4
    log stdout format raw local0
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 512
    timeout resolve {resolve}
    timeout retry 500ms
    hold other {hold}s
defaults
    mode tcp
    timeout connect 1s
    timeout client 600s
    timeout server 600s
listen edge
    bind {edge}:{port}
    balance roundrobin
    server-template web 60 {name}:{backend} resolvers r1 init-addr none
"""


@contextmanager
def everywhere() -> Iterator[int]:
    """A server on one port of every loopback address; it says which one a client came to."""
    with socket.create_server(("0.0.0.0", 0), backlog=128) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.sendall(f"{connection.getsockname()[0]}\n".encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_SECONDS)


def used(program: Program) -> list[str]:
    """The addresses that servers have."""
    addresses = [row["srv_addr"] for row in program.servers("edge").values()]
    return sorted(address for address in addresses if address != "-")


def counters(program: Program) -> dict[str, int]:
    """What `show resolvers` counts for the one nameserver."""
    lines = program.ask("show resolvers r1").splitlines()[2:]
    pairs = [line.split(":") for line in lines if line.strip()]
    return {name.strip(): int(value) for name, value in pairs}


@pytest.mark.slow
def test_all_sixty_are_used_within_one_round(tmp_path: Path) -> None:
    zone = [f"many IN A {address}" for address in MANY]
    port = free_port()
    with Nsd(tmp_path, "mission.test", zone, "127.86.0.53") as nsd, everywhere() as backend:
        configuration = CONFIGURATION.format(
            nameserver=nsd.endpoint,
            resolve="1h",  # there is no second round
            hold=30,
            edge=EDGE,
            port=port,
            name="many.mission.test",
            backend=backend,
        )
        with Program(tmp_path, configuration) as program:
            wait_for(lambda: used(program) == sorted(MANY), 10.0, "all sixty")
            reached = {who_answers((EDGE, port)) for _ in MANY}
            assert reached == set(MANY)
            counted = counters(program)
            assert (counted["sent"], counted["valid"], counted["truncated"]) == (1, 1, 0)


@pytest.mark.slow
def test_none_is_lost_before_its_time_where_tcp_is_blocked(tmp_path: Path) -> None:
    port = free_port()
    with (
        ScriptedNameserver("127.86.0.54", tcp=True, truncates=True) as nameserver,
        everywhere() as backend,
    ):
        nameserver.set("many.test", "A", MANY)
        configuration = CONFIGURATION.format(
            nameserver=nameserver.address,
            resolve="200ms",
            hold=int(HOLD_OTHER_S),
            edge=EDGE,
            port=port,
            name="many.test",
            backend=backend,
        )
        with Program(tmp_path, configuration) as program:
            wait_for(lambda: used(program) == sorted(MANY), 10.0, "all sixty")
            nameserver.set("many.test", "A", Answer(silent=True), over="tcp")
            cut = Answer(records=tuple(HELD), truncated=True)
            nameserver.set("many.test", "A", cut)
            began = time.monotonic()
            said = "was cut and could not be completed over TCP: it held 24 records"
            wait_for(lambda: said in program.output.read_text(), 5.0, "the log to say why")
            while (left := began + HOLD_OTHER_S - 0.5 - time.monotonic()) > 0:
                assert used(program) == sorted(MANY), f"{left:.1f} s before their time"
                assert who_answers((EDGE, port)) in MANY
            wait_for(lambda: used(program) == sorted(HELD), 10.0, "only those that answers hold")
            assert {who_answers((EDGE, port)) for _ in HELD} == set(HELD)
            assert counters(program)["truncated"] > 0
