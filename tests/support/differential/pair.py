"""Runs scenarios against several programs at once, each with nameservers and servers of its own.

Owns the processes and the polling. A program plays all scenarios of a test at the same time, in one
process (`scenarios.py`), and may so be started once for all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, require_program, wait_for
from tests.support.differential.scenarios import Scenario, Server, Side, ask
from tests.support.differential.timeline import Timeline, agree
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.forking.process import Process, start

ROOT = Path(__file__).parents[3]
POLL_SECONDS = 0.05
START_SECONDS = PATIENCE_SECONDS
# Until the first answers are in, what is seen depends on when the statistics socket opens.
COMPARED_FROM_SECONDS = 0.7
STOP_SECONDS = PATIENCE_SECONDS
ATTEMPTS = 3
TOO_BUSY = "too busy a machine to tell"

GLOBAL = """\
global
    nbthread 1
    stats socket {socket} level admin
    # Older programs always use both families, newer ones look for a route unless they are told.
    .if version_atleast(3.2)
    dns-accept-family ipv4,ipv6
    .endif
defaults
    mode tcp
    balance roundrobin
    timeout connect 1s
    timeout client 600s
    timeout server 600s
    timeout check 1s
frontend fe
    bind {address}:18079
    default_backend {backend}
"""
_networks = itertools.count()


def haproxy_command() -> tuple[str, ...]:
    """How the oracle is started, without its file."""
    return (require_program("haproxy"),)


def millrace_command() -> tuple[str, ...]:
    """How the program under test is started, without its file."""
    return (sys.executable, "-m", "proxy")


@contextmanager
def _surroundings(side: Side) -> Iterator[None]:
    scenario = side.scenario
    with ExitStack() as stack:
        for _ in range(scenario.nameservers):
            lifetime = stack.enter_context(ExitStack())
            side.nameservers.append(
                lifetime.enter_context(ScriptedNameserver(tcp=scenario.over_tcp))
            )
            side.lifetimes.append(lifetime)
        for (name, rtype), answer in scenario.zone.items():
            side.answer(name, rtype, answer)
        stack.callback(side.end_servers)
        for address in scenario.servers:
            side.servers[address] = Server(side.own(address))
        yield


@contextmanager
def _running(command: tuple[str, ...], folder: Path, sides: list[Side]) -> Iterator[Process]:
    file = folder / "proxy.cfg"
    sections = "".join(side.configuration() for side in sides)
    backend = re.findall(r"^backend (\S+)", sections, re.M)[0]
    general = GLOBAL.format(socket=folder / "s", address=f"{sides[0].network}.250", backend=backend)
    file.write_text(general + sections, encoding="utf-8")
    with (folder / "output").open("wb") as output:
        child = start(
            (*command, "-f", str(file), "-db"),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _must_run(side: Side, child: Process) -> None:
    if child.poll() is not None:
        output = (side.folder / "output").read_text(errors="replace")
        raise RuntimeError(f"{side.program} ended with {child.returncode}: {output[-1000:]}")


def _observe(
    program: str, command: tuple[str, ...], scenarios: Sequence[Scenario], folder: Path
) -> list[Timeline]:
    """Run one program to the end of all scenarios, and note what it shows of each."""
    folder.mkdir(parents=True)
    sides = [
        Side(
            *(program, scenario, number, _network(), folder, Timeline(program)),
            sorted(scenario.steps, key=lambda step: step.at),
        )
        for number, scenario in enumerate(scenarios)
    ]

    def all_asked() -> bool:
        _must_run(sides[0], child)
        return all(side.asked() for side in sides)

    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(_surroundings(side))
        child = stack.enter_context(_running(command, folder, sides))
        wait_for(all_asked, START_SECONDS, f"the first queries of {program}")
        while under_way := [
            side for side in sides if time.monotonic() - side.begin < side.scenario.seconds
        ]:
            for side in under_way:
                side.act()
            _must_run(sides[0], child)
            with contextlib.suppress(OSError):
                shown = ask(folder, "show servers state").strip().splitlines()
                for side in under_way:
                    side.look(shown)
            due = [side.begin + side.steps[0].at for side in under_way if side.steps]
            pause = min([POLL_SECONDS, *(at - time.monotonic() for at in due)])
            time.sleep(max(0.0, pause))
    return [side.timeline for side in sides]


def _network() -> str:
    """A loopback network that no other side of this or another test process has."""
    return f"127.{101 + os.getpid() % 150}.{next(_networks) % 250}"


def observe_all(
    scenarios: Sequence[Scenario], commands: Sequence[tuple[str, tuple[str, ...]]], folder: Path
) -> list[tuple[Timeline, ...]]:
    """For each scenario the timelines of several programs, which run at the same time."""
    with ThreadPoolExecutor(len(commands)) as pool:
        found = [
            pool.submit(_observe, program, command, scenarios, folder / str(number))
            for number, (program, command) in enumerate(commands)
        ]
        return list(zip(*(each.result() for each in found), strict=True))


def disagreements(
    scenarios: Sequence[Scenario], subject: tuple[str, ...], folder: Path
) -> list[str]:
    """All scenarios at once; what was shown of those without agreement.

    Two oracles run beside the subject. Agreeing with one of them is enough: they differ from each
    other only in timing. Where they differ by more than the tolerance, or could not be asked in
    time, the machine was too busy to tell anything, and the scenario is run again; a subject that
    disagrees with steady oracles gets no second chance.
    """
    oracle = haproxy_command()
    commands = [("haproxy", oracle), ("haproxy again", oracle), ("subject", subject)]
    accounts: list[str] = []
    left = dict.fromkeys(scenarios, "")
    for attempt in range(ATTEMPTS):
        try:
            found = observe_all(list(left), commands, folder / str(attempt))
        except (RuntimeError, OSError, pytest.fail.Exception) as error:
            return [*accounts, f"{', '.join(each.name for each in left)}: {error}"]
        for scenario, timelines in zip(list(left), found, strict=True):
            verdict = _verdict(*timelines)
            account = "\n".join([f"{scenario.name}: {verdict}", *map(str, timelines)])
            if verdict == TOO_BUSY:
                left[scenario] = account
                continue
            del left[scenario]
            if verdict:
                accounts.append(account)
        if not left:
            break
    return accounts + list(left.values())


def _verdict(*timelines: Timeline) -> str:
    """What the timelines of two oracles and of the subject say of it; '' when it agrees."""
    first, second, ours = (timeline.since(COMPARED_FROM_SECONDS) for timeline in timelines)
    oracles_agree = bool(first) and agree(first, second)
    if oracles_agree and (agree(ours, first) or agree(ours, second)):
        return ""
    steady = oracles_agree and not any(timeline.busy for timeline in timelines)
    return "the subject disagrees" if steady else TOO_BUSY


def disagreement(scenario: Scenario, subject: tuple[str, ...], folder: Path) -> str:
    """The same for one; '' when it agrees."""
    return "\n".join(disagreements([scenario], subject, folder))
