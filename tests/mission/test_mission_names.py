"""One name for many servers: one question for all, one log line for each; and the end of asking."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records
from tests.support.findings.move import LogReceiver
from tests.support.program.program import NamedBackend, Program, greet

pytestmark = pytest.mark.slow

ONE, TWO = "127.0.36.1", "127.0.36.2"
EDGE = "127.0.36.9"
RESOLVE_S = 0.2

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    log {log} local0
    dns-accept-family ipv4
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 200ms
    timeout retry 200ms
defaults
    mode tcp
    log global
    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen l
    bind {edge}:{front}
    server-template web 3 app.test:{port} resolvers r1 init-addr none resolve-opts allow-dup-ip
backend other
    server s1 app.test:{port} resolvers r1 init-addr none
    server s2 APP.test.:{port} resolvers r1 init-addr none
"""


class Site:
    """The running program with its nameserver, its log and a backend at each address."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.nameserver = stack.enter_context(ScriptedNameserver())
        self.log = stack.enter_context(LogReceiver())
        first = NamedBackend(ONE, 0)
        stack.callback(first.close)
        stack.callback(NamedBackend(TWO, first.port).close)
        self.nameserver.set("app.test", "A", records(ONE))
        self.front = (EDGE, free_port())
        text = CONFIGURATION.format(
            log=self.log.address,
            nameserver=self.nameserver.address,
            edge=EDGE,
            front=self.front[1],
            port=first.port,
        )
        self.program = stack.enter_context(Program(folder, text))

    def addresses(self) -> list[str]:
        return [row["srv_addr"] for row in self.program.servers("l").values()]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_five_servers_share_one_resolution_and_say_where_each_address_comes_from(
    site: Site,
) -> None:
    wait_for(lambda: site.addresses() == [ONE] * 3, 10.0, "the first address")
    queries = site.nameserver.wait_queries(4)
    gaps = [later.at - query.at for query, later in itertools.pairwise(queries)]
    assert min(gaps) > RESOLVE_S * 0.8, f"more than one question a round: {gaps}"
    site.nameserver.set("app.test", "A", records(TWO))
    wait_for(lambda: site.addresses() == [TWO] * 3, 10.0, "the other address")
    moved = f"IP changed from '{ONE}' to '{TWO}' by "

    def said() -> list[str]:
        return [line for _, line in site.log.lines if moved in line]

    wait_for(lambda: len(said()) == 4, 10.0, "four lines")
    sources = sorted(line.partition(moved)[2] for line in said())
    # the second server of the other backend has no address of its own to move from
    assert sources == ["'DNS cache'."] * 3 + ["'r1/ns1'."]


def test_nobody_is_asked_any_more_during_a_soft_stop_and_sessions_go_on(site: Site) -> None:
    wait_for(lambda: site.addresses() == [ONE] * 3, 10.0, "the first address")
    greeted = greet(site.front)
    assert greeted is not None
    address, session = greeted
    with session:
        site.program.process.send_signal(signal.SIGUSR1)
        site.log.wait("stopping softly")
        wait_for(
            lambda: time.monotonic() - site.nameserver.queries[-1].at > 5 * RESOLVE_S,
            10.0,
            "the end of questions",
        )
        session.sendall(b"still here")
        assert session.recv(64) == b"still here"
        assert address == ONE
    assert site.program.process.wait(PATIENCE_SECONDS) is not None
