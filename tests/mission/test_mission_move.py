"""A server moves while `timeout resolve` is an hour: a connect time-out finds its new address.

Seen by client traffic and by health checks, for a server by name, for a slot of an SRV record with
an additional record, and for one whose target is resolved on its own. The old address is a listener
whose queue is full. Times are those of events: a client's connect, log lines as they arrive. A
machine that pauses a process proves nothing, so a scenario may be run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records, services
from tests.support.findings.move import BlackHole, LogReceiver, moves
from tests.support.program.program import NamedBackend, Program, greet, who_answers

pytestmark = [pytest.mark.slow, pytest.mark.quiet]

OLD, NEW = "127.0.31.1", "127.0.31.2"
CONNECT_S = 0.3
WITHIN_S = 0.1
CLIENTS = 10
ATTEMPTS = 3

HEAD = """
global
    nbthread 2
    stats socket {{socket}} level admin
    log {log} local0
    dns-accept-family ipv4
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 1h
    hold valid 1h
defaults
    mode tcp
    log global
    timeout connect 300ms
    timeout check 300ms
    timeout client 600s
    timeout server 600s
"""
SERVERS = {
    "name": "server s1 app.test:{port}",
    "additional": "server s1 _web._tcp.app.test",
    "target": "server s1 _own._tcp.app.test",
}
LISTEN = """
listen {kind}
    bind 127.0.31.9:{front}
    {server} resolvers r1 init-addr none {check}
"""


@dataclass
class Site:
    """The running program, what it logs, the nameserver and the listeners' ports."""

    program: Program
    log: LogReceiver
    nameserver: ScriptedNameserver
    fronts: dict[str, tuple[str, int]]


def speak(nameserver: ScriptedNameserver, port: int) -> None:
    """The first answer about each server is its old address, every later one its new address."""
    nameserver.set("app.test", "A", moves(records(OLD), records(NEW)))
    web = f"1 {port} h1.test"
    nameserver.set(
        "_web._tcp.app.test", "SRV", moves(services(web, h1_test=OLD), services(web, h1_test=NEW))
    )
    nameserver.set("_own._tcp.app.test", "SRV", services(f"1 {port} h2.test"))
    nameserver.set("h2.test", "A", moves(records(OLD), records(NEW)))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    """Starts everything anew, with these words on the server lines."""
    with ExitStack() as everything:
        stack = everything.enter_context(ExitStack())

        def start(check: str) -> Site:
            stack.close()
            nameserver = stack.enter_context(ScriptedNameserver())
            log = stack.enter_context(LogReceiver())
            hole = stack.enter_context(BlackHole(OLD))
            stack.callback(NamedBackend(NEW, hole.port).close)
            speak(nameserver, hole.port)
            fronts = {kind: ("127.0.31.9", free_port()) for kind in SERVERS}
            text = HEAD.format(log=log.address, nameserver=nameserver.address) + "".join(
                LISTEN.format(
                    kind=kind,
                    front=fronts[kind][1],
                    server=server.format(port=hole.port),
                    check=check,
                )
                for kind, server in SERVERS.items()
            )
            program = stack.enter_context(Program(tmp_path, text))
            return Site(program, log, nameserver, fronts)

        yield start


def changed(kind: str) -> str:
    return f"{kind}/s1: IP changed from '{OLD}' to '{NEW}'"


def traffic(site: Site, kind: str) -> float:
    """How long after the first connect time-out the new address was in use; no client fails."""
    wait_for(lambda: site.program.servers(kind)["s1"]["srv_addr"] == OLD, 10.0, "the old address")
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        served = list(pool.map(lambda _: greet(site.fronts[kind], 10.0), range(CLIENTS)))
    assert [greeted and greeted[0] for greeted in served] == [NEW] * CLIENTS, "a client failed"
    for greeted in served:
        assert greeted is not None
        greeted[1].close()
    assert who_answers(site.fronts[kind]) == NEW
    return site.log.wait(changed(kind)) - (began + CONNECT_S)


def check(site: Site, kind: str) -> float:
    """How long after the first failed check the new address was in use."""
    failed = site.log.wait(f"Server {kind}/s1 is DOWN, reason: Layer4 timeout")
    found = site.log.wait(changed(kind)) - failed
    wait_for(lambda: who_answers(site.fronts[kind]) == NEW, 5.0, "traffic at the new address")
    return found


@pytest.mark.parametrize(
    ("measure", "words"), [(traffic, ""), (check, "check inter 300ms fall 1 rise 1")]
)
def test_a_connect_timeout_finds_the_new_address_within_100_ms(
    measure: Callable[[Site, str], float], words: str, site: Callable[[str], Site]
) -> None:
    late: dict[str, float] = {}
    for _ in range(ATTEMPTS):
        started = site(words)
        took = {kind: round(measure(started, kind), 3) for kind in SERVERS}
        assert len(started.nameserver.asked("app.test")) == 2, "one question, one more for the move"
        late = {kind: seconds for kind, seconds in took.items() if seconds > WITHIN_S}
        if not late:
            return
    pytest.fail(f"new addresses in use too late after the time-out: {late}")
