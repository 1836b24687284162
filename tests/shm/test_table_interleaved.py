"""Two writers at one table: one is stopped at every instruction, and the other does all of its work.

What is held at the end is what was asked for, by either; whatever the first was about to do.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator

import pytest

from shm.tables.entries import TableReader
from shm.tables.memory import StickTable
from tests.support.generated import sample
from tests.support.tables.steps import Steps, memories, small_table, table_steps
from tests.support.trace import stop_at_each

NOW_MS = 60_000
STRIDE = sample(61, full=1)  # of the instructions at which the first one is stopped
INSTRUCTIONS_MAX = 20_000


@pytest.fixture(scope="module")
def steps() -> Steps:
    return table_steps()


def full_table(steps: Steps) -> tuple[StickTable, bytes, bytes]:
    """A table full of entries that nothing holds, the oldest's key, and one that may take any."""
    table = small_table(1, 3, expire_ms=100_000)
    number = entries = 0
    while entries < table.cells:
        key = number.to_bytes(4, "little")
        cell = steps.take(table, 0, key, 20_000 + number)
        if cell is not None:
            steps.give(table, 0, cell, 20_000 + number)
        entries = len(TableReader(table).page(0, table.cells, NOW_MS))
        number += 1
    entries_now = TableReader(table).page(0, table.cells, NOW_MS)
    oldest = min(entries_now, key=lambda entry: entry.left_ms).key
    keys = (f"{number:04}".encode() for number in range(10_000))
    new = next(key for key in keys if steps.buckets(table, key) == (0, 1))
    return table, oldest, new


def interleaved(
    steps: Steps, table: StickTable, key: bytes, other: Callable[[], int | None]
) -> Iterator[tuple[int | None, int | None, int]]:
    """A child takes `key` as writer 1, stopped after so many instructions, while `other` works.

    Yields both cells and the number of instructions; the table is put back before each.
    """
    said = memoryview(mmap.mmap(-1, 8)).cast("Q")

    def take() -> None:
        said[0] = 0
        steps.take_stopped(table, 1, key, NOW_MS, said)

    for child, count in stop_at_each(memories(table), take, STRIDE, INSTRUCTIONS_MAX):
        if said[0]:
            return
        taken = other()
        child.finish()
        yield (said[0] - 1 if said[0] else None), taken, count


def held(table: StickTable) -> dict[int, tuple[bytes, int]]:
    """Keys and sessions of the entries that are held, by cell."""
    entries = TableReader(table).page(0, table.cells, NOW_MS)
    return {entry.cell: (entry.key, entry.sessions) for entry in entries if entry.sessions}


@pytest.mark.slow
def test_an_entry_that_is_taken_away_meanwhile_is_not_the_one_that_is_held(steps: Steps) -> None:
    table, oldest, new = full_table(steps)
    before = table.evicted
    gone = looks = 0
    for own, other, count in interleaved(
        steps, table, oldest, lambda: steps.take(table, 2, new, NOW_MS)
    ):
        assert own is not None
        assert other is not None
        assert own != other, f"after {count} instructions"
        assert held(table) == {own: (oldest, 1), other: (new, 1)}, f"after {count}"
        assert steps.unfinished(table) == []
        gone += table.evicted - before > 1
        looks += 1
    assert looks > 200 // STRIDE
    assert 0 < gone < looks, "it was taken away before some instructions, and not before others"


@pytest.mark.slow
def test_an_entry_that_is_held_meanwhile_is_not_taken_away(steps: Steps) -> None:
    table, oldest, new = full_table(steps)
    looks = 0
    for own, other, count in interleaved(
        steps, table, new, lambda: steps.take(table, 2, oldest, NOW_MS)
    ):
        assert own is not None
        assert other is not None
        assert held(table) == {own: (new, 1), other: (oldest, 1)}, f"after {count}"
        assert steps.unfinished(table) == []
        looks += 1
    assert looks > 400 // STRIDE


@pytest.mark.slow
def test_two_that_make_one_entry_share_it_or_lookups_find_one(steps: Steps) -> None:
    """The other does not wait for ever for one that is stopped: then there are two."""
    table = small_table(1, 3, expire_ms=100_000)
    shared = twice = 0
    for own, other, count in interleaved(
        steps, table, b"same", lambda: steps.take(table, 2, b"same", NOW_MS)
    ):
        found = held(table)
        note = f"after {count} instructions"
        if own == other:
            assert found == {own: (b"same", 2)}, note
            shared += 1
        else:
            assert found == {own: (b"same", 1), other: (b"same", 1)}, note
            twice += 1
        assert steps.unfinished(table) == [], note
        assert steps.take(table, 0, b"same", NOW_MS, False) == min(own or 0, other or 0), note
    assert shared > twice > 0
