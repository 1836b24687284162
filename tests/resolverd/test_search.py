"""Short names: the order of a search list, and a run's way through it with a fake clock (M13)."""

from __future__ import annotations

import random

import msgspec
import pytest

from resolverd.config import Family, ResolutionSettings
from resolverd.dns.answer import Status
from resolverd.resolution.search import DENIED_WAIT_MS, NAME_MAX, candidates
from tests.support.dns.resolution import Driver, resolution_settings, section, valid

LIST = ("a.test", "b.test")
ONE = (Family.IPV4,)


@pytest.mark.parametrize(
    ("name", "domains", "ndots", "order"),
    [
        ("web", LIST, 1, ("web.a.test", "web.b.test", "web")),
        ("web.x", LIST, 1, ("web.x", "web.x.a.test", "web.x.b.test")),
        ("web.x", LIST, 2, ("web.x.a.test", "web.x.b.test", "web.x")),
        ("web.x.y", LIST, 2, ("web.x.y", "web.x.y.a.test", "web.x.y.b.test")),
        ("web", LIST, 0, ("web", "web.a.test", "web.b.test")),
        ("web", (), 1, ("web",)),
        ("web", ("", "a.test"), 1, ("web", "web.a.test")),
        ("web", ("a.test", "a.test"), 1, ("web.a.test", "web")),
    ],
)
def test_names_are_tried_in_the_order_of_libc(
    name: str, domains: tuple[str, ...], ndots: int, order: tuple[str, ...]
) -> None:
    assert candidates(name, domains, ndots) == order


def test_a_name_that_a_domain_would_make_too_long_is_left_out() -> None:
    domain = ".".join(["d" * 49] * 5)  # 249 characters
    assert candidates("abc", (domain,), 1) == (f"abc.{domain}", "abc")
    assert len(f"abc.{domain}") == NAME_MAX
    assert candidates("abcd", (domain,), 1) == ("abcd",)


def searched(name: str = "web") -> ResolutionSettings:
    return msgspec.structs.replace(resolution_settings((), Family.IPV4, name), search=True)


def start(
    *nameservers: str, families: tuple[Family, ...] = ONE, retries: int = 3, ndots: int = 1
) -> Driver:
    settings = section(*(nameservers or ("ns1",)), retries=retries)
    settings = msgspec.structs.replace(settings, search=LIST, ndots=ndots)
    return Driver.start(settings, families, settings=searched())


def test_nx_goes_to_the_next_name_at_once() -> None:
    driver = start()
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", Status.NODATA)
    assert driver.names == ["web.a.test", "web.b.test", "web"]
    assert driver.now_ms == 0
    assert driver.abandoned == [0, 0]
    driver.reply("ns1", valid("127.0.1.1"))
    assert driver.outcomes == [(0, Status.VALID)]


@pytest.mark.parametrize("retries", [1, 3])
def test_both_families_are_asked_before_a_name_is_given_up(retries: int) -> None:
    driver = start(families=(Family.IPV4, Family.IPV6), retries=retries)
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", Status.NODATA)
    driver.reply("ns1", Status.NODATA)
    driver.reply("ns1", valid("::1"))
    assert driver.names == ["web.a.test", "web.a.test", "web.b.test", "web.b.test"]
    assert [kind for _, kind in driver.questions] == ["A", "AAAA", "A", "AAAA"]
    assert driver.outcomes == [(0, Status.VALID)]


@pytest.mark.parametrize("error", [Status.OTHER, Status.REFUSED, Status.TRUNCATED])
@pytest.mark.parametrize("families", [ONE, (Family.IPV4, Family.IPV6)])
def test_errors_that_deny_nothing_are_retried_and_end_the_run(
    error: Status, families: tuple[Family, ...]
) -> None:
    driver = start(families=families)
    while not driver.finished:
        if driver.now_ms == driver.sent[-1][0]:
            sent = len(driver.sent)
            driver.reply("ns1", error)
            if len(driver.sent) > sent or driver.finished:
                continue
        driver.until(driver.resolution.deadline_ms)
    assert set(driver.names) == {"web.a.test"}
    assert driver.outcomes[0][1] is error
    assert len(driver.names) == 3 * len(families)


def test_silence_is_retried_and_ends_the_run() -> None:
    driver = start()
    driver.until(3_000)
    assert driver.names == ["web.a.test"] * 3
    assert driver.outcomes == [(3_000, Status.TIMEOUT)]


def test_a_type_that_nobody_answers_does_not_stop_the_walk() -> None:
    driver = start(families=(Family.IPV4, Family.IPV6))
    driver.until(1_000)
    driver.reply("ns1", Status.NX, "AAAA")
    driver.until(2_000)
    assert driver.questions[3:] == [(2_000, "A"), (2_000, "AAAA")], "silence is remembered"
    driver.reply("ns1", valid("::1"), "AAAA")
    driver.until(3_000)
    assert driver.names == ["web.a.test"] * 3 + ["web.b.test"] * 2
    assert driver.outcomes == [(3_000, Status.VALID)]


def test_no_data_beside_silence_gives_a_name_up_with_its_last_attempt() -> None:
    driver = start(families=(Family.IPV4, Family.IPV6))
    for second in (1, 2):
        driver.until(1_000 * second)
        driver.reply("ns1", Status.NODATA, "AAAA")
    driver.until(2_999)
    assert set(driver.names) == {"web.a.test"}
    driver.until(3_000)
    assert driver.names[-2:] == ["web.b.test"] * 2


def test_a_walk_waits_for_a_silent_nameserver_once() -> None:
    driver = start("ns1", "ns2")
    driver.reply("ns1", Status.NX)
    driver.until(DENIED_WAIT_MS - 1)
    assert driver.names == ["web.a.test"]
    driver.until(DENIED_WAIT_MS)
    assert driver.names == ["web.a.test", "web.b.test"]
    driver.reply("ns1", Status.NX)
    assert driver.names == ["web.a.test", "web.b.test", "web"]
    assert driver.now_ms == DENIED_WAIT_MS
    assert driver.unanswered == [], "a short wait tells nothing of the nameserver to other names"
    driver.reply("ns1", valid("127.0.1.1"))
    assert driver.outcomes == [(DENIED_WAIT_MS, Status.VALID)]


def long_walk(retries: int, retry_ms: int) -> Driver:
    """AAAA and A along six domains; ns2 is dead."""
    settings = section("ns1", "ns2", retries=retries, retry_ms=retry_ms)
    domains = tuple(f"{each}.test" for each in "abcdef")
    return Driver.start(
        msgspec.structs.replace(settings, search=domains, ndots=1),
        (Family.IPV6, Family.IPV4),
        settings=msgspec.structs.replace(searched(), preferred=Family.IPV6),
    )


@pytest.mark.parametrize(("retries", "retry_ms"), [(1, 1_000), (3, 1_000), (3, 100)])
def test_a_dead_nameserver_costs_a_long_walk_one_wait(retries: int, retry_ms: int) -> None:
    driver = long_walk(retries, retry_ms)
    while driver.names[-1] != "web.f.test":
        asked = len(driver.names)
        driver.reply("ns1", Status.NX)
        if len(driver.names) == asked:
            driver.until(driver.resolution.deadline_ms)
    driver.reply("ns1", Status.NODATA)
    driver.reply("ns1", valid("127.0.1.1"))
    assert driver.outcomes == [(min(DENIED_WAIT_MS, retry_ms), Status.VALID)]
    assert driver.names == [f"web.{each}.test" for each in "abcdef" for _ in ("AAAA", "A")]


def test_a_later_run_does_not_wait_for_it_until_it_answers() -> None:
    driver = long_walk(3, 1_000)
    driver.reply("ns1", Status.NODATA)
    driver.until(DENIED_WAIT_MS)
    driver.reply("ns1", valid("127.0.1.1"))
    driver.until(DENIED_WAIT_MS + 1_000)
    driver.reply("ns1", Status.NODATA)
    assert driver.questions[-1] == (DENIED_WAIT_MS + 1_000, "A"), "at once"
    driver.reply("ns2", Status.NX)  # it is alive
    driver.reply("ns1", valid("127.0.1.1"))
    driver.until(DENIED_WAIT_MS + 2_000)
    asked = len(driver.names)
    driver.reply("ns1", Status.NODATA)
    assert len(driver.names) == asked, "it is waited for again"
    driver.reply("ns2", Status.NODATA)
    assert len(driver.names) == asked + 1


def test_a_denial_that_fails_the_run_waits_for_all_nameservers() -> None:
    driver = start("ns1", "ns2")
    driver.reply("ns1", Status.NX)
    driver.until(DENIED_WAIT_MS)
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", Status.NX)
    driver.until(DENIED_WAIT_MS + 900)
    assert driver.finished == []
    driver.reply("ns2", valid("127.0.1.1"))
    assert driver.outcomes == [(DENIED_WAIT_MS + 900, Status.VALID)]


def test_a_reply_that_is_asked_for_again_over_tcp_is_waited_for() -> None:
    driver = start("ns1", "ns2")
    driver.resolution.fetching(driver.sent[-1][1], 0)
    driver.reply("ns1", Status.NX)
    driver.until(1_000)
    assert driver.names == ["web.a.test"]
    driver.reply("ns2", valid("127.0.1.1"))
    assert driver.outcomes == [(1_000, Status.VALID)]


def test_an_outage_of_one_domain_is_no_denial_beside_silence() -> None:
    driver = start("ns1", "ns2")
    driver.reply("ns1", Status.OTHER)
    driver.until(999)
    assert driver.names == ["web.a.test"]
    driver.until(2_999)
    assert set(driver.names) == {"web.a.test"}


@pytest.mark.parametrize("order", [(Status.NX, Status.REFUSED), (Status.REFUSED, Status.NX)])
def test_where_nameservers_disagree_the_name_is_retried_first(order: tuple[Status, ...]) -> None:
    driver = start("ns1", "ns2", retries=2)
    for attempt in (0, 1_000):
        driver.until(attempt)
        for nameserver, status in zip(("ns1", "ns2"), order, strict=True):
            driver.reply(nameserver, status)
    driver.until(2_000)
    assert driver.names[:2] == ["web.a.test"] * 2
    assert driver.names[2] == "web.b.test"


@pytest.mark.parametrize("families", [ONE, (Family.IPV4, Family.IPV6)])
def test_with_one_try_a_denial_beside_silence_is_enough(families: tuple[Family, ...]) -> None:
    driver = start("ns1", "ns2", retries=1, families=families)
    driver.reply("ns1", Status.NX)
    driver.until(DENIED_WAIT_MS)
    if len(families) > 1:
        driver.reply("ns1", Status.NX)
    assert driver.names == ["web.a.test"] * len(families) + ["web.b.test"]


def test_each_name_has_all_its_retries() -> None:
    driver = start(retries=2)
    driver.until(1_000)
    driver.reply("ns1", Status.NX)
    assert driver.names == ["web.a.test", "web.a.test", "web.b.test"]
    driver.until(2_000)
    assert driver.names[3:] == ["web.b.test"]
    driver.until(3_000)
    assert driver.outcomes == [(3_000, Status.TIMEOUT)]


def test_a_list_without_any_name_fails_at_once_as_nx() -> None:
    driver = start()
    for _ in range(3):
        driver.reply("ns1", Status.NX)
    assert driver.outcomes == [(0, Status.NX)]


def test_a_list_with_a_name_that_has_no_address_fails_as_nodata() -> None:
    driver = start()
    for status in (Status.NX, Status.NODATA, Status.NX):
        driver.reply("ns1", status)
    assert driver.outcomes == [(0, Status.NODATA)]


def test_the_name_that_was_answered_is_asked_first_until_it_is_denied() -> None:
    driver = start()
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", valid("127.0.1.1"))
    driver.until(1_000)
    assert driver.names[2:] == ["web.b.test"]
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", Status.NX)
    assert driver.names[2:] == ["web.b.test", "web.a.test", "web"]
    driver.reply("ns1", Status.NX)
    driver.until(2_000)
    assert driver.names[5:] == ["web.a.test"]


def test_an_outage_does_not_make_it_forget_the_name() -> None:
    driver = start(retries=1)
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", valid("127.0.1.1"))
    driver.until(1_000)
    driver.until(3_000)  # silence
    assert driver.names[2:] == ["web.b.test", "web.b.test"]


def test_truncated_records_of_another_name_are_not_handed_on() -> None:
    driver = start("ns1", "ns2", retries=1)
    cut = msgspec.structs.replace(valid("127.0.1.1"), status=Status.TRUNCATED, partial=True)
    driver.reply("ns1", cut)
    driver.reply("ns2", Status.NX)
    driver.until(1_000)
    assert driver.names[-1] == "web.b.test"
    driver.until(2_000)
    ((_, finished),) = driver.finished
    assert finished.addresses == ()


def test_without_the_option_a_list_changes_nothing() -> None:
    settings = msgspec.structs.replace(section("ns1"), search=LIST)
    driver = Driver.start(settings, ONE, settings=resolution_settings((), Family.IPV4, "web"))
    driver.reply("ns1", Status.NX)
    driver.until(1_000)
    assert driver.names == ["web", "web"]


def test_another_list_counts_from_the_next_run_on() -> None:
    driver = start()
    followed = msgspec.structs.replace(section("ns1"), search=("c.test",))
    driver.resolution.follow(followed)
    driver.reply("ns1", Status.NX)
    driver.reply("ns1", valid("127.0.1.1"))
    driver.until(1_000)
    assert driver.names == ["web.a.test", "web.b.test", "web.c.test"]


def test_any_history_ends_and_asks_no_name_twice_without_a_retry() -> None:
    statuses = [Status.NX, Status.NODATA, Status.REFUSED, Status.OTHER, None]
    for seed in range(500):
        dice = random.Random(seed)
        driver = start("ns1", "ns2", families=dice.choice([ONE, (Family.IPV4, Family.IPV6)]))
        while not driver.finished:
            for nameserver in ("ns1", "ns2"):
                status = dice.choice(statuses)
                if status is not None and not driver.finished:
                    driver.reply(nameserver, status)
            if not driver.finished:
                driver.until(driver.resolution.deadline_ms)
        assert len(set(driver.names)) <= 3, f"seed {seed}"
        assert driver.now_ms <= 3 * 3 * 2_000, f"seed {seed}"
        assert list(dict.fromkeys(driver.names)) == list(
            ("web.a.test", "web.b.test", "web")[: len(set(driver.names))]
        ), f"seed {seed}"
