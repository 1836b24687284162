"""The state machine of one name, with a fake clock: what is asked when, and how a run ends."""

from __future__ import annotations

import msgspec
import pytest

from resolverd.config import Family, TtlPeriod
from resolverd.dns.answer import Answer, QueryType, Status
from resolverd.pace.run_limit import Turn
from resolverd.resolution.actions import Ask
from resolverd.resolution.resolution import Resolution, Trigger
from tests.support.dns.resolution import Driver, addresses, resolution_settings, section, valid


def test_first_valid_reply_ends_the_run_and_is_applied() -> None:
    driver = Driver.start(section("ns1", "ns2"))
    driver.until(20)
    driver.reply("ns2", valid("127.0.1.1"))
    ((at, finished),) = driver.finished
    assert (at, finished.addresses, finished.nameserver) == (20, addresses("127.0.1.1"), "ns2")


def test_second_reply_counts_when_the_first_was_invalid() -> None:
    driver = Driver.start(section("ns1", "ns2"))
    driver.reply("ns1", Status.NX)
    assert driver.questions == [(0, "A")]
    driver.reply("ns2", valid("127.0.1.1"))
    assert driver.outcomes == [(0, Status.VALID)]


def test_nx_and_truncated_retries_at_once_with_the_other_type() -> None:
    driver = Driver.start(section("ns1", "ns2"))
    driver.until(10)
    driver.reply("ns1", Status.NX)
    driver.until(30)
    driver.reply("ns2", Status.TRUNCATED)
    assert driver.questions == [(0, "A"), (30, "AAAA")]


def test_nx_and_silence_retries_with_the_other_type_after_timeout_retry() -> None:
    driver = Driver.start(section("ns1", "ns2", retry_ms=700))
    driver.reply("ns1", Status.NX)
    driver.until(699)
    assert driver.questions == [(0, "A")]
    driver.until(700)
    assert driver.questions == [(0, "A"), (700, "AAAA")]
    assert driver.unanswered == [(700, ("ns2",))]


def test_silence_of_both_retries_with_both_types() -> None:
    driver = Driver.start(section("ns1", "ns2"))
    driver.until(1_000)
    assert driver.questions == [(0, "A"), (1_000, "A"), (1_000, "AAAA")]
    assert driver.unanswered == [(1_000, ("ns1", "ns2"))]


def test_silence_is_reported_after_resolve_retries_attempts() -> None:
    one_type = (Family.IPV4,)
    driver = Driver.start(section("ns1", retries=3, resolve_ms=5_000), families=one_type)
    driver.until(7_999)
    assert driver.questions == [(0, "A"), (1_000, "A"), (2_000, "A")]
    assert driver.outcomes == [(3_000, Status.TIMEOUT)]
    driver.until(8_000)  # timeout resolve after the end of the run
    assert driver.questions[-1] == (8_000, "A")


def test_a_type_that_meets_silence_gives_way_to_the_other_after_a_second_attempt() -> None:
    driver = Driver.start(section("ns1"), preferred=Family.IPV6)
    driver.until(1_000)
    driver.reply("ns1", valid("127.0.1.1"), "A")
    driver.until(1_999)
    assert driver.outcomes == [], "the preferred type has its time"
    driver.until(2_000)
    ((at, finished),) = driver.finished
    assert (at, finished.addresses) == (2_000, addresses("127.0.1.1"))
    assert driver.questions == [(0, "AAAA"), (1_000, "AAAA"), (1_000, "A")]


def test_a_preferred_type_that_is_slow_wins_over_the_one_asked_beside_it() -> None:
    driver = Driver.start(section("ns1"), preferred=Family.IPV6)
    driver.until(1_000)
    driver.reply("ns1", valid("127.0.1.1"), "A")
    driver.until(1_200)
    driver.reply("ns1", valid("::1"), "AAAA")
    ((at, finished),) = driver.finished
    assert (at, finished.addresses) == (1_200, addresses("::1"))
    assert [outcome.query_type for outcome in finished.outcomes] == [QueryType.AAAA]


def test_an_error_of_the_preferred_type_ends_the_wait_of_the_one_asked_beside_it() -> None:
    driver = Driver.start(section("ns1"), preferred=Family.IPV6)
    driver.until(1_000)
    driver.reply("ns1", valid("127.0.1.1"), "A")
    driver.reply("ns1", Status.NODATA, "AAAA")
    ((at, finished),) = driver.finished
    assert (at, finished.addresses) == (1_000, addresses("127.0.1.1"))


def test_an_error_or_no_way_for_the_type_asked_beside_changes_nothing() -> None:
    driver = Driver.start(section("ns1", "ns2", retries=2), preferred=Family.IPV6)
    driver.until(1_000)
    driver.resolution.unsent("ns1", QueryType.A)
    driver.reply("ns2", Status.REFUSED, "A")
    driver.reply("ns2", Status.NODATA, "AAAA")
    assert len(driver.questions) == 3, "ns1 is still waited for"
    driver.until(2_000)
    assert driver.unanswered[-1] == (2_000, ("ns1",))
    assert driver.outcomes == [(2_000, Status.NODATA)]


def test_where_a_run_has_one_attempt_the_silence_of_the_last_run_counts() -> None:
    driver = Driver.start(section("ns1", retries=1), preferred=Family.IPV6)
    driver.until(2_000)
    assert driver.questions == [(0, "AAAA"), (2_000, "AAAA"), (2_000, "A")]
    driver.reply("ns1", valid("127.0.1.1"), "A")
    driver.until(4_000)
    assert driver.outcomes == [(1_000, Status.TIMEOUT), (3_000, Status.VALID)]
    assert driver.questions[3:] == [(4_000, "AAAA"), (4_000, "A")]
    driver.reply("ns1", valid("::1"), "AAAA")
    driver.until(5_000)
    assert driver.questions[5:] == [(5_000, "AAAA")], "it is answered again"


def test_an_error_of_the_type_asked_beside_silence_says_how_the_run_has_failed() -> None:
    driver = Driver.start(section("ns1", retries=2), preferred=Family.IPV6)
    driver.until(1_000)
    driver.reply("ns1", Status.NX, "A")
    driver.until(2_000)
    assert driver.outcomes == [(2_000, Status.NX)]


def test_what_was_asked_beside_an_answered_type_does_not_delay_the_next_run() -> None:
    of_ttl = msgspec.structs.replace(section("ns1"), ttl_period=TtlPeriod(2_000, 30_000))
    driver = Driver.start(of_ttl, preferred=Family.IPV6)
    driver.until(1_000)
    driver.reply("ns1", Answer(Status.VALID, addresses("::1"), ttl_s=9), "AAAA")
    assert driver.resolution.deadline_ms == 10_000


def test_errors_of_all_try_both_types_on_each_attempt_and_end_at_once_on_the_last() -> None:
    driver = Driver.start(section("ns1", retries=2))
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", Status.NX)
    driver.until(1_000)
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", Status.NX)
    assert driver.questions == [(0, "A"), (0, "AAAA"), (1_000, "A"), (1_000, "AAAA")]
    assert driver.outcomes == [(1_000, Status.NX)]


def test_last_error_is_reported() -> None:
    driver = Driver.start(section("ns1", "ns2", retries=1))
    for first, last in ((Status.NX, Status.REFUSED), (Status.REFUSED, Status.OTHER)):
        driver.reply("ns1", first)
        driver.reply("ns2", last)
    assert driver.outcomes == [(0, Status.OTHER)]


def test_a_single_family_has_no_fall_back_and_waits_for_timeout_retry() -> None:
    driver = Driver.start(section("ns1", retries=2), families=(Family.IPV4,))
    driver.reply("ns1", Status.NX)
    driver.until(999)
    assert driver.questions == [(0, "A")]
    driver.until(1_000)
    driver.reply("ns1", Status.NX)
    driver.until(1_999)
    assert driver.outcomes == []
    driver.until(2_000)
    assert driver.questions == [(0, "A"), (1_000, "A")]
    assert driver.outcomes == [(2_000, Status.NX)]


def test_on_the_last_attempt_an_error_and_silence_are_reported_without_the_other_type() -> None:
    driver = Driver.start(section("ns1", "ns2", retries=1))
    driver.reply("ns1", Status.REFUSED)
    driver.until(1_000)
    assert driver.questions == [(0, "A")]
    assert driver.outcomes == [(1_000, Status.REFUSED)]


def test_valid_fall_back_is_never_merged_and_the_next_run_prefers_again() -> None:
    driver = Driver.start(section("ns1"), preferred=Family.IPV6)
    driver.reply("ns1", Status.NODATA)
    driver.reply("ns1", valid("127.0.1.1"))
    assert driver.questions == [(0, "AAAA"), (0, "A")]
    driver.until(1_000)
    assert driver.questions[-1] == (1_000, "AAAA")


@pytest.mark.parametrize("preferred", [Family.IPV4, Family.IPV6])
@pytest.mark.parametrize(("family", "kind"), [(Family.IPV4, "A"), (Family.IPV6, "AAAA")])
def test_a_single_accepted_family_wins_over_the_preference(
    preferred: Family, family: Family, kind: str
) -> None:
    driver = Driver.start(section(), families=(family,), preferred=preferred)
    assert driver.questions == [(0, kind)]


def test_next_run_comes_timeout_resolve_after_the_end_of_a_run() -> None:
    driver = Driver.start(section("ns1", resolve_ms=400))
    driver.until(300)
    driver.reply("ns1", valid("127.0.1.1"))
    driver.until(699)
    assert driver.questions == [(0, "A")]
    driver.until(700)
    assert driver.questions == [(0, "A"), (700, "A")]


def test_a_slow_nameserver_gets_its_answer_in_after_the_retry() -> None:
    driver = Driver.start(section("ns1"))
    driver.until(1_200)
    driver.reply("ns1", valid("127.0.1.1"), "A")
    assert driver.outcomes == [(1_200, Status.VALID)]


def test_a_late_error_about_the_other_type_says_nothing_about_this_one() -> None:
    driver = Driver.start(section("ns1", "ns2"))
    driver.reply("ns1", Status.NX)
    driver.until(1_000)  # now AAAA
    driver.reply("ns2", Status.NX, "A")
    driver.reply("ns1", Status.NX)
    assert driver.questions == [(0, "A"), (1_000, "AAAA")]
    driver.reply("ns2", valid("::1"))
    assert driver.outcomes == [(1_000, Status.VALID)]


def test_nameservers_that_could_not_be_asked_are_not_waited_for() -> None:
    driver = Driver.start(section("ns1", "ns2"))
    driver.resolution.unsent("ns2", QueryType.A)
    driver.reply("ns1", Status.NX)
    assert driver.questions == [(0, "A"), (0, "AAAA")]


def test_a_repeated_error_of_one_nameserver_does_not_count_for_the_other() -> None:
    driver = Driver.start(section("ns1", "ns2"))
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", Status.NX)
    assert driver.questions == [(0, "A")]


def test_a_reply_without_a_run_is_a_programming_error_that_names_the_state() -> None:
    driver = Driver.start(section("ns1"))
    driver.reply("ns1", valid("127.0.1.1"))
    with pytest.raises(ValueError, match=r"app\.test idle"):
        driver.resolution.reply("ns1", QueryType.A, valid("127.0.1.1"), 1)


def resolved_at(now_ms: int) -> Driver:
    driver = Driver.start(section("ns1", resolve_ms=60_000))
    driver.until(now_ms)
    driver.reply("ns1", valid("127.0.1.1"))
    return driver


def test_a_refused_connect_triggers_only_after_hold_valid() -> None:
    driver = resolved_at(100)
    driver.until(10_099)
    driver.trigger(Trigger.CONNECT_REFUSED, began_ms=10_000)
    assert len(driver.sent) == 1
    driver.until(10_100)
    driver.trigger(Trigger.CONNECT_REFUSED, began_ms=10_000)
    assert driver.questions[1:] == [(10_100, "A")]


def test_a_connect_timeout_triggers_when_it_began_after_the_last_valid_answer() -> None:
    driver = resolved_at(100)
    driver.until(2_000)
    driver.trigger(Trigger.CONNECT_TIMEOUT, began_ms=90)
    assert len(driver.sent) == 1
    driver.trigger(Trigger.CONNECT_TIMEOUT, began_ms=101)
    assert driver.questions[1:] == [(2_000, "A")]


def test_a_trigger_during_a_run_changes_nothing() -> None:
    driver = Driver.start(section("ns1"))
    driver.until(500)
    driver.trigger(Trigger.CONNECT_TIMEOUT, began_ms=400)
    assert driver.questions == [(0, "A")]


def test_after_a_failed_run_any_trigger_starts_the_next() -> None:
    one_type = (Family.IPV4,)
    driver = Driver.start(section("ns1", retries=1, resolve_ms=60_000), families=one_type)
    driver.until(1_500)
    assert driver.outcomes == [(1_000, Status.TIMEOUT)]
    driver.trigger(Trigger.CONNECT_REFUSED, began_ms=1_400)
    assert driver.questions == [(0, "A"), (1_500, "A")]


def test_what_truncated_replies_held_comes_with_the_end_of_a_failed_run() -> None:
    driver = Driver.start(section("ns1", "ns2", retries=1), families=(Family.IPV4,))
    cut = Answer(Status.TRUNCATED, addresses("127.0.1.1"), partial=True)
    driver.reply("ns1", cut)
    driver.reply("ns2", Status.NX)
    driver.until(1_000)
    ((_, finished),) = driver.finished
    assert (finished.status, finished.addresses) == (Status.NX, addresses("127.0.1.1"))
    driver.until(2_000)
    driver.reply("ns1", Status.NX)
    driver.reply("ns2", Status.NX)
    driver.until(3_000)
    assert driver.finished[1][1].addresses == ()


def test_an_attempt_waits_for_what_is_fetched_over_tcp() -> None:
    driver = Driver.start(section("ns1", retries=1, retry_ms=300))
    driver.until(200)
    driver.resolution.fetching(QueryType.A, 200)
    driver.until(500)
    assert driver.outcomes == []
    driver.reply("ns1", valid("127.0.1.1"))
    assert driver.outcomes == [(500, Status.VALID)]


def test_an_srv_label_has_one_type_and_no_family() -> None:
    label = resolution_settings(name="_web._tcp.app.test")
    resolution = Resolution(label, section("ns1"), (Family.IPV4,), 0, service=True)
    (action,) = resolution.tick(0)
    assert isinstance(action, Ask)
    assert action.question.query_type is QueryType.SRV
    assert resolution.reply("ns1", QueryType.SRV, Answer(Status.NX), 1) == []


def test_only_first_and_triggered_runs_are_urgent() -> None:
    driver = Driver.start(section("ns1", resolve_ms=60_000))
    assert driver.resolution.turn is Turn.URGENT
    driver.reply("ns1", valid("127.0.1.1"))
    assert driver.resolution.turn is not Turn.URGENT
    assert driver.resolution.trigger(Trigger.CONNECT_TIMEOUT, 1, 1)
    assert driver.resolution.turn is Turn.URGENT
    assert not driver.resolution.trigger(Trigger.CONNECT_TIMEOUT, 1, 1), "it is due already"
    driver.until(1)
    driver.reply("ns1", valid("127.0.1.1"))
    assert driver.resolution.turn is not Turn.URGENT


def after_ttl(ttl_s: int, *, failed: Status = Status.NODATA, early_ms: int = 0) -> int:
    """When the next run comes after an answer of A at 0, with `failed` for AAAA."""
    of_ttl = msgspec.structs.replace(section("ns1"), ttl_period=TtlPeriod(2_000, 30_000))
    driver = Driver.start(of_ttl, preferred=Family.IPV6)
    driver.resolution.early_ms = lambda period_ms: early_ms
    driver.reply("ns1", failed)
    driver.reply("ns1", Answer(Status.VALID, addresses("127.0.1.1"), ttl_s=ttl_s))
    return driver.resolution.deadline_ms


def test_the_next_run_follows_the_ttl_within_its_bounds() -> None:
    assert [after_ttl(ttl_s) for ttl_s in (0, 1, 2, 17, 30, 31, 2**31 - 1)] == [
        2_000, 2_000, 2_000, 17_000, 30_000, 30_000, 30_000,
    ]  # fmt: skip
    assert after_ttl(17, early_ms=500) == 16_500
    assert after_ttl(2, early_ms=500) == 2_000, "never before min"


def test_what_has_failed_is_asked_for_again_after_min_whatever_the_ttl() -> None:
    assert after_ttl(17, failed=Status.OTHER) == 2_000
    assert after_ttl(17, failed=Status.NX) == 17_000
    of_ttl = msgspec.structs.replace(section("ns1", retries=1), ttl_period=TtlPeriod(2_000, 30_000))
    driver = Driver.start(of_ttl)
    driver.until(1_000)
    assert (driver.outcomes, driver.resolution.deadline_ms) == ([(1_000, Status.TIMEOUT)], 3_000)
