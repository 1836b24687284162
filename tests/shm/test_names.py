"""Names of slots in the segment: what is written is read, and no order is overlooked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shm.names import NameOrderWatch, NameOrderWriter, NameReader, TargetWriter
from shm.segment import Segment
from shm.shape import Shape
from shm.states import NameState

NONE = NameState("", 0)
LONGEST = ".".join(["a" * 63] * 4)


@pytest.fixture
def segment() -> Iterator[Segment]:
    """Three slots."""
    made = Segment.create(Shape(3, 1, 1, 1, 0, 0, 0))
    yield made
    made.close()


def test_a_name_is_published_whole_and_taken_back(segment: Segment) -> None:
    reader, writer = NameReader(segment), TargetWriter(segment)
    assert [reader.target(slot) for slot in range(3)] == [NONE] * 3
    writer.publish(1, LONGEST, 1 << 40)
    assert [reader.target(slot) for slot in range(3)] == [NONE, NameState(LONGEST, 1 << 40), NONE]
    writer.publish(1, "host1", 3)
    assert reader.target(1) == NameState("host1", 3)
    writer.publish(1, "", 0)
    assert reader.target(1) == NONE


def test_targets_and_orders_are_apart_and_move_no_generation_of_the_table(
    segment: Segment,
) -> None:
    reader, generation = NameReader(segment), segment.table_generation
    TargetWriter(segment).publish(0, "target.test", 1)
    NameOrderWriter(segment).publish(0, "order.test", 2)
    assert (reader.target(0).name, reader.order(0).name) == ("target.test", "order.test")
    assert segment.table_generation == generation


def test_what_is_no_slot_or_no_name_is_refused(segment: Segment) -> None:
    reader, targets, orders = NameReader(segment), TargetWriter(segment), NameOrderWriter(segment)
    with pytest.raises(IndexError):
        reader.target(3)
    with pytest.raises(IndexError):
        reader.order(3)
    with pytest.raises(IndexError):
        targets.publish(3, "a", 0)
    with pytest.raises(IndexError):
        orders.publish(3, "a", 0)
    with pytest.raises(ValueError, match="256 bytes"):
        targets.publish(0, "a" * 256, 0)
    assert reader.target(0) == NONE


def test_each_order_is_told_once_and_all_of_them_to_a_newcomer(segment: Segment) -> None:
    orders, watch = NameOrderWriter(segment), NameOrderWatch(segment)
    assert watch.changes() == []
    orders.publish(2, "one.test", 1)
    orders.publish(0, "two.test", 2)
    assert watch.changes() == [0, 2]
    assert watch.changes() == []
    orders.publish(0, "", 3)
    assert watch.changes() == [0]
    assert NameOrderWatch(segment).changes() == [0, 2]


def test_the_last_of_many_orders_is_what_a_look_finds(segment: Segment) -> None:
    orders, watch, reader = NameOrderWriter(segment), NameOrderWatch(segment), NameReader(segment)
    for number in range(100):
        orders.publish(1, f"n{number}.test", number)
    assert watch.changes() == [1]
    assert reader.order(1) == NameState("n99.test", 99)
