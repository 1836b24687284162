"""A scenario, and its side in one program: what is configured, what happens when, what is seen.

A program plays several scenarios at the same time, in one process: each has sections of its own
there, whose names carry its number. A side's clock starts with the first query that its nameservers
get, so the time that a program takes to start does not matter. In scenarios `NET` stands for the
side's own loopback network (three octets): configuration, records and states are written with it.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS
from tests.support.differential.timeline import Timeline, parse_states
from tests.support.dns.scripted import Answer, ScriptedNameserver

SERVER_PORT = 18080

RESOLVERS = """\
resolvers r1
{nameservers}
    accepted_payload_size 8192
{pace}
    hold valid 1s
{holds}
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


@dataclass(frozen=True, eq=False)
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
    """One scenario in one program, with its surroundings."""

    program: str
    scenario: Scenario
    number: int  # in its program
    network: str
    folder: Path  # the program's
    timeline: Timeline
    steps: list[Step]
    begin: float = 0.0
    nameservers: list[ScriptedNameserver] = field(default_factory=list)
    lifetimes: list[ExitStack] = field(default_factory=list)  # one per nameserver; closing ends it
    servers: dict[str, Server] = field(default_factory=dict)

    def own(self, text: str) -> str:
        """The scenario's text with this side's network."""
        return text.replace("NET", self.network)

    def configuration(self) -> str:
        """The sections of this side, each with its number behind its name."""
        over = "tcp@" if self.scenario.over_tcp else ""
        addresses = [f"{over}{nameserver.address}" for nameserver in self.nameservers]
        lines = [f"    nameserver ns{number} {each}" for number, each in enumerate(addresses, 1)]
        resolvers = RESOLVERS.format(
            nameservers="\n".join(lines), pace=self.scenario.pace, holds=self.scenario.holds
        )
        text = self.own(f"{resolvers}{self.scenario.backends}\n")
        return re.sub(r"\b(resolvers|^backend) (\w+)", rf"\1 \2-{self.number}", text, flags=re.M)

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

    def command(self, text: str) -> None:
        """Give a command about `<backend>/<server>` on the statistics socket."""
        ask(self.folder, re.sub(r"\b(\w+)/", rf"\1-{self.number}/", self.own(text)))

    def asked(self) -> bool:
        """Whether a nameserver was asked, with which the clock starts."""
        times = [query.at for nameserver in self.nameservers for query in nameserver.queries]
        self.begin = min(times, default=0.0)
        return bool(times)

    def act(self) -> None:
        """Take the steps that are due."""
        while self.steps and self.steps[0].at <= time.monotonic() - self.begin:
            self.steps.pop(0).act(self)

    def look(self, shown: list[str]) -> None:
        """Note what of `show servers state` is about this side."""
        mine = re.compile(rf"\S+ (\w+)-{self.number} ")
        lines = [line for line in shown[2:] if mine.match(line)]
        text = "\n".join([*shown[:2], *lines]).replace(f"{self.network}.", "NET.")
        states = parse_states(text)
        ending = f"-{self.number}"
        own = tuple((name.removesuffix(ending), servers) for name, servers in states)
        self.timeline.add(time.monotonic() - self.begin, own)


def ask(folder: Path, command: str) -> str:
    """What the statistics socket answers to one command."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(folder / "s"))
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
    """Give this command on the statistics socket."""

    return Step(at, lambda side: side.command(text))


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
