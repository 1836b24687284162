"""Timer wheel, pool and schedule against trivial models, by random operations from a seed."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from shm.slots import AdminTableWriter, SlotTableReader
from shm.states import AdminFlag
from tests.support.relay.parts import backend_with

TICK_MS = 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_no_timer_is_late_and_none_is_lost(parts: Any, seed: int) -> None:
    """A timer handed out early is inserted again with the same due time, as the relay does."""
    chance = random.Random(seed)
    now_ms = chance.randrange(10**9)
    wheel = parts.WheelHandle(200, now_ms)
    due: dict[int, int] = {}
    for _ in range(3_000):
        action = chance.random()
        number = chance.randrange(200)
        if action < 0.5:
            due[number] = now_ms + chance.choice([0, 3, 50, 300, 5_000, 60_000, 10**6, 10**8])
            due[number] += chance.randrange(1_000)
            wheel.insert(number, due[number])
        elif action < 0.6:
            wheel.remove(number)
            due.pop(number, None)
        else:
            now_ms += chance.choice([0, 1, 10, 257, 1_000, 20_000, 10**6])
            for found in wheel.take(now_ms):
                assert found in due, f"seed {seed}: a timer that is not in"
                if due[found] <= now_ms:
                    del due[found]
                else:
                    wheel.insert(found, due[found])
            late = [n for n, at in due.items() if at <= now_ms - TICK_MS]
            assert not late, f"seed {seed}: late at {now_ms}: {late}"
        if due:
            assert wheel.next_ms() <= min(due.values()) + TICK_MS, f"seed {seed}"
    while due:
        now_ms = max(now_ms + 1, wheel.next_ms())
        for found in wheel.take(now_ms):
            if due[found] <= now_ms:
                del due[found]
            else:
                wheel.insert(found, due[found])


@pytest.mark.parametrize("seed", range(20))
def test_timers_that_are_taken_in_portions_can_be_moved_and_removed_meanwhile(
    parts: Any, seed: int
) -> None:
    chance = random.Random(seed)
    now_ms = chance.randrange(10**9)
    wheel = parts.WheelHandle(300, now_ms)
    due = {number: now_ms + chance.randrange(1, 400_000) for number in range(300)}
    for number, at in due.items():
        wheel.insert(number, at)
    while due:
        now_ms = max(now_ms, wheel.next_ms()) + chance.choice([0, 1, 500, 100_000])
        found = wheel.take_some(now_ms, chance.randrange(1, 20))
        assert len(set(found)) == len(found)
        for number in found:
            at = due.pop(number)  # each once, and none that was removed
            if at > now_ms:
                due[number] = at
                wheel.insert(number, at)
        for number in chance.sample(sorted(due), min(len(due), 3)):
            if chance.random() < 0.5:
                wheel.remove(number)
                del due[number]
            else:
                due[number] = now_ms + chance.randrange(100_000)
                wheel.insert(number, due[number])
    assert wheel.take(now_ms + 10**8) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_pool_gives_distinct_zeroed_objects_and_returns_its_slabs(
    parts: Any, seed: int
) -> None:
    chance = random.Random(seed)
    size = chance.choice([32, 168, 192])
    pool = parts.PoolHandle(size)
    taken: list[int] = []
    for _ in range(5_000):
        if chance.random() < 0.55 or not taken:
            address = pool.take()
            assert address % 8 == 0
            taken.append(address)
        else:
            pool.give(taken.pop(chance.randrange(len(taken))))
    addresses = sorted(taken)
    assert all(b - a >= size for a, b in itertools.pairwise(addresses))
    for address in taken:
        pool.give(address)
    assert pool.slabs <= 2


@pytest.mark.parametrize("seed", range(30))
def test_each_server_has_its_turns_and_they_are_spread(parts: Any, seed: int) -> None:
    chance = random.Random(seed)
    weights = [chance.choice([0, 1, 1, 2, 3, 10, 100, 256]) for _ in range(chance.randrange(1, 30))]
    schedule = parts.schedule_of(backend_with(weights))
    counts = Counter(schedule)
    total = sum(weights)
    for slot, weight in enumerate(weights):
        assert counts[slot] * total == weight * len(schedule), f"seed {seed}"
        turns = [place for place, found in enumerate(schedule) if found == slot]
        gaps = [b - a for a, b in itertools.pairwise(turns)]
        fair = len(schedule) / max(1, len(turns))
        assert all(gap <= fair + len(weights) for gap in gaps), f"seed {seed}: slot {slot}"


def test_equal_weights_give_the_order_of_the_file(parts: Any) -> None:
    assert parts.schedule_of(backend_with([7] * 9)) == list(range(9))


def test_without_eligible_servers_there_are_no_turns(parts: Any) -> None:
    assert parts.schedule_of(backend_with([0, 0])) == []


def test_backups_have_turns_only_when_no_other_is_eligible(parts: Any) -> None:
    segment = backend_with([1, 1, 2, 1], frozenset({1, 2}))
    assert sorted(parts.schedule_of(segment)) == [0, 3]
    admin = AdminTableWriter(segment)
    for slot in (0, 3):
        record = SlotTableReader(segment).admin(slot)
        admin.publish(slot, record._replace(flags=AdminFlag.FMAINT))
    assert parts.schedule_of(segment) == [1]
    assert Counter(parts.schedule_of(segment, 0, True)) == {1: 1, 2: 2}


@pytest.mark.slow
def test_ten_thousand_weighted_servers_keep_their_proportions(parts: Any) -> None:
    weights = [1 + number * 37 % 256 for number in range(10_000)]
    schedule = parts.schedule_of(backend_with(weights))
    assert len(schedule) <= 262_144 + 10_000
    counts = Counter(schedule)
    total = sum(weights)
    for slot in range(0, 10_000, 97):
        fair = weights[slot] * len(schedule) / total
        assert abs(counts[slot] - fair) <= 1 + fair * 0.04
