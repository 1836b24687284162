"""Clients and servers that misbehave: each session ends as it should, nothing is left.

There are 100,000 in the long run and a quarter of them in `make test`. The table (misbehaviour.py)
says how each ends; a few of each kind are shown to HAProxy too, whose log lines have the same codes.
"""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.stress.misbehaviour import (
    MISBEHAVIOURS,
    Misbehaviour,
    be_misbehaving_servers,
    be_mischievous_clients,
)
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.footprint import anonymous_bytes, open_sockets
from tests.support.generated import LONG
from tests.support.program.program import Program
from tests.support.relay.crowd import Address, Helper
from tests.support.servers import Blackhole, silent_port

PROCESSES = 2
# Those that wait are played at the same time, each kind by processes of its own.
WAITING = [number for number, how in enumerate(MISBEHAVIOURS) if how.waits]
GROUPS = [[number] for number in range(len(MISBEHAVIOURS)) if number not in WAITING] + [WAITING]
WARM_UP = 0.02  # of each count, before anything is measured
SAMPLED = 0.25
LEFT_SHARE = 0.01
SHOWN_TO_HAPROXY = 6
CODE = re.compile(r" m(\d+)/\S+ \S+ \d+ (\S\S) \d+/\d+/\d+/\d+/")
TERMINATIONS = re.compile(r'millrace_terminations_total\{[^}]*="(..)"[^}]*\} (\d+)')
DEFAULTS = """
defaults
  mode tcp
  retries 0
  timeout connect 2s
  timeout client 3s
  timeout server 2s
"""
LISTEN = """
listen m{number}
  bind 127.0.0.1:{port}
  server s {address}:{server_port}
"""


class Stage:
    """Servers of every kind, clients, and the ports of a proxy in between."""

    def __init__(self, stack: ExitStack) -> None:
        kinds = {how.server for how in MISBEHAVIOURS if isinstance(how.server, type)}
        at = {kind: ("127.33.0.1", free_port()) for kind in kinds}
        stack.enter_context(Helper(be_misbehaving_servers, at))
        self.clients = [
            [
                stack.enter_context(
                    Helper(
                        be_mischievous_clients, [f"127.{net}.{process}.{n}" for n in range(1, 9)]
                    )
                )
                for process in range(PROCESSES)
            ]
            for net in range(34, 34 + len(WAITING))
        ]
        full = ("127.0.0.1", stack.enter_context(Blackhole()).port)
        refusing = ("127.0.0.1", stack.enter_context(silent_port()))
        self.targets: list[Address] = []
        self.listens = ""
        for number, how in enumerate(MISBEHAVIOURS):
            address, server_port = refusing
            if isinstance(how.server, type):
                address, server_port = at[how.server]
            elif how.server == "full":
                address, server_port = full
            port = free_port()
            self.targets.append(("127.0.0.1", port))
            self.listens += LISTEN.format(
                number=number, port=port, address=address, server_port=server_port
            )

    def play(self, group: list[int], count: Callable[[Misbehaviour], float]) -> list[int]:
        """So many clients of each kind at the same time; how many there were."""
        playing = list(zip(self.clients, group, strict=False))
        for clients, number in playing:
            each = max(1, round(count(MISBEHAVIOURS[number]) / PROCESSES))
            for client in clients:
                client.tell("run", number, self.targets[number], each)
        return [sum(client.answer() for client in clients) for clients, _ in playing]


@contextmanager
def haproxy(folder: Path, listens: str) -> Iterator[Callable[[], dict[int, Counter[str]]]]:
    """HAProxy with these sections; what it has logged so far, by section."""
    program = require_program("haproxy")
    found: dict[int, Counter[str]] = {number: Counter() for number in range(len(MISBEHAVIOURS))}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        log.setblocking(False)
        text = f"global\n  log 127.0.0.1:{log.getsockname()[1]} local0\n"
        text += f"  stats socket {folder}/haproxy.sock\n{DEFAULTS}  log global\n  option tcplog\n"
        (folder / "haproxy.cfg").write_text(text + listens)

        def logged() -> dict[int, Counter[str]]:
            with suppress(BlockingIOError):
                while True:
                    if match := CODE.search(log.recv(65_536).decode()):
                        found[int(match[1])][match[2]] += 1
            return found

        with subprocess.Popen([program, "-f", str(folder / "haproxy.cfg"), "-db"]) as process:
            try:
                wait_for((folder / "haproxy.sock").exists, 10, "HAProxy starts")
                yield logged
            finally:
                process.terminate()


@pytest.mark.slow
def test_haproxy_ends_these_sessions_with_the_same_codes(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stage = Stage(stack)
        logged = stack.enter_context(haproxy(tmp_path, stage.listens))
        for group in GROUPS:
            counts = stage.play(group, lambda how: SHOWN_TO_HAPROXY)
            for number, count in zip(group, counts, strict=True):
                how = MISBEHAVIOURS[number]
                wait_for(
                    lambda: logged()[number].total() == count,  # noqa: B023
                    10,
                    f"{how.name}: every session is logged",
                )
                assert set(logged()[number]) <= how.haproxy, how.name


class Watched:
    """The program under test, and what it counts and holds."""

    def __init__(self, folder: Path, stage: Stage, stack: ExitStack) -> None:
        self.metrics_port = free_port()
        head = "global\n  nbthread 2\n  stats socket {socket} level admin\n"
        service = f"\nfrontend metrics\n  bind 127.0.0.1:{self.metrics_port}\n  mode http\n"
        service += "  http-request use-service prometheus-exporter if { path /metrics }\n"
        self.program = stack.enter_context(
            Program(folder, head + DEFAULTS + service + stage.listens)
        )
        self.workers = self.program.children()["worker"]

    def terminations(self) -> Counter[str]:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            text = answer.read().decode()
        return Counter({code: int(count) for code, count in TERMINATIONS.findall(text)})

    def sockets(self) -> list[int]:
        return [open_sockets(pid) for pid in self.workers]

    def memory(self) -> int:
        return anonymous_bytes(self.program.process.pid)

    def gauges(self) -> dict[str, set[str]]:
        """Every value of `scur` and `qcur`, and what sessions hold of memory."""
        rows = [line.split(",") for line in self.program.ask("show stat").splitlines() if line]
        info = dict(
            line.split(": ", 1) for line in self.program.ask("show info").splitlines() if line
        )
        found = {
            name: {row[rows[0].index(name)] for row in rows[1:]} - {""} for name in ("scur", "qcur")
        }
        return found | {name: {info[name]} for name in ("CurrConns", "PoolUsed_bytes")}


def play(stage: Stage, watched: Watched, share: float) -> None:
    """All groups one after the other, and how the sessions of each kind ended."""
    for group in GROUPS:
        kinds = [MISBEHAVIOURS[number] for number in group]
        names = ", ".join(how.name for how in kinds)
        before = watched.terminations()
        counts = stage.play(group, lambda how: how.count * share)
        wait_for(
            lambda: (watched.terminations() - before).total() == sum(counts),  # noqa: B023
            20,
            f"{names}: every session ends",
        )
        ended = watched.terminations() - before
        assert set(ended) <= frozenset().union(*(how.codes for how in kinds)), names
        for how, count in zip(kinds, counts, strict=True):
            assert how.ended_so(ended) >= count, f"{how.name}: {ended}"


def settled(watched: Watched) -> bool:
    return all(values == {"0"} for values in watched.gauges().values())


@pytest.mark.alone
@pytest.mark.slow
def test_those_that_misbehave_leave_no_trace(tmp_path: Path) -> None:
    assert sum(how.count for how in MISBEHAVIOURS) >= 100_000
    with ExitStack() as stack:
        stage = Stage(stack)
        watched = Watched(tmp_path, stage, stack)
        play(stage, watched, WARM_UP)
        wait_for(lambda: settled(watched), 10, "nothing is left of the warm-up")
        memory, sockets = watched.memory(), watched.sockets()
        play(stage, watched, 1 if LONG else SAMPLED)
        wait_for(lambda: settled(watched), 10, "nothing is left of any session")
        assert watched.sockets() == sockets
        left = watched.memory()
        assert left <= memory * (1 + LEFT_SHARE), f"{memory} before, {left} after"
