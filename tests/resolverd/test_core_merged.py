"""`resolve-opts all-families`: both types in each run, each by its own outcome (M3).

A core with a fake clock; IPv6 is preferred.
"""

from __future__ import annotations

import itertools

import msgspec
import pytest

from resolverd.config import Family, TtlPeriod
from resolverd.dns.answer import Answer, QueryType, Status
from resolverd.explain.holders import HostHolders
from resolverd.names.host import ResolvedName
from resolverd.records.schema import Why
from resolverd.resolution.resolution import Trigger
from shm.states import Cause
from tests.support.dns.families import FAILURES, FOUR, HOLDS, NODATA, SIX, Said, Site, answer_of
from tests.support.dns.resolution import addresses, servers

SIXES, FOURS = (SIX, "::2"), (FOUR, "127.0.1.2")
ALL = [*SIXES, *FOURS]
A, AAAA = QueryType.A, QueryType.AAAA
SILENT = Status.TIMEOUT  # no server sends that
FAILED = {**FAILURES, SILENT: HOLDS.timeout_ms}
OUTCOMES: tuple[Said, ...] = ("valid", NODATA, *FAILED)


def merged(count: int = 4, **words: int) -> Site:
    return Site(count, all_families=True, **words)


def both(site: Site, six: Said, four: Said, *, six_first: bool = True) -> list[str | None]:
    """One run; `SILENT` is no answer."""
    said = [(kind, what) for kind, what in ((AAAA, six), (A, four)) if what is not SILENT]
    return site.run_merged(*(said if six_first else reversed(said)))


@pytest.mark.parametrize("six_first", [True, False])
def test_both_families_fill_the_servers_the_preferred_first(six_first: bool) -> None:
    assert both(merged(4), SIXES, FOURS, six_first=six_first) == ALL
    assert both(merged(3), SIXES, FOURS, six_first=six_first) == ALL[:3]
    assert both(merged(2), SIXES, FOURS, six_first=six_first) == ALL[:2]


@pytest.mark.parametrize("six_first", [True, False])
@pytest.mark.parametrize(("six", "four"), list(itertools.product(OUTCOMES, repeat=2)))
def test_each_family_goes_by_its_own_outcome_whatever_the_order(
    six: Said, four: Said, six_first: bool
) -> None:
    """A model of all pairs: within the shortest hold, and long after the longest."""
    site = merged()
    assert both(site, SIXES, FOURS) == ALL
    told = [SIXES if six == "valid" else six, FOURS if four == "valid" else four]
    some_valid = "valid" in (six, four)
    soon, late = [], []
    for family, what in ((SIXES, six), (FOURS, four)):
        gone_at_once = what is NODATA and some_valid
        soon += [None if gone_at_once else address for address in family]
        late += [address if what == "valid" else None for address in family]
    assert both(site, told[0], told[1], six_first=six_first) == soon
    until_ms = site.now_ms + 1_000 + max(HOLDS.other_ms, HOLDS.timeout_ms)
    while site.now_ms < until_ms:
        both(site, told[0], told[1], six_first=six_first)
    assert site.addresses == late
    assert sorted(map(str, both(site, SIXES, FOURS))) == sorted(ALL), "and back again"


@pytest.mark.parametrize(("status", "hold"), FAILED.items())
@pytest.mark.parametrize("kind", [A, AAAA])
def test_servers_of_a_failing_family_go_when_its_hold_has_passed_and_no_others(
    kind: QueryType, status: Status, hold: int
) -> None:
    site = merged()
    both(site, SIXES, FOURS)
    answered_ms = site.now_ms
    left = [None, None, *FOURS] if kind is AAAA else [*SIXES, None, None]
    while site.now_ms < answered_ms + hold:
        assert site.addresses == ALL
        both(site, *((status, FOURS) if kind is AAAA else (SIXES, status)))
    assert site.addresses == left
    assert site.now_ms <= answered_ms + hold + 1_200, "with the first run after it"


def test_when_both_fail_each_family_has_its_own_grace_and_freed_servers_take_what_is_left() -> None:
    site = merged(2)
    assert both(site, SIXES, FOURS) == [*SIXES]
    for _ in range(3):  # 3 s and more in which A alone is answered
        both(site, Status.REFUSED, FOURS)
    answered_ms = site.now_ms
    shown = []
    while site.now_ms < answered_ms + HOLDS.other_ms:
        shown.append(both(site, Status.REFUSED, Status.OTHER))
    changes = [key for key, _ in itertools.groupby(map(tuple, shown))]
    assert changes == [SIXES, FOURS, (None, None)]
    assert site.board.slots[0].cause == Cause.OTHER


def test_why_says_the_hold_of_each_family() -> None:
    site = merged()
    both(site, SIXES, FOURS)
    both(site, Status.REFUSED, FOURS)
    name = site.core.names[0]
    assert isinstance(name, ResolvedName)
    first, *_, last = servers(4)
    assert HostHolders(name).why(first, site.now_ms)[0] is Why.HOLD_REFUSED
    assert HostHolders(name).why(last, site.now_ms) == (Why.CONFIRMED, None)
    both(site, SIXES, Status.NX)
    assert HostHolders(name).why(first, site.now_ms) == (Why.CONFIRMED, None)
    assert HostHolders(name).why(last, site.now_ms)[0] is Why.HOLD_NX
    both(site, Status.REFUSED, Status.NX)
    assert HostHolders(name).why(first, site.now_ms)[0] is Why.HOLD_REFUSED
    assert HostHolders(name).why(last, site.now_ms)[0] is Why.HOLD_NX


@pytest.mark.parametrize("six_first", [True, False])
def test_nodata_beside_an_answer_is_not_asked_for_again(six_first: bool) -> None:
    site = merged(retries=3)
    begun_ms = site.now_ms
    assert both(site, NODATA, FOURS, six_first=six_first) == [*FOURS, None, None]
    assert (site.now_ms, len(site.names)) == (begun_ms, 2)


def test_nodata_of_one_nameserver_beside_an_answer_is_enough_when_the_other_is_silent() -> None:
    site = merged(retries=3, nameservers=2)
    begun_ms = site.now_ms
    site.due()
    site.reply(NODATA, "ns1", AAAA)
    site.reply(FOURS, "ns1", A)
    assert site.running
    site.due()
    assert not site.running
    assert (site.now_ms, len(site.names)) == (begun_ms + 100, 2), "after one timeout retry"
    assert site.addresses == [*FOURS, None, None]


@pytest.mark.parametrize(("four", "held"), [(FOURS, True), ("127.0.1.8", False)])
def test_news_that_came_before_the_end_of_a_run_let_the_next_trigger_count_at_once(
    four: Said, held: bool
) -> None:
    site = merged(retries=3)
    resolution = site.core.names[0].resolution
    both(site, SIXES, FOURS)
    site.now_ms += 1
    site.core.connect_failed(0, Trigger.CONNECT_TIMEOUT, site.now_ms, site.now_ms)
    assert resolution.trigger_waits
    both(site, Status.OTHER, four)
    assert bool(resolution.triggers_held_until_ms) == held


def test_nodata_of_both_is_a_failed_run_with_its_retries() -> None:
    site = merged(retries=3)
    both(site, SIXES, FOURS)
    site.names.clear()
    assert both(site, NODATA, NODATA) == ALL
    assert len(site.names) == 6


@pytest.mark.parametrize("six_first", [True, False])
def test_an_answer_does_not_wait_for_the_retries_of_the_other_type(six_first: bool) -> None:
    site = merged(retries=3)
    both(site, SIXES, FOURS)
    site.due()
    begun_ms = site.now_ms
    said = [(AAAA, Status.OTHER), (A, "127.0.1.9")]
    for kind, what in said if six_first else reversed(said):
        site.reply(what, kind=kind)
    assert site.running
    assert site.addresses == [*SIXES, "127.0.1.9", None]
    assert site.now_ms == begun_ms
    assert site.board.records[0]["ipv4_valid_ms"] == begun_ms
    site.asked.clear()
    while site.running:
        site.due()
    assert site.asked == [], "closed"
    assert len(site.names) == 2 + 2 + 2, "two more tries at AAAA, none at A"
    assert site.addresses == [*SIXES, "127.0.1.9", None]


def test_an_answer_waits_for_the_preferred_family_while_its_first_try_is_open() -> None:
    site = merged(2, retries=3)
    site.due()
    site.reply(FOURS, kind=A)
    assert site.addresses == [None, None]
    site.due()  # silence
    assert site.addresses == [*FOURS]
    site.reply(SIXES, kind=AAAA)
    assert not site.running
    assert site.addresses == [*FOURS], "who has an address keeps it"


def test_a_late_answer_to_a_type_that_has_failed_counts_while_the_run_goes_on() -> None:
    site = merged(nameservers=2)
    site.due()
    for nameserver in ("ns1", "ns2"):
        site.reply(Status.OTHER, nameserver, AAAA)
    site.reply(FOURS, "ns1", A)
    site.reply(SIXES, "ns2", AAAA)
    assert sorted(map(str, site.addresses)) == sorted(ALL)


@pytest.mark.parametrize("killed_ms", [0, 2_000, 5_000])
def test_a_successor_keeps_to_the_time_of_each_familys_last_answer(killed_ms: int) -> None:
    site = merged()
    both(site, SIXES, FOURS)
    answered_ms = site.now_ms
    while site.addresses == ALL:
        if site.now_ms >= answered_ms + killed_ms:
            site.start()  # killed after each run from then on
        both(site, Status.REFUSED, FOURS)
    assert site.addresses == [None, None, *FOURS]
    assert answered_ms + HOLDS.refused_ms <= site.now_ms <= answered_ms + HOLDS.refused_ms + 1_200


@pytest.mark.parametrize(("family", "kind"), [(Family.IPV4, A), (Family.IPV6, AAAA)])
def test_where_one_family_is_accepted_the_option_changes_nothing(
    family: Family, kind: QueryType
) -> None:
    site = Site(2, families=(family,), all_families=True)
    site.due()
    assert site.asked == [kind]
    (name,) = (site.core.names[key] for key in site.core.names)
    assert (name.resolution.merges, name.resolution.questions) == (False, 1)


def test_both_questions_of_a_run_count_as_in_flight() -> None:
    site = merged()
    site.due()
    assert len(site.core._run_limits["r1"]) == 2


def test_the_smallest_ttl_of_both_is_the_period_and_a_failure_of_one_the_least() -> None:
    site = merged()
    section = msgspec.structs.replace(
        site.settings.sections[0], ttl_period=TtlPeriod(2_000, 60_000)
    )
    site.settings = msgspec.structs.replace(site.settings, sections=(section,))
    site.start()

    def period_ms(six: Said, four: Said) -> int:
        both(site, six, four)
        deadline_ms = site.core.next_deadline_ms()
        assert deadline_ms is not None
        return deadline_ms - site.now_ms

    def lasting(ttl_s: int, *texts: str) -> Answer:
        return msgspec.structs.replace(answer_of(texts), ttl_s=ttl_s)

    assert period_ms(lasting(30, *SIXES), lasting(7, *FOURS)) == 7_000
    assert period_ms(lasting(5, *SIXES), lasting(7, *FOURS)) == 5_000
    assert period_ms(NODATA, lasting(7, *FOURS)) == 7_000
    assert period_ms(Status.OTHER, lasting(7, *FOURS)) == 2_000


def test_a_cut_answer_adds_and_confirms_beside_the_valid_one_of_the_other_family() -> None:
    site = merged()
    both(site, SIXES, FOURS)
    cut = Answer(Status.TRUNCATED, addresses("::2"), partial=True)
    assert both(site, cut, FOURS) == ALL
    until_ms = site.now_ms + HOLDS.other_ms
    while site.now_ms < until_ms + 1_000:
        both(site, cut, FOURS)
    assert site.addresses == [None, "::2", *FOURS], "unseen for longer than hold other"


def searched(**words: int) -> Site:
    site = merged(search=True, **words)
    section = msgspec.structs.replace(
        site.settings.sections[0], search=("one.test", "two.test"), ndots=3
    )
    site.settings = msgspec.structs.replace(site.settings, sections=(section,))
    site.start()
    return site


def test_a_name_of_a_search_list_that_neither_type_knows_leads_to_the_next_at_once() -> None:
    site = searched(retries=3)
    begun_ms = site.now_ms
    site.due()
    site.reply(Status.NX, kind=A)
    assert set(site.names) == {"app.test.one.test"}, "the other type may know it"
    site.reply(Status.NX, kind=AAAA)
    assert site.names[-2:] == ["app.test.two.test"] * 2
    site.reply(SIXES, kind=AAAA)
    site.reply(FOURS, kind=A)
    assert (site.addresses, site.now_ms) == (ALL, begun_ms)


def test_a_name_of_a_search_list_that_one_type_knows_is_the_one() -> None:
    site = searched()
    assert both(site, Status.NX, FOURS) == [*FOURS, None, None]
    assert set(site.names) == {"app.test.one.test"}


def test_an_outage_of_both_types_leads_to_no_other_name() -> None:
    site = searched()
    both(site, Status.OTHER, SILENT)
    assert set(site.names) == {"app.test.one.test"}


def test_with_no_try_left_the_denial_of_one_type_is_enough() -> None:
    site = searched()
    site.due()
    site.reply(Status.NX, kind=AAAA)
    site.reply(Status.OTHER, kind=A)
    site.due()
    assert site.names[-2:] == ["app.test.two.test"] * 2


def test_a_search_list_with_a_name_that_exists_without_addresses_waits_for_hold_other() -> None:
    site = searched()
    both(site, SIXES, FOURS)
    answered_ms = site.now_ms
    while site.addresses == ALL:
        site.due()
        while site.running:
            first = site.names[-1] == "app.test.one.test"
            site.reply(NODATA if first else Status.NX, kind=AAAA)
            site.reply(Status.NX, kind=A)
    assert answered_ms + HOLDS.other_ms <= site.now_ms <= answered_ms + HOLDS.other_ms + 1_200


def test_when_no_name_of_a_search_list_exists_every_family_waits_for_hold_nx() -> None:
    site = searched()
    both(site, SIXES, FOURS)
    answered_ms = site.now_ms
    while site.addresses == ALL:
        site.due()
        while site.running:
            site.reply(Status.NX, kind=AAAA)
            site.reply(Status.NX, kind=A)
    assert site.addresses == [None] * 4
    assert answered_ms + HOLDS.nx_ms <= site.now_ms <= answered_ms + HOLDS.nx_ms + 1_200
