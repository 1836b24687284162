"""`resolve-opts srv-priority` end to end: active servers follow the answers, sessions and health stay."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import Answer, ScriptedNameserver, services
from tests.support.program.program import NamedBackend, Program, greet, who_answers

FIRST, SECOND, STATIC = "127.0.34.1", "127.0.34.2", "127.0.34.3"
EDGE = "127.0.34.9"
LABEL = "_web._tcp.app.test"

CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
    dns-accept-family ipv4
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 8192
    timeout resolve 100ms
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen edge
    bind {edge}:{listen}
    balance roundrobin
    server last {static}:{port} backup
    server-template web 3 {label} resolvers r1 resolve-opts srv-priority,rfc-weight check inter 100ms
"""


@pytest.fixture
def backends() -> Iterator[list[NamedBackend]]:
    """Three servers on one port."""
    with ExitStack() as stack:
        first = NamedBackend(FIRST, 0)
        stack.callback(first.close)
        others = [NamedBackend(address, first.port) for address in (SECOND, STATIC)]
        for other in others:
            stack.callback(other.close)
        yield [first, *others]


def answer(port: int, first: int, second: int) -> Answer:
    """Two records with these priorities; one of them has weight 0."""
    return services(
        f"{first} 0 {port} h1.test",
        f"{second} 512 {port} h2.test",
        h1_test=FIRST,
        h2_test=SECOND,
    )


def columns(program: Program, *names: str) -> dict[str, tuple[str, ...]]:
    """Some columns of `show stat` by server."""
    rows = csv.DictReader(program.ask("show stat edge 6 -1").lstrip("# ").splitlines())
    return {row["svname"]: tuple(row[name] for name in names) for row in rows}


def wait_kinds(program: Program, **kinds: tuple[str, ...]) -> None:
    """Wait until these servers are (act, bck, weight)."""
    seen: dict[str, tuple[str, ...]] = {}

    def there() -> bool:
        seen.update(columns(program, "act", "bck", "weight"))
        return kinds.items() <= seen.items()

    try:
        wait_for(there, 10, f"{kinds}")
    except pytest.fail.Exception as error:
        error.add_note(f"but {seen}")
        raise


def test_who_is_active_follows_the_answers_and_nobody_loses_a_session(
    tmp_path: Path, backends: list[NamedBackend]
) -> None:
    port, edge = backends[0].port, (EDGE, free_port())
    with ScriptedNameserver() as nameserver, ExitStack() as stack:
        nameserver.set(LABEL, "SRV", answer(port, 10, 20))
        text = CONFIGURATION.format(
            nameserver=nameserver.address, edge=EDGE, listen=edge[1], port=port, label=LABEL,
            static=STATIC,
        )  # fmt: skip
        program = stack.enter_context(Program(tmp_path, text))
        wait_kinds(program, web1=("1", "0", "1"), web2=("0", "1", "2"), BACKEND=("1", "2", "1"))
        greeted = greet(edge)
        assert greeted is not None
        held = stack.enter_context(closing(greeted[1]))
        assert {greeted[0], *[who_answers(edge) for _ in range(6)]} == {FIRST}
        said = ("status", "chkdown", "srid")  # the last is the slot's generation
        wait_for(
            lambda: all(columns(program, *said)[name][0] == "UP" for name in ("web1", "web2")),
            10, "checks have passed",
        )  # fmt: skip
        healthy = columns(program, *said)

        nameserver.set(LABEL, "SRV", answer(port, 20, 10))
        wait_kinds(program, web1=("0", "1", "1"), web2=("1", "0", "2"), BACKEND=("1", "2", "2"))
        assert {who_answers(edge) for _ in range(6)} == {SECOND}
        nameserver.set(LABEL, "SRV", answer(port, 5, 5))
        wait_kinds(program, web1=("1", "0", "1"), web2=("1", "0", "2"), BACKEND=("2", "1", "3"))
        assert [who_answers(edge) for _ in range(6)].count(FIRST) == 2

        os.kill(program.children()["resolverd"][0], signal.SIGKILL)
        nameserver.set(LABEL, "SRV", answer(port, 7, 6))
        wait_kinds(program, web1=("0", "1", "1"), web2=("1", "0", "2"), BACKEND=("1", "2", "2"))
        now = columns(program, *said)
        assert {name: now[name] for name in ("web1", "web2")} == {
            name: healthy[name] for name in ("web1", "web2")
        }
        held.sendall(b"still there?")
        assert held.recv(100) == b"still there?"


def test_backups_serve_while_no_active_server_does_and_a_reload_carries_it(
    tmp_path: Path, backends: list[NamedBackend]
) -> None:
    port, edge = backends[0].port, (EDGE, free_port())
    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", answer(port, 10, 20))
        text = CONFIGURATION.format(
            nameserver=nameserver.address, edge=EDGE, listen=edge[1], port=port, label=LABEL,
            static=STATIC,
        )  # fmt: skip
        with Program(tmp_path, text) as program:
            wait_kinds(program, web1=("1", "0", "1"), web2=("0", "1", "2"))
            nameserver.set(LABEL, "SRV", Answer(silent=True))
            before = program.children()["resolverd"]
            program.process.send_signal(signal.SIGUSR2)
            wait_for(
                lambda: program.children().get("resolverd", before) != before, 15, "the reload"
            )
            program.wait_until_answering()
            wait_kinds(program, web1=("1", "0", "1"), web2=("0", "1", "2"), last=("0", "1", "1"))
            assert who_answers(edge) == FIRST
            backends[0].close()
            wait_kinds(program, BACKEND=("0", "2", "1"))
            assert {who_answers(edge) for _ in range(4)} == {STATIC}  # the first in the file
