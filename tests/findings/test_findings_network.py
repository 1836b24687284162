"""Findings 42 to 47: networks that change under a resolver, and nameservers that cannot be reached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import dns.message
import pytest

from resolverd.config import Nameserver, ResolversSection
from resolverd.transport.udp import SOCKETS_MAX
from tests.support.config.loading import LISTEN, load_text, said
from tests.support.control.site import ask, haproxy
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import SILENT, ScriptedNameserver, build_reply, forged, records
from tests.support.program.program import Program

pytestmark = pytest.mark.slow

ONE, TWO = "127.0.42.1", "127.0.42.2"
NAMES = [f"n{number}.test" for number in range(64)]  # enough to have most sockets in use
HAPROXY = """
resolvers r1
  nameserver ns1 {nameserver}
  timeout resolve 50ms
  timeout retry 50ms
  hold obsolete 60s
backend be
  mode tcp
  timeout connect 1s
  timeout server 1s
  server s1 app.test:80 resolvers r1 init-addr none resolve-prefer ipv4
"""


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        yield started


def section_of(
    *nameservers: ScriptedNameserver, resolve_ms: int = 300, retries: int = 3, retry_ms: int = 250
) -> ResolversSection:
    return ResolversSection(
        "r1",
        tuple(
            Nameserver(f"ns{index + 1}", each.host, each.port, index=index)
            for index, each in enumerate(nameservers)
        ),
        resolve_retries=retries,
        timeout_resolve_ms=resolve_ms,
        timeout_retry_ms=retry_ms,
    )


class Middlebox:
    """From `forget` on, nothing comes back to any port that was used before."""

    def __init__(self, nameserver: ScriptedNameserver, address: str) -> None:
        self.nameserver, self.address = nameserver, address
        self.dead: set[tuple[str, int]] = set()
        self.lost: list[str] = []

    def forget(self, address: str) -> None:
        """Former flows are dead, and what the nameserver says has changed."""
        self.dead = {query.source for query in self.nameserver.queries}
        self.address = address

    def reply(self, query: dns.message.Message) -> list[bytes]:
        asked = self.nameserver.queries[-1]  # this one: it is noted before it is answered
        if asked.source in self.dead:
            self.lost.append(asked.name)
            return []
        return [build_reply(query, records(self.address))]


def test_finding_42_44_after_dead_flows_each_name_loses_one_question(
    nameserver: ScriptedNameserver, tmp_path: Path
) -> None:
    box = Middlebox(nameserver, ONE)
    section = section_of(nameserver, retry_ms=2_000)  # a slow nameserver renews no port before
    resolutions = []
    for index, name in enumerate(NAMES):
        nameserver.set(name, "A", forged(box.reply))
        one = servers(1, backend=index, first_slot=index)
        resolutions.append(resolution_settings(one, name=name, index=index))
    with ResolverdProcess(settings_of(section, *resolutions)) as resolverd:
        resolverd.wait_addresses(*[ONE] * len(NAMES))
        assert len({query.source for query in nameserver.queries}) > SOCKETS_MAX // 2
        box.forget(TWO)
        resolverd.wait_addresses(*[TWO] * len(NAMES))
    assert sorted(box.lost) == sorted(set(box.lost)), "a retry goes out from a new port"

    # the same in HAProxy: one port for ever, and it stays where it was
    box = Middlebox(nameserver, ONE)
    nameserver.set("app.test", "A", forged(box.reply))
    with haproxy(HAPROXY.format(nameserver=nameserver.address), tmp_path) as path:
        nameserver.wait_queries(2, "app.test")
        box.forget(TWO)
        asked = len(nameserver.asked("app.test", "A"))
        nameserver.wait_queries(asked + 8, "app.test", "A")
        assert len({query.source for query in nameserver.asked("app.test", "A")}) == 1
        assert f" {ONE} " in ask(path, "show servers state be")


def test_finding_43_a_question_without_an_answer_is_counted_as_a_timeout(
    nameserver: ScriptedNameserver, tmp_path: Path
) -> None:
    nameserver.set("app.test", "*", SILENT)
    section = section_of(nameserver, retries=1)
    names = resolution_settings(servers(1))
    with ResolverdProcess(settings_of(section, names)) as resolverd:
        resolverd.wait(lambda: resolverd.record()["runs"] >= 2, "two runs")
        counters = resolverd.counters()
        assert counters["timeout"] >= 2
        assert counters["sent"] - counters["timeout"] <= 1, "one may still be under way"

    # HAProxy: sent, and nothing else
    with haproxy(HAPROXY.format(nameserver=nameserver.address), tmp_path) as path:
        asked = len(nameserver.asked("app.test"))
        nameserver.wait_queries(asked + 8, "app.test")
        told = dict(re.findall(r"(\w+):\s+(\d+)", ask(path, "show resolvers r1")))
        assert int(told.pop("sent")) >= 8
        assert {value for name, value in told.items() if name != "ns1"} == {"0"}


PROGRAM = """
global
    nbthread 1
    stats socket {{socket}} level admin
resolvers r1
    nameserver nowhere 255.255.255.255:53
    nameserver ns1 {nameserver}
    timeout resolve 100ms
    timeout retry 100ms
backend be
    mode tcp
    timeout connect 1s
    timeout server 1s
    server s1 app.test:80 resolvers r1 init-addr none resolve-prefer ipv4
"""


def test_finding_45_a_nameserver_without_a_route_neither_stops_the_start_nor_the_others(
    nameserver: ScriptedNameserver, tmp_path: Path
) -> None:
    nameserver.set("app.test", "A", ONE)
    with Program(tmp_path, PROGRAM.format(nameserver=nameserver.address)) as program:
        nameserver.wait_queries(2, "app.test", "A")
        told = program.ask("show resolvers r1")
        nowhere = told[: told.index("nameserver ns1")]
        assert int(re.findall(r"snd_error:\s+(\d+)", nowhere)[0]) >= 1
        assert program.servers("be")["s1"]["srv_addr"] == ONE


@pytest.mark.parametrize("content", [None, "", "search a.test\n", "nameserver no.address\n\xff\n"])
def test_finding_46_no_start_depends_on_a_resolv_conf_that_nobody_names(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "resolv.conf"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    outcome = load_text(f"{LISTEN}    server s 127.0.0.2:80\n", resolv_conf=str(file))
    assert (outcome.settings is not None, said(outcome)) == (True, [])
    assert outcome.settings is not None
    assert outcome.settings.resolverd.sections == ()


def test_finding_47_the_nameservers_of_the_file_are_asked_again_after_they_were_away() -> None:
    with ScriptedNameserver() as first:
        section = section_of(first, resolve_ms=100, retries=1)
    with ResolverdProcess(settings_of(section, resolution_settings(servers(1)))) as resolverd:
        for address in (ONE, TWO):  # it is away before each
            errors = resolverd.counters()["snd_error"]
            resolverd.wait(lambda: resolverd.counters()["snd_error"] >= errors + 2, "errors")  # noqa: B023
            with ScriptedNameserver(first.host, first.port) as again:
                again.set("app.test", "A", address)
                resolverd.wait_addresses(address)
