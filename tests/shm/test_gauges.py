"""Rows and columns of the gauges: which are taken, over segments that follow one another."""

from __future__ import annotations

import os
import random
import resource
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, cast

import pytest

from shm.columns import columns_give, columns_keep, columns_mark, columns_none
from shm.counters import settle_dead_worker
from shm.gauges import Gauges
from shm.segment import Segment
from shm.shape import GaugesFullError, Shape
from tests.support.common import own_descriptors
from tests.support.compiled import compiled

ROWS = 4_096
COLUMNS = 262_144
SHEET_COLUMNS = 512
SHEETS = 16


class Places(Protocol):
    def take(self, segment: Segment, worker: int, slot: int, limit: int) -> bool: ...

    def served(self, segment: Segment, slot: int) -> int: ...


@pytest.fixture(scope="module")
def places() -> Places:
    """The product's own places at servers, compiled as for their torture."""
    source = Path(__file__).parents[1] / "relay" / "places.pyx"
    return cast("Places", compiled(source, "-O2", "-g0"))


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


def address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def test_address_space_is_taken_for_the_servers_that_there_are() -> None:
    before = address_space()
    few = Gauges(3)
    assert address_space() - before < 20 << 20
    assert few.columns == SHEET_COLUMNS
    few.reserve(20_000)
    assert address_space() - before < 700 << 20
    assert few.columns == 20_480, "no more than were asked for, in whole sheets"


def test_columns_grow_one_by_one_to_the_last_and_no_further() -> None:
    """Each sheet is half as large as all before it, so few of them suffice."""
    gauges = Gauges(1)
    sheets = 1
    while gauges.columns < COLUMNS:
        before = gauges.columns
        gauges.reserve(before + 1)
        assert gauges.columns > before
        sheets += 1
    assert (gauges.columns, sheets) == (COLUMNS, SHEETS)
    gauges.reserve(COLUMNS)
    with pytest.raises(ValueError, match="columns"):
        gauges.reserve(COLUMNS + 1)


def test_a_refused_mapping_leaves_the_gauges_as_they_were() -> None:
    gauges = Gauges(1)
    files = own_descriptors()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + (64 << 20), limits[1]))
    try:
        with pytest.raises(OSError, match="cannot map"):
            gauges.reserve(100_000)
        assert gauges.columns == SHEET_COLUMNS
        gauges.reserve(SHEET_COLUMNS + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert gauges.columns == 2 * SHEET_COLUMNS
    assert own_descriptors() == files + 1


def test_rows_beyond_the_limit_of_files_are_refused_and_take_none() -> None:
    gauges = Gauges(1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 8 * 8 * SHEET_COLUMNS, limits[1]))
    try:
        assert gauges.take(16) == list(range(16))
        with pytest.raises(OSError, match="too large"):
            gauges.take(1)
        assert gauges.rows == 16
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert gauges.take(1) == [16]


def test_each_server_of_each_worker_has_a_cell_of_its_own(
    stack: ExitStack, places: Places, seed: int
) -> None:
    """Over several sheets and lines: what is taken at one place is seen at no other."""
    first = segment_of(stack, 300, 3)
    second = segment_of(stack, 1_700, 9, first)
    third = segment_of(stack, 900, 2, second)
    used = columns_none()
    for made in (first, second, third):
        columns_mark(made, used)
    for made in (second, third):
        columns_give(made, used)
    chance = random.Random(seed)
    expected: dict[tuple[int, int], int] = {}
    taken: set[tuple[int, int, int]] = set()
    for number, made in enumerate((first, second, third)):
        for _ in range(3_000):
            slot = chance.randrange(made.shape.slots)
            worker = chance.randrange(made.shape.workers)
            if (number, slot, worker) not in taken:
                taken.add((number, slot, worker))
                assert places.take(made, worker, slot, 100)
                expected[number, slot] = expected.get((number, slot), 0) + 1
    for number, made in enumerate((first, second, third)):
        found = [places.served(made, slot) for slot in range(made.shape.slots)]
        assert found == [expected.get((number, slot), 0) for slot in range(made.shape.slots)]


def test_a_process_of_before_sees_workers_that_came_after_it(
    stack: ExitStack, places: Places
) -> None:
    """It was forked when there was one line of rows and one sheet of columns."""
    first = segment_of(stack, 1, 1)
    asks, asked = os.pipe()
    tells, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(asks, 1)
        os.write(told, b"%d" % places.served(first, 0))
        os._exit(0)
    last = first
    for _ in range(40):
        made = segment_of(stack, 600, 1, last)
        used = columns_none()
        columns_keep(last, made, array("I", [0]), array("I", [0]), used)
        columns_mark(first, used)
        columns_mark(last, used)
        columns_give(made, used)
        assert places.take(made, 0, 0, 100)
        last = made
    os.write(asked, b"?")
    answer = os.read(tells, 10)
    os.waitpid(child, 0)
    for descriptor in (asks, asked, tells, told):
        os.close(descriptor)
    assert answer == b"40"
