"""Records that leave and come back are recognised, for a minute, in bounded memory; a fake clock."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from resolverd.assignment.departures import REMEMBERED_MIN, REMEMBERED_MS, Departures
from resolverd.log.lines import ADVISED_MS, describe_came_back
from tests.support.dns.resolution import addresses


class Name:
    """The records of a name, answer by answer, with this `hold obsolete`."""

    def __init__(self, obsolete_ms: int = 0) -> None:
        self.obsolete_ms = obsolete_ms
        self.departures: Departures[object] = Departures()
        self.records: dict[object, int] = {}

    def answered(self, records: Iterable[object], now_ms: int) -> list[tuple[object, int]]:
        before = self.records
        kept = {key: seen for key, seen in before.items() if seen + self.obsolete_ms >= now_ms}
        self.records = kept | dict.fromkeys(records, now_ms)
        return self.departures.compare(before, self.records, now_ms)


def test_a_record_that_is_back_tells_how_long_it_was_unseen() -> None:
    name = Name()
    assert name.answered("ab", 1_000) == []
    assert name.answered("a", 2_000) == []
    assert name.answered("a", 3_000) == []
    assert name.answered("ba", 4_500) == [("b", 3_500)]
    assert name.answered("ba", 5_000) == []
    assert len(name.departures) == 0
    assert name.answered("ca", 6_000) == []  # c was never here
    assert name.answered("b", 7_000) == [("b", 2_000)]


def test_hold_obsolete_counts_as_unseen_and_prevents_it_when_it_is_long_enough() -> None:
    name = Name(obsolete_ms=2_000)
    for now_ms, records in ((0, "ab"), (1_000, "a"), (2_000, "a"), (3_000, "a")):
        assert name.answered(records, now_ms) == []
    assert name.answered("ab", 4_000) == [("b", 4_000)]
    name = Name(obsolete_ms=4_000)
    for now_ms, records in ((0, "ab"), (1_000, "a"), (2_000, "a"), (3_000, "a"), (4_000, "ab")):
        assert name.answered(records, now_ms) == []


@pytest.mark.parametrize(("away_ms", "back"), [(REMEMBERED_MS, 1), (REMEMBERED_MS + 1, 0)])
def test_after_a_minute_a_departure_is_forgotten(away_ms: int, back: int) -> None:
    name = Name()
    name.answered("ab", 0)
    name.answered("a", 500)
    assert len(name.departures) == 1
    name.answered("a", 500 + away_ms)
    assert len(name.departures) == back
    assert len(name.answered("ab", 500 + away_ms)) == back


def test_no_more_departures_are_remembered_than_there_are_records_or_a_few() -> None:
    name = Name()
    many = range(10 * REMEMBERED_MIN)
    name.answered(many, 0)
    name.answered(many[: 2 * REMEMBERED_MIN], 1)
    assert len(name.departures) == 2 * REMEMBERED_MIN
    for now_ms in range(2, 1_000):
        name.answered([now_ms], now_ms)
        assert len(name.departures) == REMEMBERED_MIN
    assert name.answered([999 - REMEMBERED_MIN], 1_000) == [
        (999 - REMEMBERED_MIN, 1 + REMEMBERED_MIN)
    ]
    assert name.answered([999 - REMEMBERED_MIN - 2], 1_001) == []  # one too many


def test_a_failure_between_loses_nothing_and_is_no_departure() -> None:
    name = Name()
    name.answered("abc", 0)
    name.answered("ab", 1_000)
    name.records = {}  # all went by an error
    assert name.answered("ab", 2_000) == []
    assert name.answered("abc", 3_000) == [("c", 3_000)]


def test_subsets_of_eight_out_of_twenty_are_recognised_and_the_advice_ends_it() -> None:
    pool = addresses(*[f"127.3.0.{number + 1}" for number in range(20)])
    chance = random.Random(1)
    answers = [chance.sample(pool, 8) for _ in range(200)]
    name, advised = Name(), Name(obsolete_ms=30_000)
    returns = longest_ms = 0
    for number, answer in enumerate(answers):
        back = name.answered(answer, 1_000 * number)
        returns += len(back)
        longest_ms = max([longest_ms, *[unseen_ms for _, unseen_ms in back]])
        assert advised.answered(answer, 1_000 * number) == []
    assert returns > 800  # of 1,600 records seen
    assert longest_ms < 30_000
    assert len(advised.records) == 20


@pytest.mark.parametrize(
    ("unseen_ms", "obsolete_ms", "present", "advice"),
    [
        (2_000, 0, "0s", "30s"),
        (15_000, 1_500, "1500ms", "30s"),
        (15_001, 10_000, "10s", "60s"),
        (70_000, 60_000, "60s", "300s"),
        (3_600_000, 3_590_000, "3590s", "300s"),
    ],
)
def test_the_advice_is_twice_as_long_as_the_record_was_unseen(
    unseen_ms: int, obsolete_ms: int, present: str, advice: str
) -> None:
    assert ADVISED_MS[-1] == 300_000
    [(level, text)] = describe_came_back("app.test", "127.0.0.1", unseen_ms, obsolete_ms, "r1")
    assert level == 4
    assert text == (
        "Record '127.0.0.1' of 'app.test' left and came back: answers were without it for "
        f"{unseen_ms / 1000:.1f}s, and 'hold obsolete' is {present}. If answers do not always hold "
        f"all records, set 'hold obsolete {advice}' in resolvers 'r1'."
    )
