"""Rates over a period: the words in shared memory count as one list of moments says."""

from __future__ import annotations

import random

import pytest

from tests.support.generated import sample
from tests.support.tables.steps import Steps, table_steps

HISTORIES = sample(300, full=10_000)


@pytest.fixture(scope="module")
def steps() -> Steps:
    return table_steps()


class ModelRate:
    """The same in plain words: periods that begin with an event after a pause."""

    def __init__(self, period_ms: int) -> None:
        self.period_ms = period_ms
        self.began_ms: int | None = None
        self.count = self.before = 0

    def add(self, now_ms: int, events: int) -> None:
        if self.began_ms is None or now_ms - self.began_ms >= 2 * self.period_ms:
            self.began_ms, self.count, self.before = now_ms, 0, 0
        elif now_ms - self.began_ms >= self.period_ms:
            self.began_ms += self.period_ms
            self.count, self.before = 0, self.count
        self.count += events

    def read(self, now_ms: int) -> int:
        if self.began_ms is None:
            return 0
        age = now_ms - self.began_ms
        if age < self.period_ms:
            count, before = self.count, self.before
        elif age <= 2 * self.period_ms:
            age -= self.period_ms
            count, before = 0, self.count
        else:
            return 0
        if count == 0 and before <= 1:
            return before
        return count + before * (self.period_ms - age) // self.period_ms


@pytest.mark.parametrize("start_ms", [1, 5_000, (1 << 31) - 700, (1 << 32) - 700, 3 << 40])
def test_a_rate_is_what_its_model_says(steps: Steps, seed: int, start_ms: int) -> None:
    chance = random.Random(seed + start_ms)
    for _ in range(HISTORIES):
        period_ms = chance.choice((1, 10, 100, 1_000, 10_000))
        words = memoryview(bytearray(16)).cast("Q")
        model, now_ms = ModelRate(period_ms), start_ms
        for _ in range(30):
            now_ms += chance.choice((0, 0, 1, period_ms // 3, period_ms, 3 * period_ms))
            if chance.random() < 0.7:
                events = chance.choice((1, 1, 5, 1_000))
                steps.add_rate(words, period_ms, now_ms, events)
                model.add(now_ms, events)
            assert steps.read_rate(words, period_ms, now_ms) == model.read(now_ms), f"seed {seed}"


def test_a_clock_that_is_a_moment_behind_loses_nothing(steps: Steps) -> None:
    """Workers read the clock once a turn: one may add after a later one has."""
    words = memoryview(bytearray(16)).cast("Q")
    steps.add_rate(words, 1_000, 10_050, 1)
    steps.add_rate(words, 1_000, 10_000, 1)
    assert steps.read_rate(words, 1_000, 10_050) == 2


def test_a_rate_that_is_beyond_32_bits_stays_at_the_highest(steps: Steps) -> None:
    """Bytes of a fast link in an hour are so many."""
    words = memoryview(bytearray(16)).cast("Q")
    for _ in range(3):
        steps.add_rate(words, 1_000, 10_000, 0x7FFFFFFF)
    assert steps.read_rate(words, 1_000, 10_001) == 0xFFFFFFFF
    steps.add_rate(words, 1_000, 11_000, 0x7FFFFFFF)
    steps.add_rate(words, 1_000, 11_000, 0x7FFFFFFF)
    assert steps.read_rate(words, 1_000, 11_001) == 0xFFFFFFFF
    assert steps.read_rate(words, 1_000, 11_500) == 0xFFFFFFFF
    assert steps.read_rate(words, 1_000, 12_500) == 0x7FFFFFFF
    assert steps.read_rate(words, 1_000, 13_001) == 0


def test_a_rate_that_rested_for_a_month_begins_anew(steps: Steps) -> None:
    words = memoryview(bytearray(16)).cast("Q")
    steps.add_rate(words, 1_000, 10_000, 7)
    steps.add_rate(words, 1_000, 10_000 + 30 * 86_400_000, 1)
    assert steps.read_rate(words, 1_000, 10_000 + 30 * 86_400_000) == 1
