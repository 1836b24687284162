"""resolverd as a real process where UDP is not enough: cut answers, and nameservers over TCP."""

from __future__ import annotations

import time

import pytest

from resolverd.config import Family, Holds, Nameserver, ResolverdSettings, ResolversSection
from resolverd.config import Transport as Carrier
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import IPV4_ONLY, ResolverdProcess, settings_of
from tests.support.dns.scripted import NX, Answer, ScriptedNameserver, services
from tests.support.generated import sample

ONE, TWO = "127.0.1.1", "127.0.1.2"
BOTH = (Family.IPV4, Family.IPV6)
RECORDS = sample(60, full=200)  # many times what a datagram holds without EDNS


def settings(
    *nameservers: ScriptedNameserver,
    count: int = 2,
    name: str = "app.test",
    carrier: Carrier = Carrier.UDP,
    holds: Holds | None = None,
    families: tuple[Family, ...] = IPV4_ONLY,
    retries: int = 1,
    retry_ms: int = 300,
) -> ResolverdSettings:
    section = ResolversSection(
        name="r1",
        nameservers=tuple(
            Nameserver(f"ns{index}", each.host, each.port, carrier, index)
            for index, each in enumerate(nameservers)
        ),
        resolve_retries=retries,
        timeout_resolve_ms=100,
        timeout_retry_ms=retry_ms,
        holds=holds or Holds(),
    )
    return settings_of(section, resolution_settings(servers(count), name=name), families=families)


@pytest.mark.slow
def test_three_hundred_addresses_are_more_than_udp_brings() -> None:
    many = [f"127.3.{n // 250}.{n % 250 + 1}" for n in range(300)]
    with ScriptedNameserver(tcp=True, truncates=True) as nameserver:
        nameserver.set("app.test", "A", many)
        with ResolverdProcess(settings(nameserver, count=300, retry_ms=60_000)) as resolverd:
            resolverd.wait_addresses(*many)
            nameserver.set("app.test", "A", many[:-1])
            resolverd.wait_addresses(*many[:-1], None)
            counters = resolverd.counters()
            assert (counters["truncated"], counters["too_big"]) == (0, 0)


@pytest.mark.slow
def test_what_a_cut_answer_holds_adds_and_removes_nothing_soon() -> None:
    with ScriptedNameserver() as no_tcp:
        no_tcp.set("app.test", "A", [ONE])
        holds = Holds(other_ms=1_500)
        with ResolverdProcess(settings(no_tcp, holds=holds)) as resolverd:
            resolverd.wait_addresses(ONE, None)
            valid = no_tcp.queries[-1].at
            no_tcp.set("app.test", "A", Answer(records=(TWO,), truncated=True))
            resolverd.wait_addresses(ONE, TWO)
            resolverd.wait_addresses(TWO, None)
            assert time.monotonic() - valid > holds.other_ms / 1_000


@pytest.mark.slow
def test_nx_and_a_cut_answer_without_tcp_ask_the_other_family_at_once() -> None:
    with ScriptedNameserver() as first, ScriptedNameserver() as second:
        first.set("app.test", "A", NX)
        second.set("app.test", "A", Answer(truncated=True))
        second.set("app.test", "AAAA", "::1")
        late = settings(first, second, families=BOTH, retries=3, retry_ms=100_000)
        with ResolverdProcess(late) as resolverd:
            resolverd.wait_addresses("::1", None)
            asked, again = second.asked("app.test")[:2]
            assert (asked.rtype, again.rtype) == ("A", "AAAA")
            assert again.at - asked.at < 50, "it is no retry"


@pytest.mark.slow
def test_a_nameserver_over_tcp_alone_fills_slots_and_may_be_away() -> None:
    with ScriptedNameserver(tcp=True) as nameserver:
        nameserver.set("app.test", "A", [ONE, TWO])
        with ResolverdProcess(settings(nameserver, carrier=Carrier.TCP)) as resolverd:
            resolverd.wait_addresses(ONE, TWO)
            assert {query.over for query in nameserver.queries} == {"tcp"}
            nameserver.hang_up()
            nameserver.set("app.test", "A", [ONE])
            resolverd.wait_addresses(ONE, None)
            resolverd.kill()
            resolverd.start()
            nameserver.set("app.test", "A", [ONE, TWO])
            resolverd.wait_addresses(ONE, TWO)


@pytest.mark.slow
def test_an_srv_answer_comes_whole_over_tcp() -> None:
    wanted = [(f"h{n}.test", n + 1, f"127.4.0.{n + 1}", 1) for n in range(RECORDS)]
    hosts = {target.replace(".", "_"): address for target, _, address, _ in wanted}
    with ScriptedNameserver(tcp=True, truncates=True) as nameserver:
        script = services(*[f"1 {port} {target}" for target, port, _, _ in wanted], **hosts)
        nameserver.set("_a._tcp.test", "SRV", script)
        with ResolverdProcess(
            settings(nameserver, count=RECORDS, name="_a._tcp.test")
        ) as resolverd:
            resolverd.wait_pairs(*wanted)
