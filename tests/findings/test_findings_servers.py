"""Findings 60, 63, 68, 72, 78, 82, 87: what DNS, checks and sessions make of each other."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import wait_for
from tests.support.config.loading import listen_with, only_alert
from tests.support.dns.scripted import NX, SERVFAIL, records, services
from tests.support.findings.move import BlackHole
from tests.support.program.program import greet, who_answers
from tests.support.program.site import Site

pytestmark = pytest.mark.slow

LABEL = "_web._tcp.app.test"
HOURLY = "timeout resolve 1h\n    hold valid 1h"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack, "127.0.60")


def test_finding_60_a_check_that_times_out_asks_dns_at_once(site: Site) -> None:
    new = site.serve(2)
    old = f"{site.network}.1"
    site.stack.enter_context(BlackHole(old, site.port))
    site.nameserver.set("app.test", "A", old)
    program = site.start(
        "server s1 app.test:{port} check inter 200ms fall 50 resolvers r1 init-addr none",
        pace=HOURLY,
        defaults="    timeout check 200ms",
    )
    site.wait_states(old)
    asked = len(site.nameserver.queries)
    site.nameserver.set("app.test", "A", new)
    site.wait_states(new)  # without the check it would be an hour
    assert len(site.nameserver.queries) - asked <= 3
    site.wait_answering(new)
    assert "the last answer has it" in program.ask("show why edge/s1")


def test_finding_63_who_shares_an_address_is_told_and_a_word_allows_it(site: Site) -> None:
    """As HAProxy: the port makes no difference. What is better: the reason is there to read."""
    one = site.serve(1)
    site.nameserver.set("app.test", "A", one)
    allowed = "resolve-opts allow-dup-ip"
    line = "server {} app.test:{} resolvers r1 init-addr none"
    servers = [line.format("s1", site.port), line.format("s2", 81)]
    more = "\n    ".join(["backend be", *(f"{each} {allowed}" for each in servers)])
    program = site.start("\n    ".join(servers), more=more)
    rows = site.wait_states(one)
    assert (rows["s1"]["srv_addr"], rows["s2"]["srv_addr"]) == (one, "-")
    reason = "no address: each record is held by another server of the backend"
    assert f"server edge/s2: (none); {reason}" in program.ask("show resolution app.test")
    rows = program.servers("be")
    assert [(row["srv_addr"], row["srv_port"]) for row in rows.values()] == [
        (one, str(site.port)),
        (one, "81"),
    ]


def session_with(site: Site, address: str, target: tuple[str, int]) -> socket.socket:
    """An open session with that server."""

    def found() -> socket.socket | None:
        greeted = greet(target)
        if greeted is None:
            return None
        site.stack.callback(greeted[1].close)
        return greeted[1] if greeted[0] == address else None

    return wait_for(found, 10, f"a session with {address}")


def test_finding_72_78_a_removed_server_gets_no_new_session_and_old_ones_end_as_the_line_says(
    site: Site,
) -> None:
    """Its checks pass all the time: they say nothing about what DNS has taken away."""
    one, two = site.serve(1), site.serve(2)
    site.nameserver.set("app.test", "A", records(one, two))
    line = "server-template s 2 app.test:{port} check inter 100ms resolvers r1 init-addr none"
    front = (f"{site.network}.251", site.front[1])
    shutting = f"listen more\n    bind {front[0]}:{front[1]}\n    {line} on-removed shutdown"
    site.start(line, more=shutting)
    kept, ended = (session_with(site, one, target) for target in (site.front, front))
    site.nameserver.set("app.test", "A", two)
    site.wait_answering(two)
    wait_for(lambda: {who_answers(front) for _ in range(4)} == {two}, 10, "the other one")
    assert ended.recv(1) == b""
    kept.sendall(b"?")
    assert kept.recv(1) == b"?"


def test_finding_82_no_client_meets_a_change_of_the_table_as_a_failure(site: Site) -> None:
    one, two = site.serve(1), site.serve(2)
    site.nameserver.set("app.test", "A", one)
    program = site.start(
        "server s1 app.test:{port} resolvers r1 init-addr none", pace="timeout resolve 10ms"
    )
    site.wait_answering(one)
    answers = []
    turns = itertools.cycle((two, one))
    for _ in range(25):
        site.nameserver.set("app.test", "A", next(turns))
        answers += [who_answers(site.front) for _ in range(20)]
    assert set(answers) == {one, two}
    changes = int(program.ask("show why edge/s1").split("generation ")[1].split(",")[0])
    assert changes >= 5


def test_finding_87_servers_of_a_label_keep_their_place_and_their_health_through_failures(
    site: Site,
) -> None:
    one, two = site.serve(1), site.serve(2)
    port = site.port
    site.nameserver.set(
        LABEL, "SRV", services(f"1 {port} h1.test", f"1 {port} h2.test", h1_test=one, h2_test=two)
    )
    program = site.start(
        f"server-template s 3 {LABEL} check inter 50ms fall 1 resolvers r1 init-addr none"
    )
    site.wait_answering(one, two)
    site.backends[two].close()
    wait_for(lambda: site.answering() == {one}, 10, "the check of a server of a record")
    for failure in (SERVFAIL, NX):
        site.nameserver.set(LABEL, "SRV", failure)
        site.nameserver.wait_queries(len(site.nameserver.asked(LABEL)) + 3, LABEL)
        rows = site.wait_states(one, two)  # both hold for 30 s
        health = {row["srv_addr"]: row["srv_op_state"] for row in rows.values()}
        assert (health[one], health[two]) == ("2", "0")
        assert site.answering() == {one}
    assert "hold nx" in program.ask(f"show resolution {LABEL}")


def test_finding_68_the_name_of_a_check_is_resolved_once_or_refused() -> None:
    place, text = only_alert(listen_with("server s 127.0.0.2:80 check addr check.invalid"))
    assert (place, "cannot resolve host name 'check.invalid'" in text) == (7, True)
