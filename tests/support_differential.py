"""Runs one scenario against several programs at once, each with nameservers and servers of its own.

Owns the processes and the polling. A side's clock starts with the first query that its nameservers
get, so the time that a program takes to start does not matter. In scenarios `NET` stands for the
side's own loopback network (three octets): configuration, records and states are written with it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.support import PATIENCE_SECONDS, require_program, wait_for
from tests.support_dns import Answer, ScriptedNameserver
from tests.support_timeline import Timeline, agree, parse_states

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.05
START_SECONDS = PATIENCE_SECONDS
# Until the first answers are in, what is seen depends on when the statistics socket opens.
COMPARED_FROM_SECONDS = 0.7
SERVER_PORT = 18080
STOP_SECONDS = PATIENCE_SECONDS
ATTEMPTS = 3

CONFIGURATION = """\
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
resolvers r1
{nameservers}
    accepted_payload_size 8192
{pace}
    hold valid 1s
{holds}
frontend fe
    bind NET.250:18079
    default_backend be
{backends}
"""
QUICK_PACE = """\
    resolve_retries 2
    timeout resolve 100ms
    timeout retry 100ms
"""
SHORT_HOLDS = """\
    hold nx 2s
    hold refused 2s
    hold other 2s
    hold timeout 2s
    hold obsolete 0s
"""

_networks = itertools.count()
# Programs start in turn: many at once would slow each other, and those whose clock runs already.
_starting = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class Scenario:
    """A configuration, what the nameservers say at first, and what happens when."""

    name: str
    backends: str
    zone: dict[tuple[str, str], Answer]
    steps: tuple[Step, ...]
    seconds: float
    pace: str = QUICK_PACE
    holds: str = SHORT_HOLDS
    nameservers: int = 1
    servers: tuple[str, ...] = ()  # addresses that accept connections on SERVER_PORT from the start
    over_tcp: bool = False  # the nameservers are asked over TCP only


@dataclass(frozen=True)
class Step:
    """Something that happens `at` seconds after the first query."""

    at: float
    act: Callable[[Side], None]


@dataclass
class Side:
    """One program in one scenario, with its surroundings."""

    program: str
    command: tuple[str, ...]
    network: str
    folder: Path
    nameservers: list[ScriptedNameserver] = field(default_factory=list)
    lifetimes: list[ExitStack] = field(default_factory=list)  # one per nameserver; closing ends it
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def socket_path(self) -> Path:
        """The statistics socket."""
        return self.folder / "s"

    def own(self, text: str) -> str:
        """The scenario's text with this side's network."""
        return text.replace("NET", self.network)

    def answer(self, name: str, rtype: str, answer: Answer, nameserver: int | None = None) -> None:
        """Script a name on one nameserver, or on all."""
        mine = replace(
            answer,
            records=tuple(self.own(record) for record in answer.records),
            additional=tuple(self.own(record) for record in answer.additional),
        )
        chosen = self.nameservers if nameserver is None else [self.nameservers[nameserver]]
        for each in chosen:
            each.set(name, rtype, mine)

    def end_servers(self) -> None:
        """All servers refuse connections from now on."""
        while self.servers:
            self.servers.popitem()[1].close()

    def ask(self, command: str) -> str:
        """What the statistics socket answers to one command."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(self.socket_path))
            client.sendall(command.encode() + b"\n")
            chunks = iter(lambda: client.recv(65536), b"")
            return b"".join(chunks).decode()


def answers(
    at: float, name: str, rtype: str, answer: Answer, nameserver: int | None = None
) -> Step:
    """From then on the nameserver (or all) says this."""
    return Step(at, lambda side: side.answer(name, rtype, answer, nameserver))


def nameserver_ends(at: float, nameserver: int) -> Step:
    """That nameserver's port is closed from then on."""
    return Step(at, lambda side: side.lifetimes[nameserver].close())


def command(at: float, text: str) -> Step:
    """Somebody gives this command on the statistics socket."""

    def give(side: Side) -> None:
        side.ask(text)

    return Step(at, give)


def server_ends(at: float, address: str) -> Step:
    """The server of that address refuses connections from then on."""
    return Step(at, lambda side: side.servers.pop(address).close())


def server_starts(at: float, address: str) -> Step:
    """A server of that address accepts connections from then on."""

    def start(side: Side) -> None:
        side.servers[address] = Server(side.own(address))

    return Step(at, start)


class Server:
    """Accepts and closes: enough for a connect check."""

    def __init__(self, address: str) -> None:
        try:
            self._listener = socket.create_server((address, SERVER_PORT), backlog=128)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: {address}:{SERVER_PORT}") from error
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name=f"server {address}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake:
                        return
                    with contextlib.suppress(OSError):
                        self._listener.accept()[0].close()

    def close(self) -> None:
        """From now on connections are refused."""
        self._waker.send(b"x")
        self._thread.join()
        for each in (self._listener, self._wake, self._waker):
            each.close()


def haproxy_command() -> tuple[str, ...]:
    """How the oracle is started, without its file."""
    return (require_program("haproxy"),)


def millrace_command() -> tuple[str, ...]:
    """How the program under test is started, without its file."""
    return (sys.executable, "-m", "proxy.cli")


@contextmanager
def _surroundings(side: Side, scenario: Scenario) -> Iterator[None]:
    side.folder.mkdir()
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


def _configuration(side: Side, scenario: Scenario) -> str:
    over = "tcp@" if scenario.over_tcp else ""
    addresses = [f"{over}{nameserver.address}" for nameserver in side.nameservers]
    lines = [f"    nameserver ns{number} {each}" for number, each in enumerate(addresses, 1)]
    text = CONFIGURATION.format(
        socket=side.socket_path,
        nameservers="\n".join(lines),
        pace=scenario.pace,
        holds=scenario.holds,
        backends=scenario.backends,
    )
    return side.own(text)


@contextmanager
def _running(side: Side, scenario: Scenario) -> Iterator[subprocess.Popen[bytes]]:
    file = side.folder / "proxy.cfg"
    file.write_text(_configuration(side, scenario), encoding="utf-8")
    with (side.folder / "output").open("wb") as output:
        child = subprocess.Popen(
            (*side.command, "-f", str(file), "-db"),
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


def _first_query(side: Side, child: subprocess.Popen[bytes]) -> float:
    def asked_or_ended() -> list[float]:
        ended = [0.0] if child.poll() is not None else []
        return [query.at for ns in side.nameservers for query in ns.queries] or ended

    at = min(wait_for(asked_or_ended, START_SECONDS, f"the first query of {side.program}"))
    _must_run(side, child)
    return at


def _must_run(side: Side, child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        output = (side.folder / "output").read_text(errors="replace")
        raise RuntimeError(f"{side.program} ended with {child.returncode}: {output[-1000:]}")


def _observe(side: Side, scenario: Scenario) -> Timeline:
    """Run one side to the scenario's end and note what it shows."""
    timeline = Timeline(side.program)
    with ExitStack() as stack:
        with _starting:
            stack.enter_context(_surroundings(side, scenario))
            child = stack.enter_context(_running(side, scenario))
            begin = _first_query(side, child)
        steps = sorted(scenario.steps, key=lambda step: step.at)
        while (now := time.monotonic() - begin) < scenario.seconds:
            while steps and steps[0].at <= now:
                steps.pop(0).act(side)
            _must_run(side, child)
            with contextlib.suppress(OSError):
                text = side.ask("show servers state").replace(side.network, "NET")
                timeline.add(time.monotonic() - begin, parse_states(text))
            next_step = steps[0].at if steps else scenario.seconds
            time.sleep(max(0.0, min(POLL_SECONDS, begin + next_step - time.monotonic())))
    return timeline


def _network() -> str:
    """A loopback network that no other side of this or another test process has."""
    return f"127.{101 + os.getpid() % 150}.{next(_networks) % 250}"


def observe_all(
    scenario: Scenario, commands: Sequence[tuple[str, tuple[str, ...]]], folder: Path
) -> list[Timeline]:
    """The timelines of several programs in the same scenario at the same time."""
    sides = [
        Side(program, argv, _network(), folder / str(number))
        for number, (program, argv) in enumerate(commands)
    ]
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(len(sides)) as pool:
        return list(pool.map(lambda side: _observe(side, scenario), sides))


def disagreement(scenario: Scenario, subject: tuple[str, ...], folder: Path) -> str:
    """Run the oracle twice and the subject once; '' when they agree, else what each showed.

    Agreeing with one of the two oracles is enough: they differ from each other only in timing.
    Where they differ by more than the tolerance, or could not be asked in time, the machine was too
    busy to tell anything, and the scenario is run again; a subject that disagrees with steady
    oracles gets no second chance.
    """
    oracle = haproxy_command()
    commands = [("haproxy", oracle), ("haproxy again", oracle), ("subject", subject)]
    account = ""
    for attempt in range(ATTEMPTS):
        try:
            timelines = observe_all(scenario, commands, folder / str(attempt))
        except (RuntimeError, OSError, pytest.fail.Exception) as error:
            return f"{scenario.name}: {error}"
        first, second, ours = (timeline.since(COMPARED_FROM_SECONDS) for timeline in timelines)
        oracles_agree = bool(first) and agree(first, second)
        if oracles_agree and (agree(ours, first) or agree(ours, second)):
            return ""
        steady = oracles_agree and not any(timeline.busy for timeline in timelines)
        verdict = "the subject disagrees" if steady else "too busy a machine to tell"
        account = "\n".join([f"{scenario.name}: {verdict}", *(str(line) for line in timelines)])
        if steady:
            break
    return account


def disagreements(
    scenarios: Sequence[Scenario], subject: tuple[str, ...], folder: Path
) -> list[str]:
    """All scenarios at once (they mostly wait); the accounts of those without agreement."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        accounts = pool.map(
            lambda pair: disagreement(pair[1], subject, folder / str(pair[0])), enumerate(scenarios)
        )
        return [account for account in accounts if account]
