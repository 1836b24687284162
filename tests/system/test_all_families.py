"""`resolve-opts all-families`, the whole program with a scripted dual-stack name (M3)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import wait_for
from tests.support.dns.scripted import NODATA, SERVFAIL, Answer, ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

FOURS, SIXES = {"127.0.77.1", "127.0.77.2"}, {"::71", "::72"}
CONFIGURATION = """
global
    nbthread 1
    stats socket {socket} level admin
    dns-accept-family ipv4,ipv6
defaults
    mode tcp
    timeout connect 1s
    timeout client 600s
    timeout server 600s
resolvers r1
    nameserver ns1 %s
    timeout resolve 200ms
    timeout retry 100ms
    resolve_retries 2
    hold other %s
listen edge
    bind 127.0.77.9:18079
    server-template web 4 app.test:80 resolvers r1 init-addr none resolve-opts all-families
"""


class Site:
    """The program and its nameserver."""

    def __init__(self, program: Program, nameserver: ScriptedNameserver) -> None:
        self.program, self.nameserver = program, nameserver

    def answer(self, kind: str, answer: Answer | set[str]) -> None:
        is_answer = isinstance(answer, Answer)
        self.nameserver.set("app.test", kind, answer if is_answer else sorted(answer))

    @property
    def addresses(self) -> set[str]:
        rows = self.program.servers("edge").values()
        return {row["srv_addr"] for row in rows} - {"-"}

    def wait_for(self, expected: set[str]) -> None:
        wait_for(lambda: self.addresses == expected, 10, f"{expected}")

    def wait_for_runs(self, count: int) -> None:
        """So many runs end from now on."""
        asked = len(self.nameserver.asked("app.test", "A"))
        self.nameserver.wait_queries(asked + count + 1, "app.test", "A")


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    hold = getattr(request, "param", "3s")
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", sorted(FOURS))
        nameserver.set("app.test", "AAAA", sorted(SIXES))
        with Program(tmp_path, CONFIGURATION % (nameserver.address, hold)) as program:
            made = Site(program, nameserver)
            made.wait_for(FOURS | SIXES)
            yield made


def test_all_four_servers_are_used_and_a_failing_family_goes_alone_and_comes_back(
    site: Site,
) -> None:
    site.answer("AAAA", SERVFAIL)
    site.wait_for_runs(3)
    assert site.addresses == FOURS | SIXES, "within the hold"
    site.wait_for(FOURS)
    site.answer("AAAA", SIXES)
    site.wait_for(FOURS | SIXES)
    site.answer("A", NODATA)
    site.wait_for(SIXES)
    said = site.program.ask("show resolution app.test")
    assert "(resolvers r1, AAAA+A)" in said
    assert {"AAAA", "A"} == {line.split(", ")[1] for line in said.splitlines() if "ns1: " in line}
    assert "AAAA+A" in site.program.ask("show why edge/web1")


def test_news_of_one_family_does_not_wait_for_the_retries_of_the_other(site: Site) -> None:
    site.answer("AAAA", SERVFAIL)
    site.answer("A", {"127.0.77.3"})
    site.wait_for({"127.0.77.3"} | SIXES)


@pytest.mark.parametrize("site", ["60s"], indirect=True)
@pytest.mark.parametrize("how", ["kill", "reload"])
def test_a_successor_knows_that_a_family_is_on_its_hold(site: Site, how: str) -> None:
    site.answer("AAAA", SERVFAIL)
    site.wait_for_runs(1)
    program = site.program
    (before,) = program.children()["resolverd"]
    if how == "kill":
        os.kill(before, signal.SIGKILL)
    else:
        program.process.send_signal(signal.SIGUSR2)

    def succeeded() -> bool:
        return program.children().get("resolverd", [before]) not in ([], [before])

    wait_for(succeeded, 10, "another resolverd")
    site.nameserver.forget()
    site.wait_for_runs(3)
    assert site.addresses == FOURS | SIXES
    site.answer("A", {"127.0.77.3"})
    site.wait_for({"127.0.77.3"} | SIXES)


def test_a_client_whose_server_of_one_family_refuses_gets_the_other(tmp_path: Path) -> None:
    """haproxy/haproxy#2472: the name has an IPv6 address, and no listener is there."""
    backend = NamedBackend("127.0.77.1", 0)
    configuration = CONFIGURATION.replace("app.test:80", f"app.test:{backend.port}")
    configuration = configuration.replace("    mode tcp", "    mode tcp\n    option redispatch 1")
    try:
        with ScriptedNameserver() as nameserver:
            nameserver.set("app.test", "A", "127.0.77.1")
            nameserver.set("app.test", "AAAA", "::1")
            with Program(tmp_path, configuration % (nameserver.address, "3s")) as program:
                Site(program, nameserver).wait_for({"::1", "127.0.77.1"})
                answers = [who_answers(("127.0.77.9", 18079)) for _ in range(8)]
                tried = program.ask("show stat").splitlines()
    finally:
        backend.close()
    assert answers == ["127.0.77.1"] * 8
    names = tried[0].removeprefix("# ").split(",")
    rows = {
        row[1]: dict(zip(names, row, strict=False))
        for row in (t.split(",") for t in tried)
        if row[1:]
    }
    assert sum(int(rows[f"web{n}"]["wredis"] or 0) for n in range(1, 5)) > 0, "IPv6 was tried"
