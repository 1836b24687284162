"""Many slots, many names, many questions (findings 35, 36, 38 to 41): counts, never seconds."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

import dns.message
import pytest

from resolverd.assignment.hosts import Assignment
from resolverd.assignment.services import ServiceAssignment
from resolverd.config import Family, Holds, Nameserver, ResolversSection
from resolverd.core import Core
from resolverd.daemon import EARLY_PART, TURN_MS, now_ms
from resolverd.dns.answer import Address, Answer, QueryType, Question, ServiceRecord, Status
from resolverd.pace.jitter import Jitter
from shm.requests import CheckRequests
from tests.support.config.loading import settings_of as settings_of_text
from tests.support.dns.resolution import (
    BOTH,
    addresses,
    answered,
    resolution_settings,
    servers,
)
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import NX, SILENT, ScriptedNameserver, forged, services
from tests.support.dns.unrepeated import Unrepeated
from tests.support.findings.scale import (
    HOST,
    HOUR_MS,
    follows_host,
    label_servers,
    quick_section,
    wait_more_runs,
)
from tests.support.simulation.board import Board

ONE, TWO = "127.0.1.1", "127.0.1.2"
RUNS_MAX = 256


def lines_of(work: Callable[[], object]) -> int:
    """How many lines of resolverd run for this: work that no noise can blur."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal lines
        if "/resolverd/" not in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(former)
    return lines


def records_of(count: int, first: int = 0) -> tuple[Address, ...]:
    return addresses(*[f"127.8.{n // 250}.{n % 250 + 1}" for n in range(first, first + count)])


def host_work(slots: int, records: int) -> tuple[int, int]:
    """Lines for an answer that changes half of the records, and for the same once more."""
    pool = Assignment(servers(slots), Family.IPV4, Holds(), {})
    answered(pool, records_of(records), 0)
    turned = records_of(records, records // 2)
    changed = lines_of(lambda: answered(pool, turned, 1_000))
    return changed, lines_of(lambda: answered(pool, turned, 2_000))


def label_work(slots: int, records: int) -> tuple[int, int]:
    pool = ServiceAssignment(servers(slots), Family.IPV4, BOTH, Holds())

    def said(first: int) -> Answer:
        of = [ServiceRecord(f"h{n}", 80, 1, 0) for n in range(first, first + records)]
        return Answer(Status.VALID, services=tuple(of))

    pool.valid(said(0), 0)
    turned = said(records // 2)
    changed = lines_of(lambda: pool.valid(turned, 1_000))
    return changed, lines_of(lambda: pool.valid(turned, 2_000))


@pytest.mark.parametrize("work", [host_work, label_work])
def test_finding_35_an_answer_costs_slots_plus_records_never_slots_times_records(
    work: Callable[[int, int], tuple[int, int]],
) -> None:
    once, again = work(200, 40)
    doubled, doubled_again = work(400, 80)
    assert doubled <= 2.2 * once
    assert doubled_again <= 2.2 * again


def test_finding_35_the_same_answer_again_costs_no_slot() -> None:
    assert host_work(2_000, 40)[1] == host_work(40, 40)[1]


@pytest.mark.slow
def test_finding_36_ten_thousand_slots_of_one_name_ask_one_question() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", [ONE, TWO])
        section = quick_section(nameserver, resolve_ms=100)
        with ResolverdProcess(follows_host(section, 10_000)) as resolverd:
            resolverd.wait(lambda: resolverd.record()["slots_used"] == 2, "two slots")
            wait_more_runs(resolverd, 4)
            assert len(nameserver.queries) <= resolverd.record()["runs"] + 1


@pytest.mark.slow
def test_finding_36_no_more_than_256_questions_are_open_at_a_nameserver() -> None:
    names = [f"n{number}.test" for number in range(600)]
    retry_ms = 400
    with ScriptedNameserver() as nameserver:
        for name in names:
            nameserver.set(name, "A", SILENT)
        section = quick_section(nameserver, resolve_ms=HOUR_MS, retry_ms=retry_ms)
        resolutions = [
            resolution_settings(servers(1, n, n), name=name, index=n)
            for n, name in enumerate(names)
        ]
        with ResolverdProcess(settings_of(section, *resolutions)):
            queries = nameserver.wait_queries(len(names))
    assert len({query.name for query in queries}) == len(queries) == len(names)
    for early, late in zip(queries, queries[RUNS_MAX:], strict=False):
        assert late.at - early.at > retry_ms / 2_000, "its place was free only after a time-out"


@pytest.mark.slow
@pytest.mark.parametrize("with_addresses", [True, False])
def test_finding_38_nodes_of_many_services_are_asked_for_once_or_not_at_all(
    *, with_addresses: bool
) -> None:
    nodes = [f"node{number}.test" for number in range(5)]
    labels = [f"_s{number}._tcp.test" for number in range(8)]
    hosts = {f"node{number}_test": f"127.8.9.{number + 1}" for number in range(5)}
    with ScriptedNameserver() as nameserver:
        for number, name in enumerate(nodes):
            nameserver.set(name, "A", f"127.8.9.{number + 1}")
        for number, label in enumerate(labels):
            words = [f"1 {8_000 + number} {node}" for node in nodes]
            nameserver.set(label, "SRV", services(*words, **(hosts if with_addresses else {})))
        section = quick_section(nameserver, resolve_ms=HOUR_MS, retry_ms=HOUR_MS)
        resolutions = [
            resolution_settings(label_servers(5, n, 5 * n), name=label, index=n)
            for n, label in enumerate(labels)
        ]
        with ResolverdProcess(settings_of(section, *resolutions)) as resolverd:
            resolverd.wait(lambda: None not in resolverd.addresses(), "all addresses")
            asked = Counter(query.name for query in nameserver.queries)
            once = labels + ([] if with_addresses else nodes)
            assert asked == dict.fromkeys(once, 1)


@pytest.mark.slow
def test_finding_39_each_of_340_names_is_asked_for_once_for_2000_servers() -> None:
    """In 100 backends, in letter cases that differ, with a dot at the end or none."""
    written = ("web{}.test", "WEB{}.test", "web{}.test.")
    lines = ["defaults\n    mode tcp\n    timeout connect 1s\n    timeout server 1s"]
    lines.append("global\n    dns-accept-family ipv4\n    spare-servers 0")
    for number in range(2_000):
        if number % 20 == 0:
            lines.append(f"backend be{number}")
        name = written[number % 3].format(number % 340)
        lines.append(f"    server s{number} {name}:80 resolvers r init-addr none")
    with ScriptedNameserver() as nameserver:
        for number in range(340):
            nameserver.set(f"web{number}.test", "A", ONE)
        lines.append(
            f"resolvers r\n    nameserver n {nameserver.address}\n    timeout resolve 1h\n    timeout retry 1h"
        )
        settings = settings_of_text("\n".join(lines) + "\n").resolverd
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait(lambda: set(resolverd.addresses()) == {ONE}, "an address for each")
            asked = Counter((query.name, query.rtype) for query in nameserver.queries)
            assert asked == {(f"web{number}.test", "A"): 1 for number in range(340)}


class Unanswering(Unrepeated):
    """Sends no question; the test answers."""

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        return []

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        pass

    def read(self) -> None:
        pass

    def close_run(self, key: int) -> None:
        pass


def test_finding_40_names_that_were_asked_for_together_spread() -> None:
    """A thousand answers in one millisecond: the next runs come up to a tenth early, never late."""
    period_ms, answered_ms, names = 10_000, 1_000, 1_000
    section = ResolversSection(
        "r1", (Nameserver("ns1", "127.0.0.1"),), timeout_resolve_ms=period_ms
    )
    settings = settings_of(
        section,
        *[resolution_settings(servers(1, n, n), name=f"n{n}.test", index=n) for n in range(names)],
    )
    core = Core(
        settings,
        Board([8080] * names, names),
        {"r1": Unanswering()},
        lambda *_: None,
        answered_ms,
        runs_max=names,
        early_ms=Jitter(EARLY_PART, TURN_MS).early_ms,
    )
    while (core.next_deadline_ms() or 0) <= answered_ms:
        core.serve_deadlines(answered_ms)
    for key in range(names):
        answer = Answer(Status.VALID, addresses(ONE))
        core.answered(key, "ns1", QueryType.A, answer, answered_ms)
    due_ms = [core.names[key].resolution.deadline_ms - answered_ms for key in range(names)]
    assert 0.9 * period_ms <= min(due_ms) < 0.92 * period_ms
    assert 0.98 * period_ms < max(due_ms) <= period_ms
    assert max(Counter(due_ms).values()) <= 40, "a crowd at one moment"


@pytest.mark.slow
def test_finding_41_queries_that_come_back_as_replies_cause_no_more_queries() -> None:
    """A nameserver that is its own forwarder: every query comes back, twenty times."""

    def forge(query: dns.message.Message) -> list[bytes]:
        return [query.to_wire()] * 20

    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "*", forged(forge))
        section = quick_section(nameserver, resolve_ms=100, retry_ms=100, retries=3)
        with ResolverdProcess(follows_host(section, 3, BOTH)) as resolverd:
            wait_more_runs(resolverd, 3)
            asked = len(nameserver.queries)  # before the runs are: both go on
            runs = resolverd.record()["runs"]
            assert asked <= 5 * (runs + 1), "three attempts in each run, two of them at both types"
            assert resolverd.counters()["doubted"] == 0, "a query that comes back is no forgery"
            assert resolverd.counters()["invalid"] >= 20


@pytest.mark.slow
def test_finding_41_denials_that_come_at_once_are_asked_for_at_the_pace_of_the_section() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "*", NX)
        section = quick_section(nameserver, resolve_ms=100, retry_ms=50, retries=3)
        with ResolverdProcess(follows_host(section, 3, BOTH)) as resolverd:
            queries = nameserver.wait_queries(18)
            runs = resolverd.record()["runs"]
    assert len(queries) <= 6 * (runs + 1), "three attempts of two families in each run"
    # two runs with two pauses of `timeout retry` each, and `timeout resolve` after each
    assert queries[-1].at - queries[0].at > 0.2


@pytest.mark.slow
def test_finding_41_a_storm_of_failed_connects_is_a_handful_of_questions() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", ONE)
        section = quick_section(nameserver, resolve_ms=HOUR_MS, retry_ms=HOUR_MS)
        with ResolverdProcess(follows_host(section, 1)) as resolverd:
            resolverd.wait_addresses(ONE)
            requests = CheckRequests(resolverd.segment, 0)
            end, failed = time.monotonic() + 1.0, 0
            while time.monotonic() < end:
                requests.timed_out(0, now_ms())
                os.eventfd_write(resolverd.doorbell, 1)
                failed += 1
                threading.Event().wait(0.001)
            # the start, the first that failed, and one when the pause of a second is over
            assert 2 <= len(nameserver.queries) <= 4
            assert failed > 50
