"""Families and names: what is asked for, and what of the answers counts (findings 19 to 21, 23 to 26)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dns.message
import msgspec
import pytest

from resolverd.config import Family, ResolverdSettings
from shm.states import Cause
from tests.support.common import PATIENCE_SECONDS, require_program, wait_for
from tests.support.config.loading import NO_FILE, settings_of
from tests.support.dns.resolution import BOTH, servers
from tests.support.dns.resolv_conf import nameserver_at_port_53
from tests.support.dns.resolverd import ResolverdProcess, make_segment, place_address
from tests.support.dns.scripted import (
    Answer,
    ScriptedNameserver,
    build_reply,
    forged,
    records,
    services,
)
from tests.support.findings.scale import (
    HOST,
    LABEL,
    follows_host,
    follows_label,
    quick_section,
    wait_more_runs,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
ONE, TWO = "127.0.1.1", "127.0.1.2"
SIX = "::1"
KUBERNETES = """\
search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver {host}
options ndots:5
"""
TEXT = """
global
    dns-accept-family {accepted}
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    {defaults}
resolvers r1
    {section}
    timeout resolve 50ms
    timeout retry 60s
listen edge
    bind 127.0.0.1:1
    {server} resolvers r1 init-addr none
"""


def of_text(
    server: str,
    section: str,
    *,
    accepted: str = "ipv4",
    defaults: str = "",
    resolv_conf: str = NO_FILE,
) -> ResolverdSettings:
    """What resolverd is told by a configuration with one server line."""
    text = TEXT.format(server=server, section=section, accepted=accepted, defaults=defaults)
    return settings_of(text, resolv_conf=resolv_conf).resolverd


FAMILIES = """
from tests.support.config.loading import LISTEN, load_text
from proxy.config.text.context import has_ipv6_route
text = 'resolvers r\\n nameserver n 127.0.0.1:53\\n' + LISTEN + ' server s a.test:80 resolvers r\\n'
settings = load_text(text, ipv6=has_ipv6_route()).settings
print(*(family.name for family in settings.resolverd.families))
"""


@pytest.mark.parametrize(
    ("routes", "families"),
    [("true", "IPV4"), ("ip link set lo up && ip -6 route add default dev lo", "IPV4 IPV6")],
)
def test_finding_19_a_host_without_ipv6_never_asks_for_it(routes: str, families: str) -> None:
    """In a network of its own: nothing but what `routes` makes."""
    require_program("ip")
    words = (require_program("unshare"), "--net", "sh", "-c", f'{routes} && exec "$@"', "sh")
    said = subprocess.run(
        (*words, sys.executable, "-c", FAMILIES),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if "Operation not permitted" in said.stderr:
        pytest.skip("no network of its own without root")
    assert said.stdout.strip() == families, said.stderr


@pytest.mark.parametrize(("shared", "expected"), [(False, [ONE, None]), (True, [ONE, ONE])])
def test_finding_20_a_name_without_ipv6_serves_in_its_first_run(
    *, shared: bool, expected: list[str | None]
) -> None:
    """One record for two servers: for both only where the line allows it, as the manual says."""
    of_servers = tuple(msgspec.structs.replace(each, allow_dup_ip=shared) for each in servers(2))
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", ONE)
        section = quick_section(nameserver, resolve_ms=3_600_000, retry_ms=60_000, retries=3)
        settings = follows_host(section, of_servers, BOTH, Family.IPV6)
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait(lambda: resolverd.addresses() == expected, "the address")
            assert [query.rtype for query in nameserver.queries] == ["AAAA", "A"]


def test_finding_21_the_preference_of_default_server_holds_beside_a_restored_address() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", ONE)
        nameserver.set(HOST, "AAAA", SIX)
        settings = of_text(
            f"server web {HOST}:80",
            f"nameserver ns1 {nameserver.address}",
            accepted="ipv4,ipv6",
            defaults="default-server resolve-prefer ipv4",
        )
        segment = make_segment(settings)
        place_address(segment, settings.resolutions[0].servers[0], "::2", Cause.STATE_FILE)
        with ResolverdProcess(settings, segment) as resolverd:
            resolverd.wait_addresses(ONE)
            wait_more_runs(resolverd, 3)
            assert {query.rtype for query in nameserver.queries} == {"A"}


def in_capitals(answer: Answer) -> Answer:
    """The reply with all its names in capitals; no other byte of it is a small letter."""

    def forge(query: dns.message.Message) -> list[bytes]:
        wire = build_reply(query, answer)
        return [wire[:12] + wire[12:].upper()]

    return forged(forge)


def test_finding_23_letter_case_makes_no_difference() -> None:
    words = ("1 8001 h1.test", "1 8002 h2.test")
    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", services(*words, h1_test=ONE, h2_test=TWO))
        with ResolverdProcess(follows_label(quick_section(nameserver), 2)) as resolverd:
            resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h2.test", 8002, TWO, 1))
            before = [resolverd.target(slot) for slot in (0, 1)]
            nameserver.set(LABEL, "SRV", in_capitals(services(*words, h1_test=TWO, h2_test=ONE)))
            resolverd.wait_pairs(("h1.test", 8001, TWO, 1), ("h2.test", 8002, ONE, 1))
            assert [resolverd.target(slot) for slot in (0, 1)] == before
            assert resolverd.counters()["invalid"] == 0


@pytest.mark.parametrize("length", [64, 65, 90, 97, 122, 191])
def test_finding_23_a_label_length_that_could_be_a_letter_is_refused(length: int) -> None:
    """No label is longer than 63 bytes; these lengths lead beyond the name, or the message."""

    def forge(query: dns.message.Message) -> list[bytes]:
        wire = bytearray(build_reply(query, records(TWO)))
        owner = wire.index(b"\xc0\x0c", 12)  # the record's owner points to the question
        return [bytes(wire[:owner]) + bytes([length]) + bytes(wire[owner + 1 :])]

    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", ONE)
        section = quick_section(nameserver, retry_ms=50)
        with ResolverdProcess(follows_host(section, 1)) as resolverd:
            resolverd.wait_addresses(ONE)
            pid = resolverd.pid
            nameserver.set(HOST, "A", forged(forge))
            resolverd.wait(lambda: resolverd.counters()["invalid"] >= 3, "refused replies")
            assert (resolverd.addresses(), resolverd.pid) == ([ONE], pid)
            nameserver.set(HOST, "A", TWO)
            resolverd.wait_addresses(TWO)


@pytest.mark.parametrize("written", ["app.test", "app.test.", "APP.test."])
def test_finding_24_a_dot_at_the_end_changes_nothing(written: str) -> None:
    """The query on the wire is compared, byte for byte."""
    asked: list[bytes] = []

    def forge(query: dns.message.Message) -> list[bytes]:
        asked.append(query.question[0].name.to_wire() or b"")
        return [build_reply(query, records(ONE))]

    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", forged(forge))
        settings = of_text(f"server web {written}:80", f"nameserver ns1 {nameserver.address}")
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(ONE)
            assert set(asked) == {b"\x03app\x04test\0"}


def test_finding_25_a_pods_resolv_conf_finds_short_names(tmp_path: Path) -> None:
    with nameserver_at_port_53() as nameserver:
        nameserver.set("web.svc.cluster.local", "A", ONE)
        file = tmp_path / "resolv.conf"
        file.write_text(KUBERNETES.format(host=nameserver.host))
        settings = of_text(
            "server web web:80 resolve-opts search", "parse-resolv-conf", resolv_conf=str(file)
        )
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(ONE)
            asked = [query.name for query in nameserver.queries]
            assert asked[:2] == ["web.shop.svc.cluster.local", "web.svc.cluster.local"]
            assert set(asked[2:]) <= {"web.svc.cluster.local"}


def test_finding_25_a_cut_answer_is_called_so_with_what_it_held() -> None:
    some = tuple(f"127.6.0.{number}" for number in range(1, 15))
    with ScriptedNameserver() as no_tcp:
        no_tcp.set(HOST, "A", Answer(records=some, truncated=True))
        with ResolverdProcess(follows_host(quick_section(no_tcp), 2)) as resolverd:
            told = (
                f"The answer for '{HOST}' (resolvers r1) was cut and could not be completed over "
            )
            wait_for(lambda: told in "".join(resolverd.log_lines()), 10, "the line")
            (line,) = [line for line in resolverd.log_lines() if told in line]
            assert "it held 14 records, which confirm and add" in line


def test_finding_26_short_names_work_with_a_list_in_the_section() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("db.prod.test", "A", ONE)
        section = f"nameserver ns1 {nameserver.address}\n    search lab.test prod.test\n    ndots 1"
        settings = of_text("server db db:80 resolve-opts search", section)
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(ONE)
            assert [query.name for query in nameserver.queries][:2] == [
                "db.lab.test",
                "db.prod.test",
            ]
            nameserver.set("db.prod.test", "A", TWO)
            resolverd.wait_addresses(TWO)
