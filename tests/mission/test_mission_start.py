"""What a server's address is at the start, and what may change it later: the whole program.

libc asks a nameserver of the test's own: the program runs with another /etc/resolv.conf, in a mount
namespace that ends with it. Without `resolvers` libc's answer is kept for life, with it the first
answer of DNS replaces it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.resolv_conf import nameserver_at_port_53, with_resolv_conf
from tests.support.dns.scripted import NX, SILENT, ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

OLD, NEW, FIXED = "127.0.34.1", "127.0.34.2", "127.0.34.3"
EDGE = "127.0.34.9"

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    dns-accept-family {family}
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 200ms
    timeout retry 200ms
    hold nx 1s
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen l
    bind {edge}:{front}
    server s1 app.test:{port} {words}
"""


class Site:
    """Two nameservers, libc's and the section's own, and backends on one port."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.nameserver = stack.enter_context(ScriptedNameserver())
        self.libc = stack.enter_context(nameserver_at_port_53())
        self.backends: dict[str, NamedBackend] = {}
        self.port = self.serve(OLD, 0)
        for address in (NEW, FIXED):
            self.serve(address, self.port)
        self.front = (EDGE, free_port())

    def serve(self, address: str, port: int) -> int:
        backend = NamedBackend(address, port)
        self.stack.callback(backend.close)
        self.backends[address] = backend
        return backend.port

    def start(self, words: str, family: str = "ipv4", wait: bool = True) -> Program:
        """The program with these words on its only server line."""
        text = CONFIGURATION.format(
            nameserver=self.nameserver.address,
            edge=EDGE,
            front=self.front[1],
            port=self.port,
            words=words,
            family=family,
        )
        wrapper = with_resolv_conf(self.folder, self.libc.host)
        program = Program(self.folder, text, wrapper=wrapper, wait=wait)
        return self.stack.enter_context(program)

    def wait_for_answer(self, address: str) -> None:
        wait_for(lambda: who_answers(self.front) == address, 10.0, f"the server at {address}")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_a_name_without_resolvers_is_resolved_once_and_kept_for_life(site: Site) -> None:
    site.libc.set("app.test", "A", OLD)
    program = site.start("check inter 100ms")
    site.wait_for_answer(OLD)
    asked = len(site.libc.queries)
    assert asked > 0
    site.libc.set("app.test", "A", NEW)
    site.nameserver.set("app.test", "A", NEW)
    assert [who_answers(site.front) for _ in range(5)] == [OLD] * 5
    site.backends[OLD].close()
    wait_for(lambda: program.servers("l")["s1"]["srv_op_state"] == "0", 10.0, "failed checks")
    # a failed check asks again for every name that has resolvers; this one has none
    row = program.servers("l")["s1"]
    assert (row["srv_addr"], row["srv_admin_state"]) == (OLD, "0")
    assert len(site.libc.queries) == asked
    assert not site.nameserver.queries


@pytest.mark.parametrize("words", ["", "init-addr libc,none", "init-addr last,libc"])
def test_libc_gives_the_first_address_and_dns_the_next(site: Site, words: str) -> None:
    site.libc.set("app.test", "A", OLD)
    site.nameserver.set("app.test", "*", SILENT)
    site.start(f"resolvers r1 {words}")
    assert who_answers(site.front) == OLD
    site.nameserver.set("app.test", "A", NEW)
    site.wait_for_answer(NEW)


def test_none_before_libc_asks_nobody_at_the_start(site: Site) -> None:
    site.libc.set("app.test", "A", OLD)
    site.nameserver.set("app.test", "*", SILENT)
    program = site.start("resolvers r1 init-addr none,libc")
    row = program.servers("l")["s1"]
    assert (row["srv_addr"], row["srv_op_state"], row["srv_admin_state"]) == ("-", "0", "32")
    assert who_answers(site.front) is None
    site.nameserver.set("app.test", "A", NEW)
    site.wait_for_answer(NEW)
    assert not site.libc.queries


def test_an_address_of_the_line_serves_until_the_hold_of_an_error_has_passed(site: Site) -> None:
    site.nameserver.set("app.test", "*", NX)
    site.start(f"resolvers r1 init-addr {FIXED}")
    assert who_answers(site.front) == FIXED
    wait_for(lambda: who_answers(site.front) is None, 10.0, "the loss of the address")


def test_without_resolvers_and_without_none_the_start_fails(site: Site) -> None:
    program = site.start("", wait=False)
    assert program.process.wait(PATIENCE_SECONDS) == 1
    assert "could not resolve address 'app.test'" in program.output.read_text()


def has_ipv6_route() -> bool:
    """As HAProxy finds out: nothing is sent."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001::", 53))
        except OSError:
            return False
        return True


@pytest.mark.parametrize("family", ["auto", "ipv4,ipv6", "ipv4"])
def test_auto_accepts_ipv6_only_with_a_route(site: Site, family: str) -> None:
    site.nameserver.set("app.test", "A", NEW)
    site.start("resolvers r1 init-addr none", family)
    site.wait_for_answer(NEW)
    both = family == "ipv4,ipv6" or (family == "auto" and has_ipv6_route())
    kinds = {"A", "AAAA"} if both else {"A"}
    assert {query.rtype for query in site.nameserver.queries} == kinds
