"""Findings that the real HAProxy 2.6 still shows, beside what Millrace does with the same file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command
from tests.support.dns.scripted import SILENT, Answer

pytestmark = pytest.mark.slow

HOST = "app.test"
CONFIGURATION = """
global
    stats socket {folder}/s level admin
    log {log} local0
resolvers r1
    nameserver ns1 {nameserver}
    resolve_retries 3
    timeout resolve 100ms
    timeout retry 100ms
    hold other 500ms
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
backend edge
    server-template web 30 app.test:80 resolvers r1 init-addr none resolve-prefer ipv4
"""

Starter = Callable[[str], OneProgram]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts a program on that file, with a nameserver of its own."""
    with ExitStack() as stack:

        def one(program: str) -> OneProgram:
            command = haproxy_command() if program == "haproxy" else millrace_command()
            return stack.enter_context(one_program(command, tmp_path / "p", CONFIGURATION, {}))

        yield one


def used(program: OneProgram) -> set[str]:
    """The addresses in use."""
    return {row["srv_addr"] for row in program.rows().values()} - {"-"}


@pytest.mark.parametrize(("program", "repeats"), [("haproxy", True), ("millrace", False)])
def test_finding_08_haproxy_repeats_ids_and_millrace_never_does(
    start: Starter, program: str, *, repeats: bool
) -> None:
    running = start(program)
    running.nameserver.set(HOST, "*", SILENT)
    running.nameserver.forget()
    attempts = running.nameserver.wait_queries(7, HOST)
    different = {(query.source, query.id) for query in attempts}
    assert (len(different) < len(attempts)) == repeats


BEFORE = [f"127.0.95.{number}" for number in range(1, 21)]
GROWN = [f"127.0.95.{number}" for number in range(1, 26)]


@pytest.mark.parametrize(("program", "expected"), [("haproxy", []), ("millrace", GROWN)])
def test_finding_27_haproxy_drops_a_cut_answer_with_its_servers_and_millrace_adds(
    start: Starter, program: str, expected: list[str]
) -> None:
    """The nameserver knows no TCP and cuts an answer that has grown."""
    running = start(program)
    running.nameserver.set(HOST, "A", BEFORE)
    wait_for(lambda: used(running) == set(BEFORE), 10, "twenty servers")
    running.nameserver.set(HOST, "A", Answer(records=tuple(GROWN), truncated=True))
    wait_for(lambda: used(running) == set(expected), 10, f"{len(expected)} servers")
    running.nameserver.wait_queries(len(running.nameserver.queries) + 4)
    assert used(running) == set(expected)
