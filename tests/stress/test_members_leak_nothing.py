"""Servers come and go, and the program is reloaded, again and again: it holds what it held before.

In full (`make long`) 100,000 servers come and go and 500 reloads are made. What a process holds may
have grown by GROWTH then, descriptors, what epoll watches and the segment not at all.
"""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records
from tests.support.generated import sample
from tests.support.program.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.lengthy]

GROWTH = sample(6, 2)  # percent; a short run ends before each heap has its size
PAIRS, RELOADS = sample(300, 100_000), sample(3, 500)
PAIRS_BEFORE, RELOADS_BEFORE = sample(60, 30_000), sample(1, 20)  # until caches are full
PAIRS_A_RELOAD = 10
PORTS_UNUSED = sample(16, 0)  # at a nameserver, of which each question draws one
SPARE = 40
CONFIGURATION = """
global
    nbthread 2
    spare-servers {spare}
    stats socket {{socket}} level admin
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout client 10s
    timeout server 10s
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 1s
    timeout retry 100ms
    hold nx 0s
listen edge
    bind 127.0.0.1:{port}
    server s1 127.0.0.1:1 disabled
"""
# addresses, checked ones, a name that stays, and one that no other server has had
LINES = (
    *("127.0.0.1:1", "127.0.0.1:1 check inter 100ms", "app.test:80 resolvers r1"),
    "n{number}.test:80 resolvers r1",
)
ADDED, DELETED = "New server registered.\n", "Server deleted.\n"


class Held(NamedTuple):
    """What a kind of processes holds together."""

    memory: int  # KB, no other process has these pages
    descriptors: int
    watched: int  # by epoll
    segments: int  # bytes of memory files


class Orders:
    """A connection to the stats socket on which answers end with a prompt."""

    def __init__(self, path: Path) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(PATIENCE_SECONDS)
        self._connection.connect(str(path))
        self.ask("prompt")

    def ask(self, command: str) -> str:
        self._connection.sendall(command.encode() + b"\n")
        received = b""
        while not received.endswith(b"\n> "):
            chunk = self._connection.recv(65_536)
            assert chunk, f"{command}: {received!r}"
            received += chunk
        return received.removesuffix(b"\n> ").decode()

    def pairs(self, first: int, count: int) -> None:
        """So many servers come and go."""
        for number in range(first, first + count):
            line = LINES[number % len(LINES)].format(number=number)
            assert self.ask(f"add server edge/n{number} {line}").startswith(ADDED)
            assert self.ask(f"del server edge/n{number}").startswith(DELETED)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with ExitStack() as stack:
        nameserver = stack.enter_context(ScriptedNameserver())
        nameserver.set("app.test", "A", records("127.0.1.1"))
        text = CONFIGURATION.format(nameserver=nameserver.address, port=free_port(), spare=SPARE)
        yield stack.enter_context(Program(tmp_path, text, "-W", executed=True))


def held(program: Program) -> dict[str, Held]:
    """What each kind of processes holds; of the supervisor's, the segments are all's."""
    found = {"supervisor": [program.process.pid], **program.children()}
    return {kind: _sum([_held(pid) for pid in pids]) for kind, pids in found.items()}


def _sum(each: list[Held]) -> Held:
    return Held(*map(sum, zip(*each, strict=True)))


def _held(pid: int) -> Held:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss_Anon:")[1]
    descriptors, watched, segments = 0, 0, Counter[int]()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            descriptors += 1
            if target == "anon_inode:[eventpoll]":
                watched += Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text().count("tfd:")
            elif target.startswith("/memfd:"):
                found = entry.stat()
                segments[found.st_ino] = found.st_size
    return Held(int(rollup.split()[0]), descriptors, watched, segments.total())


def is_as_before(kind: str, now: Held, was: Held) -> bool:
    ports = PORTS_UNUSED if kind == "resolverd" else 0
    return (
        now.memory <= was.memory * (100 + GROWTH) // 100
        and now.descriptors <= was.descriptors + ports
        and now.watched <= was.watched + ports
        and now.segments <= was.segments
    )


def assert_held(program: Program, before: dict[str, Held]) -> None:
    """Nothing has grown beyond GROWTH; what goes soon after the last change is waited for."""
    now: dict[str, Held] = {}

    def as_before() -> bool:
        now.update(held(program))
        return all(is_as_before(kind, now[kind], was) for kind, was in before.items())

    def told() -> str:
        return "".join(f"\n{kind}: {before[kind]}, now {now[kind]}" for kind in before)

    wait_for(as_before, 1, lambda: f"as much as before{told()}", step=0.5)
    print(told())  # the figures of a long run


def reload(program: Program) -> None:
    """Return when the new generation serves, and the old one has gone."""
    done = program.output.read_text().count("reload done")
    program.process.send_signal(signal.SIGUSR2)

    def is_over() -> bool:
        children = program.titled_children()
        return (
            program.output.read_text().count("reload done") > done
            and {kind: len(pids) for kind, pids in children.items()} == STAFF
        )

    wait_for(is_over, PATIENCE_SECONDS, "the reload", step=0.02)
    program.wait_until_answering()


STAFF = {"worker": 2, "resolverd": 1, "control": 1}


def test_what_comes_and_goes_leaves_nothing(program: Program) -> None:
    orders = Orders(program.socket_path)
    orders.pairs(0, PAIRS_BEFORE)
    before = held(program)
    orders.pairs(PAIRS_BEFORE, PAIRS)
    assert_held(program, before)
    assert ".test" not in orders.ask("show resolution")
    orders.close()


def test_reloads_leave_nothing(program: Program) -> None:
    before: dict[str, Held] = {}
    for turn in range(RELOADS_BEFORE + RELOADS + 1):
        orders = Orders(program.socket_path)
        orders.pairs(turn * PAIRS_A_RELOAD, PAIRS_A_RELOAD)
        orders.ask(f"add server edge/left{turn} app.test:80 resolvers r1")
        orders.close()
        if turn == RELOADS_BEFORE:
            before = held(program)
        if turn < RELOADS_BEFORE + RELOADS:
            reload(program)
    assert_held(program, before)
