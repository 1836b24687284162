"""Many operators add and delete servers at once: each order is answered as if it were alone."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event

import pytest

from proxy.control.commands.set_server import REPLACED
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records
from tests.support.program.program import Program, in_force

pytestmark = pytest.mark.slow

OPERATORS = 48  # as many as there are slots
ATTEMPTS = 20  # to ask within a second of a reload
TURNS = 10
ADDED, DELETED = "New server registered.\n\n", "Server deleted.\n\n"
CONFIGURATION = """
global
    nbthread 2
    spare-servers {slots}
    stats socket {{socket}} level admin
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout server 10s
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 1s
backend edge
    balance roundrobin
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with ExitStack() as stack:
        nameserver = stack.enter_context(ScriptedNameserver())
        nameserver.set("app.test", "A", records("127.0.1.1"))
        text = CONFIGURATION.format(nameserver=nameserver.address, slots=OPERATORS)
        yield stack.enter_context(Program(tmp_path, text))


def by_all(order: Callable[[int], Counter[str]]) -> Counter[str]:
    with ThreadPoolExecutor(OPERATORS) as operators:
        return sum(operators.map(order, range(OPERATORS)), Counter[str]())


def test_a_slot_that_is_about_to_be_free_is_waited_for(program: Program) -> None:
    def come_and_go(number: int) -> Counter[str]:
        line = "app.test:80 resolvers r1" if number % 2 else "127.0.0.1:1"
        orders = (f"add server edge/n{number} {line}", f"del server edge/n{number}")
        return Counter(in_force(program.ask(order)) for _ in range(TURNS) for order in orders)

    assert by_all(come_and_go) == dict.fromkeys((ADDED, DELETED), OPERATORS * TURNS)
    assert program.servers("edge") == {}
    assert "app.test" not in program.ask("show resolution")


def test_one_name_is_added_and_deleted_once(program: Program) -> None:
    def add(_number: int) -> Counter[str]:
        return Counter([in_force(program.ask("add server edge/same app.test:80 resolvers r1"))])

    def delete(_number: int) -> Counter[str]:
        return Counter([in_force(program.ask("del server edge/same"))])

    taken = "Already exists a server with the same name in backend.\n\n"
    assert by_all(add) == {ADDED: 1, taken: OPERATORS - 1}
    assert by_all(delete) == {DELETED: 1, "No such server.\n\n": OPERATORS - 1}


def test_a_reload_among_them_ends_what_it_ends_and_no_more(program: Program) -> None:
    """An order is answered by the one generation or the other: never half."""
    over = Event()

    def come_and_go(number: int) -> Counter[str]:
        answers, orders = (
            Counter[str](),
            (
                f"add server edge/n{number} app.test:80 resolvers r1",
                f"del server edge/n{number}",
            ),
        )
        while not over.is_set():
            answers.update(in_force(program.ask(order)) for order in orders)
        return answers

    with ThreadPoolExecutor(8) as operators:
        answers = [operators.submit(come_and_go, number) for number in range(8)]
        for turn in range(3):
            program.process.send_signal(signal.SIGUSR2)
            wait_for(
                lambda turn=turn: program.output.read_text().count("reload done") > turn,
                PATIENCE_SECONDS,
                "the reload",
            )
        over.set()
        found = sum((answer.result() for answer in answers), Counter[str]())
    gone = "No such server.\n\n"  # by a reload: the files do not have it
    found.pop(f"{REPLACED}\n\n", 0)  # a client that came to ask when the reload was done
    assert found.keys() <= {ADDED, DELETED, gone}, found
    assert found[ADDED] == found[DELETED] + found[gone]
    assert found[gone] <= program.output.read_text().count("added at run time, is not in the files")
    assert program.servers("edge") == {}
    assert "app.test" not in program.ask("show resolution")
    for number in range(OPERATORS):  # all slots are free
        assert in_force(program.ask(f"add server edge/n{number} 127.0.0.1:1")) == ADDED


def test_a_client_that_asks_when_a_reload_is_done_gets_an_answer(program: Program) -> None:
    """It was let in before, and had no turn to ask."""
    for turn in range(ATTEMPTS):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(program.socket_path))
            assert program.ask("show version")  # by then it is let in
            program.process.send_signal(signal.SIGUSR2)
            wait_for(
                lambda turn=turn: program.output.read_text().count("reload done") > turn,
                PATIENCE_SECONDS,
                "the reload",
            )
            with suppress(BrokenPipeError):
                client.sendall(b"add server edge/late 127.0.0.1:1\n")
            if client.makefile("rb").read() == f"{REPLACED}\n\n".encode():
                return
    pytest.fail(f"closed without an answer {ATTEMPTS} times")
