"""Servers that come and go though nothing has changed (findings 14 to 18)."""

from __future__ import annotations

import random

import pytest

from resolverd.config import Family, Holds
from resolverd.daemon import now_ms
from tests.support.dns.resolution import BOTH
from tests.support.dns.resolverd import ResolverdProcess
from tests.support.dns.scripted import (
    NODATA,
    NX,
    REFUSED,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    Answer,
    ScriptedNameserver,
    services,
)
from tests.support.findings.scale import (
    HOST,
    HOUR_MS,
    LABEL,
    follows_host,
    follows_label,
    quick_section,
    wait_more_runs,
)

pytestmark = pytest.mark.slow

ONE, TWO = "127.0.1.1", "127.0.1.2"
SIX = "::1"


def generations(resolverd: ResolverdProcess) -> list[int]:
    """They grow with every change of an address."""
    return [resolverd.slot(slot).generation for slot in range(resolverd.segment.shape.slots)]


def endpoints(numbers: list[int]) -> Answer:
    words = [f"1 {number + 1} h{number}.test" for number in numbers]
    return services(*words, **{f"h{number}_test": f"127.4.0.{number + 1}" for number in numbers})


def test_finding_14_a_hundred_and_eighty_endpoints_in_turned_order_move_nobody() -> None:
    """More than UDP carries, with the defaults: no payload size, no `hold obsolete`."""
    numbers = list(range(180))
    with ScriptedNameserver(tcp=True, truncates=True) as nameserver:
        nameserver.set(LABEL, "SRV", endpoints(numbers))
        section = quick_section(nameserver, retry_ms=2_000)
        with ResolverdProcess(follows_label(section, 180)) as resolverd:
            wanted = [(f"h{n}.test", n + 1, f"127.4.0.{n + 1}", 1) for n in numbers]
            resolverd.wait_pairs(*wanted)
            before = generations(resolverd)
            for _ in range(3):
                random.Random(14).shuffle(numbers)
                nameserver.set(LABEL, "SRV", endpoints(numbers))
                wait_more_runs(resolverd, 2)
            assert generations(resolverd) == before


def test_finding_14_partial_answers_move_nobody_within_hold_obsolete() -> None:
    numbers = list(range(24))
    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", endpoints(numbers))
        section = quick_section(nameserver, holds=Holds(obsolete_ms=HOUR_MS))
        with ResolverdProcess(follows_label(section, 24)) as resolverd:
            resolverd.wait(lambda: None not in resolverd.addresses(), "all endpoints")
            before = generations(resolverd)
            for first in (0, 8, 16):
                nameserver.set(LABEL, "SRV", endpoints(numbers[first : first + 8]))
                wait_more_runs(resolverd, 2)
            assert generations(resolverd) == before


@pytest.mark.parametrize("preferred", BOTH)
def test_finding_15_no_failure_of_one_family_moves_a_server_to_the_other(
    preferred: Family,
) -> None:
    addresses = {"A": ONE, "AAAA": SIX}
    asked_first = "A" if preferred is Family.IPV4 else "AAAA"
    with ScriptedNameserver() as nameserver:
        for rtype, address in addresses.items():
            nameserver.set(HOST, rtype, address)
        settings = follows_host(quick_section(nameserver), 1, BOTH, preferred)
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(addresses[asked_first])
            before = generations(resolverd)
            for failure in (SERVFAIL, REFUSED, TRUNCATED, SILENT, NX):
                nameserver.set(HOST, asked_first, failure)
                wait_more_runs(resolverd, 2)
                nameserver.set(HOST, asked_first, addresses[asked_first])
                wait_more_runs(resolverd, 2)
            assert generations(resolverd) == before
            assert {query.rtype for query in nameserver.queries} == {"A", "AAAA"}


def test_finding_15_a_family_that_is_really_gone_gives_way_to_the_other() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", ONE)
        nameserver.set(HOST, "AAAA", SIX)
        with ResolverdProcess(follows_host(quick_section(nameserver), 1, BOTH)) as resolverd:
            resolverd.wait_addresses(ONE)
            nameserver.set(HOST, "A", NODATA)
            resolverd.wait_addresses(SIX)


def test_finding_16_17_answers_with_eight_of_many_records_are_one_set_within_hold_obsolete() -> (
    None
):
    every = [f"127.5.0.{number + 1}" for number in range(20)]
    chance = random.Random(16)
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", every[:8])
        section = quick_section(nameserver, holds=Holds(obsolete_ms=HOUR_MS))
        with ResolverdProcess(follows_host(section, 24)) as resolverd:
            resolverd.wait_addresses(*every[:8], *[None] * 16)
            for first in (8, 12, 16):
                nameserver.set(HOST, "A", [every[n % 20] for n in range(first, first + 8)])
                wait_more_runs(resolverd, 2)
            resolverd.wait_addresses(*every, *[None] * 4)
            before = generations(resolverd)
            for _ in range(5):
                nameserver.set(HOST, "A", chance.sample(every, 8))
                wait_more_runs(resolverd, 2)
            assert generations(resolverd) == before


def test_finding_16_17_a_record_that_is_really_gone_leaves_after_hold_obsolete() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", [ONE, TWO])
        section = quick_section(nameserver, holds=Holds(obsolete_ms=400))
        with ResolverdProcess(follows_host(section, 2)) as resolverd:
            resolverd.wait_addresses(ONE, TWO)
            said_ms = now_ms()
            nameserver.set(HOST, "A", TWO)
            resolverd.wait_addresses(None, TWO)
            gone = resolverd.addresses().index(None)
            assert resolverd.slot(gone).changed_ms - said_ms > 300  # the last answer was before


def test_finding_18_nxdomain_now_and_then_removes_no_server() -> None:
    """Three in a row, then one valid answer, again and again, with the default `hold nx`."""
    with ScriptedNameserver() as nameserver:
        found = services("1 80 h1.test", h1_test=ONE)
        nameserver.set(LABEL, "*", found)
        section = quick_section(nameserver, retry_ms=40)
        with ResolverdProcess(follows_label(section, 1)) as resolverd:
            resolverd.wait_pairs(("h1.test", 80, ONE, 1))
            before = generations(resolverd)
            for _ in range(4):
                denied = resolverd.counters()["nx"]
                nameserver.set(LABEL, "*", NX)
                resolverd.wait(lambda: resolverd.counters()["nx"] >= denied + 3, "three in a row")  # noqa: B023 - called at once
                nameserver.set(LABEL, "*", found)
                wait_more_runs(resolverd, 1)
            assert generations(resolverd) == before
