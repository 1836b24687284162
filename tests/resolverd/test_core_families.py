"""Two families of one name: what fails in one of them moves no server, what it states does (M3).

A core with a fake clock; `Site.run` is one run, with what is said of AAAA (preferred) and of A.
"""

from __future__ import annotations

import msgspec
import pytest

from resolverd.config import Holds
from resolverd.dns.answer import Answer, Status
from resolverd.explain.holders import HostHolders
from resolverd.names.host import ResolvedName
from resolverd.records.schema import Why
from shm.states import Cause
from tests.support.dns.families import FAILURES, FOUR, HOLDS, NODATA, SIX, Site
from tests.support.dns.resolution import addresses, servers


@pytest.mark.parametrize(("status", "hold"), FAILURES.items())
def test_a_failure_of_the_preferred_family_moves_nobody_until_its_hold_has_passed(
    status: Status, hold: int
) -> None:
    site = Site()
    assert site.run(SIX, NODATA) == [SIX]
    answered_ms = site.now_ms
    while site.now_ms + 1_000 < answered_ms + hold:
        assert site.run(status, FOUR) == [SIX]
    assert site.run(status, FOUR) == [FOUR]
    assert site.now_ms == answered_ms + hold
    assert site.run(status, FOUR) == [FOUR]
    assert site.run(SIX, NODATA) == [SIX], "and back with the first valid answer"


def test_why_a_server_is_kept_names_the_hold_of_its_family() -> None:
    site = Site()
    site.run(SIX, NODATA)
    site.run(Status.REFUSED, FOUR)
    name = site.core.names[0]
    assert isinstance(name, ResolvedName)
    assert HostHolders(name).why(servers(1)[0], site.now_ms) == (Why.HOLD_REFUSED, 5_000)
    (record,) = HostHolders(name).records(0, 1, site.now_ms)
    assert record.forgotten_in_ms == 5_000
    site.run(SIX, NODATA)
    assert HostHolders(name).why(servers(1)[0], site.now_ms) == (Why.CONFIRMED, None)


@pytest.mark.parametrize("killed_ms", [0, 2_000, 5_000])
def test_a_successor_keeps_to_the_time_of_the_familys_last_answer(killed_ms: int) -> None:
    site = Site()
    site.run(SIX, NODATA)
    answered_ms = site.now_ms
    moved = False
    while not moved:
        if site.now_ms >= answered_ms + killed_ms:
            site.now_ms += 1_000
            site.start()  # killed after each run from then on
        moved = site.run(Status.REFUSED, FOUR) == [FOUR]
    assert answered_ms + 6_000 <= site.now_ms <= answered_ms + 7_000


def test_a_successor_finds_no_record_younger_than_its_familys_last_answer() -> None:
    site = Site(holds=msgspec.structs.replace(HOLDS, obsolete_ms=2_500))
    assert site.run(NODATA, FOUR) == [FOUR]
    site.core.ordered(0, "app.test", site.now_ms)  # from now on the server has a time of its own
    assert site.run(SIX, NODATA) == [FOUR], "unseen, and not yet obsolete"
    site.start()
    assert [site.run(SIX, NODATA) for _ in range(3)] == [[FOUR], [FOUR], [SIX]]


def test_nodata_is_a_statement_and_ages_records_by_hold_obsolete() -> None:
    site = Site()
    site.run(SIX, NODATA)
    assert site.run(NODATA, FOUR) == [FOUR], "at once without hold obsolete"
    patient = Site(holds=msgspec.structs.replace(HOLDS, obsolete_ms=2_500))
    patient.run(SIX, NODATA)
    shown = [patient.run(NODATA, FOUR) for _ in range(3)]
    assert shown == [[SIX], [SIX], [FOUR]]


def test_a_hold_that_is_shorter_than_hold_obsolete_leaves_that_in_force() -> None:
    site = Site(holds=msgspec.structs.replace(HOLDS, obsolete_ms=5_500))
    site.run(SIX, NODATA)
    assert [site.run(Status.NX, FOUR) for _ in range(6)] == [[SIX]] * 5 + [[FOUR]]


@pytest.mark.parametrize("order", [(NODATA, Status.OTHER), (Status.OTHER, NODATA)])
def test_a_statement_of_one_nameserver_outweighs_the_failure_of_another(
    order: tuple[Status, Status],
) -> None:
    site = Site(nameservers=2)
    site.run(SIX, NODATA)
    site.due()
    site.reply(order[0], "ns1")
    site.reply(order[1], "ns2")
    site.reply(FOUR)
    assert site.addresses == [FOUR]


@pytest.mark.parametrize("status", [*FAILURES, NODATA])
def test_where_the_preferred_family_was_never_there_the_other_is_used_at_once(
    status: Status,
) -> None:
    site = Site(2)
    assert site.run(status, FOUR) == [FOUR, None]


def test_free_servers_are_not_filled_with_the_other_family_meanwhile() -> None:
    site = Site(3)
    assert site.run((SIX, "::2"), NODATA) == [SIX, "::2", None]
    assert site.run(Status.OTHER, (FOUR, "127.0.1.2")) == [SIX, "::2", None]


def test_an_address_of_the_start_is_protected_from_the_start_on() -> None:
    site = Site()
    site.board.publish(0, SIX, 8080, weight=-1, cause=Cause.LIBC, flags=0, now_ms=site.now_ms)
    site.start()
    shown = [site.run(Status.REFUSED, FOUR) for _ in range(7)]
    assert shown == [[SIX]] * 6 + [[FOUR]], "asked at 0, 1, ... 6 s"


def test_a_cut_answer_with_records_confirms_its_family_for_as_long_as_it_comes() -> None:
    site = Site()
    site.run(SIX, NODATA)
    cut = Answer(Status.TRUNCATED, addresses(SIX), partial=True)
    assert [site.run(cut, FOUR) for _ in range(15)] == [[SIX]] * 15


def test_a_first_cut_answer_takes_nothing_though_the_hold_is_shorter_than_the_period() -> None:
    site = Site(2, Holds(other_ms=500))
    assert site.run((SIX, "::2"), NODATA) == [SIX, "::2"]
    cut = Answer(Status.TRUNCATED, addresses(SIX), partial=True)
    assert site.run(cut, NODATA) == [SIX, "::2"], "it was due only now"
    assert site.run(cut, NODATA) == [SIX, None]


def test_when_both_families_fail_the_last_valid_answer_of_any_counts() -> None:
    site = Site()
    site.run(SIX, NODATA)
    for _ in range(5):
        site.run(Status.OTHER, FOUR)
    answered_ms = site.now_ms
    while site.run(Status.REFUSED, Status.REFUSED) == [SIX]:
        assert site.now_ms < answered_ms + 6_000
    assert (site.addresses, site.now_ms) == ([None], answered_ms + 6_000)
    assert site.run(Status.OTHER, FOUR) == [FOUR]
