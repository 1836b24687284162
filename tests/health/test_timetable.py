"""The timetable with a fake clock."""

from __future__ import annotations

from random import Random

from proxy.health.timetable import (
    STALE_ENTRIES_MAX,
    Timetable,
    first_due_ms,
    spread_ms,
)


def take_all(timetable: Timetable, now_ms: int) -> list[int]:
    found = []
    while (slot := timetable.take(now_ms)) is not None:
        found.append(slot)
    return found


def test_first_checks_are_spread_evenly_and_within_the_interval() -> None:
    dues = [first_due_ms(1_000, 2_000, position, 4) for position in range(4)]
    assert dues == [1_000, 1_500, 2_000, 2_500]


def test_the_longest_due_comes_first_and_nothing_early() -> None:
    timetable = Timetable()
    for slot, due_ms in ((1, 300), (2, 100), (3, 200), (4, 301)):
        timetable.place(slot, due_ms)
    assert timetable.next_ms() == 100
    assert take_all(timetable, 300) == [2, 3, 1]
    assert timetable.next_ms() == 301


def test_a_slot_placed_again_is_due_once() -> None:
    timetable = Timetable()
    timetable.place(1, 100)
    timetable.place(1, 400)
    assert take_all(timetable, 399) == []
    assert take_all(timetable, 400) == [1]
    assert not timetable.plans(1)


def test_a_paused_slot_is_not_due_and_comes_back_in_its_phase() -> None:
    timetable = Timetable()
    timetable.place(1, 1_250)
    timetable.pause(1)
    assert timetable.next_ms() is None
    assert timetable.resume(1, 4_000, 1_000) == 4_250
    timetable.pause(1)
    assert timetable.resume(1, 4_100, 1_000) == 4_250


def test_a_resumed_slot_is_never_due_later_than_one_interval() -> None:
    timetable = Timetable()
    timetable.place(1, 60_000)
    timetable.pause(1)
    assert timetable.resume(1, 1_000, 500) == 1_500


def test_the_heap_stays_bounded_when_one_slot_moves_all_the_time() -> None:
    timetable = Timetable()
    for due_ms in range(10_000, 0, -1):
        timetable.place(7, due_ms)
    assert timetable.entries <= 2 + STALE_ENTRIES_MAX
    assert take_all(timetable, 20_000) == [7]


def test_the_spread_is_random_and_stays_within_its_percentage() -> None:
    random = Random(1)
    found = {spread_ms(1_000, 20, random) for _ in range(500)}
    assert min(found) >= 800
    assert max(found) <= 1_200
    assert len(found) > 100
    assert spread_ms(1_000, 0, random) == 1_000


def test_against_a_plain_model_with_random_operations() -> None:
    for seed in range(50):
        random = Random(seed)
        timetable, model, now_ms = Timetable(), dict[int, int](), 0
        for _ in range(300):
            slot = random.randrange(8)
            match random.randrange(3):
                case 0:
                    model[slot] = now_ms + random.randrange(100)
                    timetable.place(slot, model[slot])
                case 1:
                    model.pop(slot, None)
                    timetable.pause(slot)
                case _:
                    now_ms += random.randrange(50)
                    expected = {s for s, due in model.items() if due <= now_ms}
                    assert set(take_all(timetable, now_ms)) == expected, f"seed {seed}"
                    for taken in expected:
                        del model[taken]
            assert timetable.next_ms() == min(model.values(), default=None), f"seed {seed}"
