"""What a run costs resolverd, in counts: system calls, and what is left behind in memory."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop

from resolverd.config import Nameserver, ResolverdSettings, ResolversSection
from resolverd.daemon import Daemon
from shm.counters import CounterReader
from tests.support.common import require_program, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, make_segment, settings_of

NAMES = 100
RUNS = 2_000
NAMESERVERS = 2
SOCKETS = 2 * 16 * NAMESERVERS  # all of them renewed once, by age


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[ResolverdSettings]:
    zone = [f"n{number} IN A 127.0.2.{number + 1}" for number in range(NAMES)]
    with ExitStack() as stack:
        nameservers = []
        for index in range(NAMESERVERS):
            folder = tmp_path / f"ns{index}"
            folder.mkdir()
            nsd = stack.enter_context(Nsd(folder, "fleet.test", zone, f"127.0.0.{index + 2}"))
            nameservers.append(Nameserver(f"ns{index}", nsd.address, nsd.port, index=index))
        section = ResolversSection("r1", tuple(nameservers), timeout_resolve_ms=500)
        yield settings_of(
            section,
            *(
                resolution_settings(
                    servers(1, first_slot=number), index=number, name=f"n{number}.fleet.test"
                )
                for number in range(NAMES)
            ),
        )


def runs_of(reader: CounterReader) -> int:
    return sum(int(reader.resolution(index)["runs"]) for index in range(NAMES))


def calls_of(text: str) -> dict[str, int]:
    """The calls that strace has counted, by name."""
    lines = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", text, re.MULTILINE)
    return {name: int(calls) for calls, name in lines if name != "total"}


@pytest.mark.slow
def test_a_run_is_two_sends_two_receives_and_three_wake_ups_at_most(
    settings: ResolverdSettings, tmp_path: Path
) -> None:
    strace = require_program("strace")
    counted = tmp_path / "calls"
    with ResolverdProcess(settings) as resolverd:
        reader = CounterReader(resolverd.segment)
        resolverd.wait(lambda: runs_of(reader) >= 3 * NAMES, "every name resolved")
        with subprocess.Popen(
            [strace, "-c", "-f", "-o", str(counted), "-p", str(resolverd.pid)],
            stderr=subprocess.DEVNULL,
        ) as tracer:
            before = runs_of(reader)
            resolverd.wait(lambda: runs_of(reader) >= before + RUNS, "many runs", seconds=60)
            tracer.send_signal(signal.SIGINT)
    calls = calls_of(counted.read_text())
    runs = calls["sendto"] / NAMESERVERS
    assert runs > RUNS / 2
    assert calls["recvfrom"] <= NAMESERVERS * runs * 1.05 + 10
    assert calls["epoll_pwait"] <= 3 * runs  # a question, and each reply
    assert calls["epoll_wait"] <= NAMESERVERS * runs * 1.05 + 10  # which socket has the reply
    assert calls.get("getrandom", 0) <= runs * NAMESERVERS / 500 + 2
    assert calls.get("socket", 0) <= SOCKETS
    others = {"sendto", "recvfrom", "epoll_pwait", "epoll_wait", "getrandom", "socket"}
    rest = sum(count for name, count in calls.items() if name not in others)
    assert rest <= runs / 10 + 8 * SOCKETS, calls


@pytest.mark.slow
def test_runs_leave_nothing_behind(settings: ResolverdSettings) -> None:
    reading, writing = os.pipe()
    child = os.fork()  # its sockets and its loop end with it
    if child == 0:
        try:
            os.write(writing, str(blocks_grown(settings)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as grown:
        # sockets come up, some blocks of each name are on their way; there is none for each run
        assert int(grown.read()) < RUNS / 2
    os.waitpid(child, 0)


def blocks_grown(settings: ResolverdSettings) -> int:
    """How many more blocks of memory are in use after many runs."""
    segment = make_segment(settings)
    reader = CounterReader(segment)
    loop = uvloop.new_event_loop()
    doorbell = os.eventfd(0, os.EFD_NONBLOCK)
    Daemon(
        settings, segment, doorbell, lambda: None, log=lambda level, text: None, loop=loop
    ).start()
    run_until(loop, reader, 5 * NAMES)
    before = sys.getallocatedblocks()
    run_until(loop, reader, runs_of(reader) + RUNS)
    return sys.getallocatedblocks() - before


def run_until(loop: asyncio.AbstractEventLoop, reader: CounterReader, runs: int) -> None:
    def one_turn() -> bool:
        loop.call_later(0.05, loop.stop)
        loop.run_forever()
        return runs_of(reader) >= runs

    wait_for(one_turn, 60, f"{runs} runs")
