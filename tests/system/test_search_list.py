"""Short names through a search list, the whole program: scripted and real nameservers (M13)."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.dns.recursive import unbound
from tests.support.dns.scripted import Answer, ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

EDGE = "127.85.0.1"
ADDRESSES = ["127.85.1.1", "127.85.1.2"]
CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    dns-accept-family ipv4
    log stdout format raw local0
resolvers r1
    nameserver ns1 {nameserver}
    search a.test shop.test
    ndots {ndots}
    timeout resolve 100ms
    timeout retry 300ms
    hold nx 500ms
    hold timeout 500ms
{more}
listen edge
    mode tcp
    bind {edge}:{front}
    timeout connect 1s
    timeout client 600s
    timeout server 600s
    server-template s 1 {name}:{port} resolvers r1 init-addr none resolve-opts search
"""


class Site:
    """An edge, its backends on one port, and the log of the program."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.front = (EDGE, free_port())
        first = NamedBackend(ADDRESSES[0], 0)
        stack.callback(first.close)
        self.port = first.port
        for address in ADDRESSES[1:]:
            stack.callback(NamedBackend(address, self.port).close)

    def start(self, nameserver: str, name: str = "web", ndots: int = 1, more: str = "") -> Program:
        """`more`: lines of the `resolvers` section, which win over those before."""
        text = CONFIGURATION.format(
            more=more,
            nameserver=nameserver,
            ndots=ndots,
            edge=EDGE,
            front=self.front[1],
            port=self.port,
            name=name,
        )
        return self.stack.enter_context(Program(self.folder, text))

    def wait_for_answer(self, address: str | None) -> None:
        wait_for(lambda: who_answers(self.front) == address, 10.0, f"{address} behind the edge")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_a_short_name_is_found_and_followed_through_its_list(site: Site) -> None:
    with ScriptedNameserver("127.85.0.53") as nameserver:
        nameserver.set("web.shop.test", "A", ADDRESSES[0])
        program = site.start(nameserver.address)
        site.wait_for_answer(ADDRESSES[0])
        names = [query.name for query in nameserver.queries]
        assert names[:2] == ["web.a.test", "web.shop.test"]
        assert set(names[2:]) <= {"web.shop.test"}
        found = "'web' is found as 'web.shop.test' (search list of resolvers 'r1')."
        wait_for(lambda: found in program.output.read_text(), 5, "it is told where it was found")
        assert program.output.read_text().count(found) == 1
        # the name that answered is gone: the whole list is walked, to its end
        nameserver.set("web.shop.test", "*", Answer(rcode=3))
        nameserver.set("web", "A", ADDRESSES[1])
        site.wait_for_answer(ADDRESSES[1])
        # killed, it begins with the list again
        (pid,) = program.children()["resolverd"]
        nameserver.forget()
        nameserver.set("web.a.test", "A", ADDRESSES[0])
        os.kill(pid, signal.SIGKILL)
        site.wait_for_answer(ADDRESSES[0])


def test_an_outage_of_one_domain_leads_nobody_to_the_namesake_in_another(site: Site) -> None:
    with ScriptedNameserver("127.85.0.53") as nameserver:
        nameserver.set("web.a.test", "A", ADDRESSES[0])
        nameserver.set("web.shop.test", "A", ADDRESSES[1])
        site.start(nameserver.address)
        site.wait_for_answer(ADDRESSES[0])
        nameserver.set("web.a.test", "*", Answer(rcode=2))
        nameserver.forget()
        nameserver.wait_queries(9, "web.a.test")  # three failed runs
        assert not nameserver.asked("web.shop.test")


def test_a_name_with_enough_dots_is_asked_for_as_written_first(site: Site) -> None:
    with ScriptedNameserver("127.85.0.53") as nameserver:
        nameserver.set("web.x.shop.test", "A", ADDRESSES[0])
        site.start(nameserver.address, name="web.x")
        site.wait_for_answer(ADDRESSES[0])
        names = [query.name for query in nameserver.queries]
        assert names[:3] == ["web.x", "web.x.a.test", "web.x.shop.test"]


def test_a_dot_at_the_end_and_an_srv_label_are_never_searched(site: Site) -> None:
    with ScriptedNameserver("127.85.0.53") as nameserver:
        nameserver.set("_web._tcp", "SRV", f"0 1 {site.port} host.")
        nameserver.set("host", "A", ADDRESSES[0])
        program = site.start(nameserver.address, name="_web._tcp")
        site.wait_for_answer(ADDRESSES[0])
        assert {query.name for query in nameserver.queries} == {"_web._tcp", "host"}
        program.stop()
        nameserver.forget()
        nameserver.set("web", "A", ADDRESSES[1])
        site.start(nameserver.address, name="web.", ndots=5)
        site.wait_for_answer(ADDRESSES[1])
        assert {query.name for query in nameserver.queries} == {"web"}


def test_a_short_name_is_found_through_unbound(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "unbound"
    folder.mkdir()
    with (
        Nsd(tmp_path, "shop.test", [f"web IN A {ADDRESSES[0]}"], "127.85.0.54") as nsd,
        unbound(folder, nsd, "127.85.0.55") as resolver,
    ):
        site.start(resolver.endpoint, ndots=2)
        site.wait_for_answer(ADDRESSES[0])
        nsd.set_records([f"web IN A {ADDRESSES[1]}"])
        site.wait_for_answer(ADDRESSES[1])
        nsd.set_records([])
        site.wait_for_answer(None)
        nsd.set_records([f"web IN A {ADDRESSES[0]}"])
        site.wait_for_answer(ADDRESSES[0])


def test_a_dead_nameserver_holds_no_walk_up(site: Site) -> None:
    """Each attempt that waits for it would take an hour."""
    domains = [f"{each}.test" for each in "abcdef"]
    with (
        ScriptedNameserver("127.85.0.53") as nameserver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead,
    ):
        dead.bind(("127.85.0.54", 0))
        nameserver.set("web.f.test", "A", ADDRESSES[0])
        more = f"""
    nameserver ns2 127.85.0.54:{dead.getsockname()[1]}
    search {" ".join(domains)}
    timeout retry 1h
"""
        program = site.start(nameserver.address, more=more)
        site.wait_for_answer(ADDRESSES[0])
        names = [query.name for query in nameserver.queries]
        assert names[:6] == [f"web.{domain}" for domain in domains]
        (pid,) = program.children()["resolverd"]
        nameserver.forget()
        os.kill(pid, signal.SIGKILL)  # its successor knows nothing of the dead one
        nameserver.wait_queries(2, "web.f.test")
        nameserver.set("web.f.test", "A", ADDRESSES[1])
        site.wait_for_answer(ADDRESSES[1])
