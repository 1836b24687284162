"""A hold that is no longer than the period: since when it counts, and for how long at most."""

from __future__ import annotations

import random

import msgspec
import pytest

from resolverd.assignment.hosts import Assignment
from resolverd.config import Family, Holds, ResolversSection, TtlPeriod
from resolverd.dns.answer import Answer, QueryType, Status
from resolverd.resolution.actions import Action, Ask, Finished
from resolverd.resolution.hold_rules import hold_ms
from resolverd.resolution.leases import Lease, Leases
from resolverd.resolution.resolution import Resolution, Trigger
from tests.support.dns.resolution import BOTH, addresses, resolution_settings, section, servers
from tests.support.generated import sample

FAILURES = (Status.NX, Status.REFUSED, Status.OTHER)
HOLD_MS = 30_000
GOOD = Answer(Status.VALID, addresses("127.0.1.1"), ttl_s=40)


class Site:
    """One name and its server; all questions of a run are answered at once with what is said."""

    def __init__(self, of: ResolversSection) -> None:
        settings = resolution_settings(servers(1))
        self.now_ms, self.section = 5_000, of
        self.resolution = Resolution(settings, of, BOTH, self.now_ms)
        self.assignment = Assignment(servers(1), Family.IPV4, of.holds, {})

    @property
    def is_there(self) -> bool:
        """Whether the server has an address."""
        return self.assignment.slots[0] is not None

    def run(self, answer: Answer) -> None:
        """The next run, whenever it is due."""
        self.now_ms = max(self.now_ms, self.resolution.deadline_ms)
        actions = self.resolution.tick(self.now_ms)
        while not isinstance(actions[-1], Finished):
            assert isinstance(actions[-1], Ask)
            actions = self._reply(actions[-1].question.query_type, answer)
        finished = actions[-1]
        if finished.status is Status.VALID:
            self.assignment.slots[0] = finished.addresses[0]
            return
        since_ms = self.resolution.leases.since_ms(hold_ms(self.section.holds, finished.status))
        self.assignment.failed(finished.status, since_ms, self.now_ms)

    def kick(self, answer: Answer) -> None:
        """A connect has failed."""
        assert self.resolution.trigger(Trigger.CONNECT_TIMEOUT, self.now_ms, self.now_ms)
        self.run(answer)

    def _reply(self, query_type: QueryType, answer: Answer) -> list[Action]:
        actions: list[Action] = []
        for nameserver in ("ns1", "ns2"):
            if not actions:
                actions = self.resolution.reply(nameserver, query_type, answer, self.now_ms)
        return actions


def site(period_ms: int, *, ttl: bool = False, **holds: int) -> Site:
    of = msgspec.structs.replace(section(retries=1, resolve_ms=period_ms), holds=Holds(**holds))
    if ttl:
        of = msgspec.structs.replace(of, ttl_period=TtlPeriod())
    return Site(of)


@pytest.mark.parametrize("status", FAILURES)
def test_a_few_failures_after_a_ttl_longer_than_the_hold_take_no_address(status: Status) -> None:
    one = site(1_000, ttl=True)
    for _ in range(90):  # an hour of good answers
        one.run(GOOD)
    good_ms, kept_ms = one.now_ms, 0
    one.run(Answer(status))
    assert (one.is_there, one.now_ms - good_ms) == (True, 40_000)
    while one.is_there:
        kept_ms = one.now_ms - good_ms
        one.run(Answer(status))
    assert (kept_ms, one.now_ms - good_ms) == (69_000, 70_000), "asked every second, 30 s long"


@pytest.mark.parametrize(
    ("period_ms", "hold", "lost_ms"),
    [
        (20_000, 30_000, 40_000),  # as HAProxy counts: at the first run after 30 s
        (29_000, 30_000, 58_000),
        (30_000, 30_000, 60_000),
        (31_000, 30_000, 62_000),
        (90_000, 30_000, 180_000),
        (90_000, 0, 90_000),  # no grace was asked for
    ],
)
def test_a_hold_counts_from_when_the_answer_was_due_unless_it_is_longer_than_the_period(
    period_ms: int, hold: int, lost_ms: int
) -> None:
    one = site(period_ms, other_ms=hold)
    one.run(GOOD)
    good_ms = one.now_ms
    while one.is_there:
        one.run(Answer(Status.OTHER))
    assert one.now_ms - good_ms == lost_ms


def test_a_run_that_comes_early_by_chance_changes_nothing() -> None:
    one = site(30_000)
    one.resolution.early_ms = lambda period_ms: period_ms // 10
    one.run(GOOD)
    good_ms = one.now_ms
    one.run(Answer(Status.OTHER))
    assert (one.is_there, one.now_ms - good_ms) == (True, 27_000)
    assert one.resolution.leases.since_ms(HOLD_MS) == good_ms + 30_000


def test_failed_connects_make_no_hold_longer_and_none_shorter_than_itself() -> None:
    one = site(3_600_000)
    one.run(GOOD)
    good_ms = one.now_ms
    one.now_ms += 100_000
    one.kick(Answer(Status.NX))
    assert one.is_there, "the first that has failed"
    for _ in range(3):
        one.now_ms += 9_000
        one.kick(Answer(Status.NX))
    assert (one.is_there, one.now_ms - good_ms) == (True, 127_000)
    one.now_ms += 9_000
    one.kick(Answer(Status.NX))
    assert not one.is_there, "30 s after the first that has failed"


def test_a_run_soon_after_the_answer_leaves_each_hold_its_length_after_what_is_due() -> None:
    holds = Holds(nx_ms=5_000, refused_ms=0, timeout_ms=20_000, other_ms=90_000)
    lease = Lease(1_000, 41_000).ended_early(2_000, holds)
    assert lease == Lease(1_000, 21_000), "the longest that is no longer than the period"
    assert lease.ended_early(3_000, holds) == lease == lease.ended_early(30_000, holds)
    since_ms = [lease.since_ms(each) for each in (0, 5_000, 20_000, 90_000)]
    assert since_ms == [1_000, 21_000, 21_000, 1_000]


def test_a_successor_leaves_the_hold_what_was_due() -> None:
    one = site(40_000)
    one.run(GOOD)
    good_ms = one.now_ms
    for now_ms, since_ms in ((35_000, 35_000), (60_000, 40_000), (90_000, 40_000)):
        successor = Resolution(
            resolution_settings(servers(1)), one.section, (Family.IPV4,), good_ms + now_ms
        )
        successor.restore(good_ms, {Family.IPV4: good_ms}, good_ms, Status.VALID)
        assert successor.leases.since_ms(HOLD_MS) == good_ms + since_ms


def test_a_name_that_was_never_answered_has_one_hold_from_the_beginning() -> None:
    assert Leases(7_000).since_ms(HOLD_MS) == 7_000
    one = site(40_000)
    one.assignment.slots[0] = GOOD.addresses[0]
    one.run(Answer(Status.OTHER))
    assert one.is_there
    one.run(Answer(Status.OTHER))
    assert not one.is_there


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_no_hold_is_cut_short_and_none_lasts_beyond_what_was_due(part: int, seed: int) -> None:
    """Whatever periods, holds, failures and failed connects there are."""
    for each in range(seed, seed + sample(2_000, full=100_000) // 2):
        chance = random.Random(each)
        names = ("nx_ms", "refused_ms", "other_ms")
        holds = {name: chance.choice((0, 1_000, 30_000, 45_000)) for name in names}
        period_ms = chance.choice((500, 20_000, 30_000, 90_000))
        one = site(period_ms, **holds)
        one.run(GOOD)
        good_ms = one.now_ms
        while one.is_there:
            answer = Answer(chance.choice(FAILURES))
            if chance.random() < 0.3:
                one.now_ms += chance.randrange(period_ms)
            can = one.now_ms >= one.resolution.triggers_held_until_ms
            fresh = one.resolution.last_status is Status.VALID and one.now_ms == good_ms
            if chance.random() < 0.3 and can and not fresh:
                one.kick(answer)
            else:
                one.run(answer)
            passed_ms, hold = one.now_ms - good_ms, hold_ms(one.section.holds, answer.status)
            least_ms, most_ms = (
                (hold, hold) if not 0 < hold <= period_ms else (2 * hold, period_ms + hold)
            )
            if passed_ms < least_ms:
                assert one.is_there, f"seed {each}: {passed_ms} ms after the answer"
            if passed_ms >= most_ms:
                assert not one.is_there, f"seed {each}: {passed_ms} ms after the answer"
