"""A worker dies or stands still while a large configuration is read and built: its clients are served.

What is built is done in slices, and a death is seen between two of them: clients of the worker's
sockets are answered before any process of the next generation exists.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.supervisor.program import (
    Program,
    await_serving,
    greeting,
    is_alive,
    kill,
    started,
)

pytestmark = [pytest.mark.slow, pytest.mark.quiet]
HOST = "127.44.8.4"
SERVERS = 30_000
CLIENTS = 16  # the kernel gives one of two sockets none of so many once in 32,768 times
ATTEMPTS = 5
READER = "millrace: reload"
DONE = "reload done"


@pytest.fixture
def address() -> tuple[str, int]:
    return HOST, free_port()


@pytest.fixture
def program(tmp_path: Path, address: tuple[str, int]) -> Iterator[Program]:
    """Two workers that serve, and a file with many servers, which only a reload reads."""
    file = tmp_path / "edge.cfg"
    head = (
        "global\n    nbthread 2\n    log stderr format raw local0 notice\ndefaults\n    mode tcp\n"
        "    timeout client 30s\n    timeout server 30s\n    timeout connect 1s\n"
        f"listen web\n    bind {HOST}:{address[1]}\n    server a 127.0.0.1:1\n"
    )
    file.write_text(head)
    with started(tmp_path, "-f", str(file)) as made:
        await_serving(address)
        wait_for(lambda: len(made.titles()) == len(made.titles_all()) == 3, 15, "all children run")
        many = (f"    server s{number} 127.0.0.1:1 check\n" for number in range(SERVERS))
        file.write_text(f"{head}backend many\n{''.join(many)}")
        yield made


def reads(program: Program) -> bool:
    return READER in program.titles_all().values()


def begin_building(program: Program) -> None:
    program.signal(signal.SIGUSR2)
    wait_for(lambda: reads(program), 15, "the file is read", step=0.001)
    wait_for(lambda: not reads(program), 60, "the file was read", step=0.001)


def connect(address: tuple[str, int], stack: ExitStack) -> list[socket.socket]:
    """Clients at the sockets of both workers."""
    return [
        stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))
        for _ in range(CLIENTS)
    ]


def born(pid: int) -> tuple[int, int]:
    """The order in which processes were forked: ticks since the boot, then pids."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]), pid


def present_tick() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def kill_while_it_builds(program: Program, address: tuple[str, int]) -> bool:
    """Play it once; False where the kill came after the building, on a machine that is busy."""
    reloads = program.text().count(DONE)
    begin_building(program)
    worker = min(pid for pid, title in program.titles_all().items() if title.endswith("worker 0"))
    kill(worker)
    killed_at = present_tick()
    with ExitStack() as stack:
        answers = [greeting(client) for client in connect(address, stack)]
        old = {pid for _, pid, generation in answers if generation == reloads + 1}
        wait_for(lambda: program.text().count(DONE) > reloads, 60, DONE)
        wait_for(lambda: len(set(program.titles_all()) - old) == 3, 15, "the old ones are gone")
        first = min(map(born, set(program.titles_all()) - old))
        if killed_at >= first[0]:
            return False
        assert {generation for _, _, generation in answers} == {reloads + 1}
        assert max(map(born, old)) < first, "one of the next generation was there before"
    return True


def test_a_death_while_the_next_generation_is_built_costs_nobody_a_wait(
    program: Program, address: tuple[str, int]
) -> None:
    assert any(kill_while_it_builds(program, address) for _ in range(ATTEMPTS))


def test_a_worker_that_stands_still_meanwhile_is_stood_in_for(
    program: Program, address: tuple[str, int]
) -> None:
    worker, sibling = (program.pid_of(f"worker {number}") for number in (0, 1))
    program.signal(signal.SIGUSR2)
    wait_for(lambda: reads(program), 15, "the file is read", step=0.001)
    stand_still(worker)
    with ExitStack() as stack:
        assert {greeting(client)[1] for client in connect(address, stack)} == {sibling}
        assert DONE not in program.text()
    os.kill(worker, signal.SIGCONT)
    program.await_text(DONE)


def test_an_order_to_end_is_obeyed_while_it_is_built(program: Program) -> None:
    begin_building(program)
    children = program.titles_all()
    program.signal(signal.SIGTERM)
    program.wait()
    assert DONE not in program.text()
    assert not any(is_alive(pid) for pid in children)
