"""Nameservers of different views, which move a server with each answer: told once, with names."""

from __future__ import annotations

import msgspec
import pytest

from resolverd.config import Nameserver, ResolversSection
from resolverd.dns.answer import Answer, QueryType, ServiceRecord, Status
from resolverd.explain.views import ENDED_MS, Views
from resolverd.log.throttle import LINES_MAX, LogThrottle
from resolverd.resolution.actions import Finished
from resolverd.resolution.run_outcomes import TypeOutcome
from tests.support.dns.resolution import addresses, resolution_settings, servers, valid
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import ScriptedNameserver, delayed, records

ONE, TWO, THREE = "127.0.1.1", "127.0.1.2", "127.0.1.3"
SECTION = ResolversSection("r1", (Nameserver("ns1", "127.0.0.1"), Nameserver("ns2", "127.0.0.2")))
PERIOD_MS = 1_000


class Name(msgspec.Struct):
    """As much of a name as matters here."""

    settings: object
    section: ResolversSection
    resolution: object
    changed: bool = True


class Due(msgspec.Struct):
    deadline_ms: int


class Site:
    """The ends of runs, and what is told."""

    def __init__(self, section: ResolversSection = SECTION) -> None:
        self.lines: list[str] = []
        self.views = Views(LogThrottle(lambda _, text: self.lines.append(text)))
        self.now_ms = 1_000_000
        self.section = section

    def run(self, *answers: tuple[str, Answer], changed: bool = True, key: int = 0) -> None:
        """Runs that end with these answers, one after the other."""
        for nameserver, answer in answers:
            self.now_ms += PERIOD_MS
            kind = QueryType.SRV if answer.services else QueryType.A
            outcome = TypeOutcome(kind, answer.status, answer.addresses, nameserver)
            name = Name(
                resolution_settings(name=f"app{key}.test"),
                self.section,
                Due(self.now_ms + PERIOD_MS),
                changed,
            )
            finished = Finished(Status.VALID, answer, nameserver, (outcome,))
            self.views.ended(key, name, finished, self.now_ms)


FIRST, SECOND = ("ns1", valid(ONE)), ("ns2", valid(TWO, THREE))


def test_two_views_that_take_turns_are_told_once_with_both_names_and_what_they_say() -> None:
    site = Site()
    site.run(FIRST, SECOND, FIRST, SECOND)
    assert site.lines == []
    site.run(*[FIRST, SECOND] * 500)
    assert site.lines == [
        "Nameservers r1/ns1 and r1/ns2 do not agree about 'app0.test', whose servers change with "
        f"whoever answers first: ns1 says {ONE}, ns2 says {TWO}, {THREE}."
    ]


def test_it_is_told_again_only_after_it_has_ended_and_come_back() -> None:
    site = Site()
    site.run(*[FIRST, SECOND] * 5)
    site.now_ms += ENDED_MS - 10 * PERIOD_MS
    site.run(*[FIRST, SECOND] * 5)
    assert len(site.lines) == 1
    site.now_ms += ENDED_MS
    site.run(*[FIRST, SECOND] * 5)
    assert len(site.lines) == 2


@pytest.mark.parametrize(
    "answers",
    [
        [("ns1", valid(ONE)), ("ns2", valid(ONE))],
        [("ns1", valid(ONE)), ("ns1", valid(TWO))],  # one that shows a part each time
        [("ns1", valid(ONE)), ("ns2", valid(TWO)), ("ns1", valid(TWO)), ("ns2", valid(ONE))],
        [("ns1", valid(ONE)), ("ns2", valid())],
    ],
)
def test_what_changes_otherwise_is_no_matter_of_views(answers: list[tuple[str, Answer]]) -> None:
    site = Site()
    site.run(*answers * 10, changed=len(answers[1][1].addresses) > 0)
    assert site.lines == []


def test_a_change_that_reaches_one_nameserver_first_is_none() -> None:
    site = Site()
    site.run(*[("ns1", valid(ONE)), ("ns2", valid(ONE))] * 3, changed=False)
    site.run(("ns1", valid(TWO)), ("ns2", valid(ONE)), ("ns1", valid(TWO)), ("ns2", valid(TWO)))
    assert site.lines == []


def test_many_names_are_told_a_few_times_a_minute() -> None:
    site = Site()
    for key in range(20):
        site.run(*[FIRST, SECOND] * 3, key=key)
        site.now_ms -= 6 * PERIOD_MS
    assert len(site.lines) == LINES_MAX


def test_services_are_told_by_target_port_and_address() -> None:
    site = Site()
    first = Answer(Status.VALID, services=(ServiceRecord("a.test", 80, 1, 0, addresses(TWO, ONE)),))
    second = Answer(Status.VALID, services=(ServiceRecord("b.test", 81, 1),))
    site.run(*[("ns1", first), ("ns2", second)] * 3)
    assert f"ns1 says a.test:80 ({ONE}, {TWO}), ns2 says b.test:81." in site.lines[0]


@pytest.mark.slow
def test_a_real_resolverd_tells_it() -> None:
    with ScriptedNameserver() as first, ScriptedNameserver() as second:
        first.set("app.test", "A", ONE)
        second.set("app.test", "A", TWO)
        section = ResolversSection(
            "r1",
            (
                Nameserver("ns1", first.host, first.port),
                Nameserver("ns2", second.host, second.port, index=1),
            ),
            timeout_resolve_ms=50,
        )
        with ResolverdProcess(settings_of(section, resolution_settings(servers(1)))) as resolverd:

            def told() -> int:
                return sum(
                    "do not agree about 'app.test'" in each for each in resolverd.log_lines()
                )

            for slow, fast, address in [(second, first, ONE), (first, second, TWO)] * 5:
                slow.set("app.test", "A", delayed(records(TWO if slow is second else ONE), 0.2))
                fast.set("app.test", "A", address)
                resolverd.wait_addresses(address)
            assert told() == 1
