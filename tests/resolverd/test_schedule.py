"""Deadlines come up in order and a replaced one never does."""

from __future__ import annotations

import random

from resolverd.pace.deadline_heap import Schedule


def test_keys_come_up_in_order_of_time() -> None:
    schedule = Schedule()
    for key, deadline in ((1, 30), (2, 10), (3, 20)):
        schedule.set(key, deadline)
    assert schedule.next_deadline_ms() == 10
    assert schedule.pop_due(20, 100) == [2, 3]
    assert schedule.pop_due(29, 100) == []
    assert schedule.pop_due(30, 100) == [1]
    assert schedule.next_deadline_ms() is None


def test_a_replaced_deadline_is_passed_over() -> None:
    schedule = Schedule()
    schedule.set(1, 10)
    schedule.set(1, 50)
    assert schedule.pop_due(49, 100) == []
    schedule.set(1, 5)
    assert schedule.pop_due(50, 100) == [1]
    assert schedule.pop_due(100, 100) == []


def test_only_as_many_come_up_as_were_asked_for() -> None:
    schedule = Schedule()
    for key in range(5):
        schedule.set(key, key)
    assert schedule.pop_due(10, 3) == [0, 1, 2]
    assert schedule.pop_due(10, 3) == [3, 4]


def test_random_histories_agree_with_a_dictionary() -> None:
    seed = random.randrange(1 << 30)
    generator = random.Random(seed)
    schedule, model, now = Schedule(), dict[int, int](), 0
    for _ in range(5_000):
        key, now = generator.randrange(20), now + generator.randrange(3)
        model[key] = now + generator.randrange(40)
        schedule.set(key, model[key])
        due = schedule.pop_due(now, 100)
        expected = sorted((deadline, key) for key, deadline in model.items() if deadline <= now)
        assert due == [key for _, key in expected], f"seed {seed}"
        for key in due:
            del model[key]


def test_deadlines_that_are_replaced_for_ever_take_no_more_room() -> None:
    schedule = Schedule()
    for number in range(10_000):
        schedule.set(number % 3, 1_000_000 - number)
    assert len(schedule._heap) <= 64 + 2 * 3
    assert schedule.pop_due(1_000_000, 10) == [0, 2, 1]


def test_a_key_that_was_dropped_is_not_due() -> None:
    schedule = Schedule()
    schedule.set(1, 10)
    schedule.set(2, 20)
    schedule.drop(1)
    schedule.drop(7)
    assert schedule.next_deadline_ms() == 20
    assert schedule.pop_due(30, 10) == [2]
