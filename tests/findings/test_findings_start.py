"""Findings 56 to 58, 61, 62, 85, 86: a start and a reload, what a name is until it is known."""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.control.site import haproxy
from tests.support.dns.scripted import NX, SILENT, records
from tests.support.program.program import Program, who_answers
from tests.support.program.site import Site

pytestmark = pytest.mark.slow

LABEL = "_web._tcp.app.test"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack, "127.0.56")


class Clients:
    """Clients that come one after the other, from before the start until `end`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.answers: list[str | None] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._come, daemon=True)

    def __enter__(self) -> Clients:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _come(self) -> None:
        while not self.over.wait(0.002):
            self.answers.append(who_answers(self.target))

    def wait_more(self, count: int) -> None:
        """So many more have come."""
        wanted = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= wanted, 10, f"{count} more clients")


def status_of(program: Program, server: str) -> str:
    """The status of a server as `show stat` has it."""
    lines = program.ask("show stat").removeprefix("# ").splitlines()
    return next(
        row["status"] for row in csv.DictReader(lines) if row["svname"] == server
    )  # fmt: skip


def refused_port(site: Site, address: str) -> int:
    """A port of that address without a listener, kept from others."""
    kept = site.stack.enter_context(socket.socket())
    kept.bind((address, 0))
    port: int = kept.getsockname()[1]
    return port


def test_finding_56_no_client_of_a_reload_finds_a_server_without_an_address(site: Site) -> None:
    one = site.serve(1)
    site.nameserver.set("app.test", "A", one)
    site.start("server s1 app.test:{port} resolvers r1 init-addr none")
    site.wait_answering(one)
    site.nameserver.set("app.test", "*", SILENT)  # what is not kept is not found again
    with Clients(site.front) as clients:
        for _ in range(2):
            site.reload()
            clients.wait_more(20)
    assert set(clients.answers) == {one}


def test_finding_57_before_its_first_check_a_server_gets_nobody_at_start_and_reload(
    site: Site,
) -> None:
    """One server's checks fail, and its port would answer: a client that reaches it was sent there unchecked."""
    good, bad = site.serve(1), site.serve(2)
    check = "check inter 200ms init-state down"
    servers = (
        f"server good {good}:{{port}} {check}\n"
        f"    server bad {bad}:{{port}} {check} port {refused_port(site, bad)}"
    )
    with Clients(site.front) as clients:
        site.start(servers)
        for _ in range(2):
            wait_for(lambda: site.answering() == {good}, 10, "the first check")
            site.reload()
            clients.wait_more(20)
    assert site.backends[bad].accepted == 0
    assert set(clients.answers) == {None, good}
    assert None not in clients.answers[clients.answers.index(good) :], "a reload keeps health"


def test_finding_58_one_name_that_is_not_found_stops_no_start(site: Site) -> None:
    one = site.serve(1)
    site.nameserver.set("app.test", "A", one)
    site.nameserver.set("gone.test", "*", NX)
    servers = "server s1 app.test:{port} resolvers r1\n    server s2 gone.test:{port} resolvers r1"
    program = site.start(servers)
    site.wait_answering(one)
    assert program.servers("edge")["s2"]["srv_addr"] == "-"
    site.nameserver.set("gone.test", "A", site.serve(2))
    site.wait_answering(*site.backends)


def test_finding_61_a_name_that_is_found_again_is_down_until_its_check_has_passed(
    site: Site, tmp_path: Path
) -> None:
    one = site.serve(1)
    site.nameserver.set("app.test", "*", NX)
    port = refused_port(site, one)
    line = f"server s1 app.test:{{port}} check port {port} resolvers r1 init-addr none"
    program = site.start(f"{line} init-state down inter 60s")
    with Clients(site.front) as clients:
        clients.wait_more(1)
        site.nameserver.set("app.test", "A", one)
        wait_for(lambda: program.servers("edge")["s1"]["srv_addr"] == one, 10, "the address")
        clients.wait_more(20)
    assert set(clients.answers) == {None}
    assert site.backends[one].accepted == 0
    assert status_of(program, "s1").startswith("DOWN")

    # HAProxy 2.6 knows no such word: it is UP before any check
    site.nameserver.set("app.test", "*", NX)
    front = ("127.0.56.251", free_port())
    text = site.configuration(f"{line} inter 60s").split("\nresolvers", 1)[1]
    text = text.replace("{}:{}".format(*site.front), "{}:{}".format(*front))
    with haproxy(f"\nresolvers{text}", tmp_path):
        assert who_answers(front) is None
        site.nameserver.set("app.test", "A", one)
        wait_for(lambda: who_answers(front) == one, 10, "traffic before any check")


def test_finding_62_a_server_without_an_address_is_told_alike_for_names_and_labels(
    site: Site,
) -> None:
    """And otherwise than one that the operator has put into maintenance."""
    site.port = 80
    site.nameserver.set("app.test", "*", NX)
    site.nameserver.set(LABEL, "*", NX)
    program = site.start(
        "server a app.test:80 resolvers r1 init-addr none\n"
        f"    server b {LABEL} resolvers r1 init-addr none\n"
        "    server c 127.0.56.1:80 disabled"
    )
    site.nameserver.wait_queries(2, LABEL)
    assert {status_of(program, name) for name in "ab"} == {"MAINT (resolution)"}
    assert status_of(program, "c") == "MAINT"
    rows = program.servers("edge")
    states = {name: (row["srv_op_state"], row["srv_admin_state"]) for name, row in rows.items()}
    assert states["a"] == states["b"] == ("0", "32")
    for name in "ab":
        assert "has no address" in program.ask(f"show why edge/{name}").splitlines()[0]


def test_finding_85_86_names_are_followed_whatever_the_start_found_and_clients_ask_nobody(
    site: Site,
) -> None:
    one, two, three = site.serve(1), site.serve(2), site.serve(3)
    site.nameserver.set("app.test", "*", NX)
    site.start(
        "server-template s 3 app.test:{port} resolvers r1",
        defaults="    retries 3\n    option redispatch 1",
    )
    assert site.answering() == {None}
    site.nameserver.set("app.test", "A", one)  # the first lookup failed, a later one does not
    site.wait_answering(one)
    site.nameserver.set("app.test", "A", records(two, three))
    site.wait_answering(two, three)
    site.backends[two].close()  # each address is a server: a failed connect tries the next
    assert site.answering(8) == {three}
    site.nameserver.set("app.test", "A", three)
    site.wait_answering(three)
    asked = len(site.nameserver.queries)
    assert site.answering(200) == {three}
    assert len(site.nameserver.queries) - asked < 150, "questions come by the clock"
