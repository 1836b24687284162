"""Rows and columns of the gauges: which are taken, over segments that follow one another."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shm.columns import columns_give, columns_keep, columns_mark, columns_none
from shm.counters import settle_dead_worker
from shm.gauges import Gauges
from shm.segment import Segment
from shm.shape import GaugesFullError, Shape

ROWS = 4_096
COLUMNS = 262_144


def shape(slots: int, workers: int = 1) -> Shape:
    return Shape(slots, 1, 1, workers, 0, 0, 0)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def segment_of(
    stack: ExitStack, slots: int, workers: int = 1, after: Segment | None = None
) -> Segment:
    made = Segment.create(shape(slots, workers), 1, None if after is None else after.gauges)
    stack.callback(made.close)
    return made


def columns(segment: Segment) -> list[int]:
    """Those that its servers have, in ascending order."""
    used = columns_none()
    columns_mark(segment, used)
    return [column for column, mark in enumerate(used) if mark]


def test_rows_are_the_lowest_free_ones_and_come_back() -> None:
    gauges = Gauges()
    assert gauges.take(3) == [0, 1, 2]
    gauges.give(1)
    assert gauges.take(2) == [1, 3]
    assert gauges.rows == 4
    for row in range(4):
        gauges.give(row)
    assert gauges.rows == 0
    assert gauges.take(ROWS) == list(range(ROWS))


def test_more_workers_than_rows_are_refused_and_take_none() -> None:
    gauges = Gauges()
    gauges.take(ROWS - 1)
    with pytest.raises(GaugesFullError, match=f"{ROWS - 1} workers of former reloads"):
        gauges.take(2)
    assert gauges.take(1) == [ROWS - 1]


def test_a_segment_gives_each_row_back_once(stack: ExitStack) -> None:
    first = segment_of(stack, 1, 2)
    second = segment_of(stack, 1, 3, first)
    assert first.gauges is second.gauges
    assert first.gauges.rows == 5
    settle_dead_worker(first, 0)
    assert first.gauges.rows == 5, "a successor will have it"
    settle_dead_worker(first, 0, last=True)
    settle_dead_worker(first, 0, last=True)
    assert second.gauges.rows == 4
    third = segment_of(stack, 1, 1, first)
    first.close()
    assert third.gauges.rows == 4
    second.close()
    assert third.gauges.rows == 1


def test_a_segment_that_gets_no_rows_leaves_nothing_behind(stack: ExitStack) -> None:
    first = segment_of(stack, 1)
    first.gauges.take(ROWS - 1)
    with pytest.raises(GaugesFullError):
        Segment.create(shape(1), 2, first.gauges)
    assert first.gauges.rows == ROWS


def test_servers_keep_their_columns_and_others_get_free_ones(stack: ExitStack) -> None:
    first = segment_of(stack, 3)
    assert columns(first) == [0, 1, 2]
    second = segment_of(stack, 3, after=first)
    assert columns(second) == []
    used = columns_none()
    columns_keep(first, second, array("I", [2, 2]), array("I", [0, 1]), used)
    assert columns(second) == [2], "two servers of one name have two columns"
    columns_mark(first, used)
    columns_give(second, used)
    assert columns(second) == [2, 3, 4]
    first.close()
    used = columns_none()
    third = segment_of(stack, 4, after=second)
    columns_keep(first, third, array("I", [0]), array("I", [0]), used)
    columns_mark(first, used)
    assert columns(third) == [], "one that is closed has none"
    columns_mark(second, used)
    columns_give(third, used)
    assert columns(third) == [0, 1, 5, 6]
    with pytest.raises(IndexError):
        columns_keep(second, third, array("I", [3]), array("I", [0]), columns_none())


def test_no_two_living_names_ever_share_a_column(stack: ExitStack, seed: int) -> None:
    """Generations with servers of random names, of which some live on."""
    chance = random.Random(seed)
    living = [({name: name for name in range(5)}, segment_of(stack, 5))]
    for _ in range(60):
        slots = {name: slot for slot, name in enumerate(chance.sample(range(12), 5))}
        made = segment_of(stack, 5, after=living[-1][1])
        used = columns_none()
        for names, former in reversed(living):
            common = [name for name in slots if name in names]
            before = array("I", [names[name] for name in common])
            after = array("I", [slots[name] for name in common])
            columns_keep(former, made, before, after, used)
        for _, former in living:
            columns_mark(former, used)
        columns_give(made, used)
        assert len(columns(made)) == 5, f"seed {seed}"
        living.append((slots, made))
        for gone in chance.sample(living[:-1], chance.randrange(len(living))):
            living.remove(gone)
            gone[1].close()
        names_living = {name for names, _ in living for name in names}
        all_columns = {column for _, segment in living for column in columns(segment)}
        assert len(all_columns) == len(names_living), f"seed {seed}"


def test_more_servers_than_columns_are_refused(stack: ExitStack) -> None:
    segment = segment_of(stack, 2, after=segment_of(stack, 1))
    used = bytearray(b"\1" * COLUMNS)
    used[7] = 0
    with pytest.raises(GaugesFullError, match=f"over {COLUMNS}"):
        columns_give(segment, used)
