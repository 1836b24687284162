"""The product's writers run one instruction at a time, and are killed after each store they make.

After every single instruction a reader in another process must get the old record or the new one,
at once; after a death at any of them a successor must leave the table as if nothing had happened,
and whoever watches only the generations must find a reason to look.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import astuple, replace

from shm.names import NameOrderWatch, NameOrderWriter, NameReader, TargetWriter
from shm.processes import ProcessBoard
from shm.requests import CheckRequests, RequestReader
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import HEALTH_NONE, AdminState, HealthState, NameState, SlotState, StaticState
from tests.support.trace import SteppedChild, die_at_each_store, pause

SHAPE = Shape(slots=2, backends=1, frontends=1, workers=2, sockets=1, nameservers=1, resolutions=1)
MOVED = SlotState(2, 1, 6, "2001:db8::7", 443, -1, 0, 0, 1)
RECORD_STORES = 6  # stores of a record and its sequence that change a byte, at the least


@pytest.fixture
def segment() -> Iterator[Segment]:
    """Slot 1 of two has an address; both belong to backend 0."""
    made = Segment.create(SHAPE)
    writer = SlotTableWriter(made)
    writer.lay_backend(0, 0, 2)
    for slot in range(2):
        writer.place(slot, StaticState(0, 0, 1, 0, 2, 3, slot + 1))
    writer.publish(1, "127.0.0.1", 80, now_ms=1)
    yield made
    made.close()


class PausingText(str):
    """Pauses when it is about to be parsed."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        pause()
        return super().encode(encoding, errors)


def publish_moved(writer: SlotTableWriter) -> None:
    """In a child: move slot 1, pausing before the address is parsed."""
    writer.publish(1, PausingText("2001:db8::7"), 443, now_ms=9)


class PausingAdminState(AdminState):
    """Pauses when its last field is read."""

    @property
    def changed_ms(self) -> int:
        pause()
        return 5


class PausingHealthState(HealthState):
    """Pauses when its last field is read."""

    @property
    def checked_ms(self) -> int:
        pause()
        return 77


@pytest.mark.slow
def test_a_reader_sees_old_or_new_after_every_instruction_of_a_writer(segment: Segment) -> None:
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    old = reader.slot(1)
    looks, seen, generation = 0, [old], segment.table_generation
    with SteppedChild(lambda: publish_moved(writer)) as child:
        while child.step():
            looks += 1
            announced = segment.table_generation
            now = reader.slot(1)  # raises when it would have to wait
            if now != seen[-1]:
                seen.append(now)
            if announced != generation:
                assert now == MOVED, "announced before it could be read"
    assert seen == [old, MOVED]
    assert looks > 100
    assert segment.table_generation == generation + 1


@pytest.mark.slow
def test_a_successor_carries_on_after_a_death_at_each_store(segment: Segment) -> None:
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    old = reader.slot(1)
    looked_at, backend_looked_at = segment.table_generation, reader.backend_generation(0)
    deaths = 0
    for deaths in die_at_each_store(segment, lambda: publish_moved(writer)):
        left = reader.slot(1)
        assert left in (old, MOVED)
        successor = SlotTableWriter(segment)
        if left == MOVED:
            assert segment.table_generation > looked_at, f"nobody looks after a death at {deaths}"
            assert reader.backend_generation(0) > backend_looked_at
        successor.publish(1, "2001:db8::7", 443, now_ms=9)
        assert reader.slot(1) == MOVED
        assert segment.table_generation > looked_at
    assert deaths >= RECORD_STORES + 2, "a record, its sequence and two generations were expected"


@pytest.mark.slow
def test_deaths_of_control_and_of_a_checking_worker_leave_whole_records(segment: Segment) -> None:
    reader = SlotTableReader(segment)
    admin, health = AdminTableWriter(segment), HealthTableWriter(segment)
    drained = PausingAdminState(8, 7, "10.0.0.9", 99, 1, 5)
    told = replace(HEALTH_NONE, incarnation=1, generation=1, checked_ms=77, downtime_ms=1 << 40)
    failed = PausingHealthState(*astuple(told))
    old, new = reader.admin(1), AdminState(8, 7, "10.0.0.9", 99, 1, 5)
    deaths = 0
    for _ in die_at_each_store(segment, lambda: admin.publish(1, drained)):
        assert reader.admin(1) in (old, new)
        deaths += 1
    for _ in die_at_each_store(segment, lambda: health.publish(1, failed, changed=True)):
        assert reader.health(1) in (HEALTH_NONE, told)
        deaths += 1
    assert deaths >= 2 * RECORD_STORES


@pytest.mark.slow
def test_a_request_is_there_although_its_writer_died_before_the_ring(segment: Segment) -> None:
    requests, reader = CheckRequests(segment, 1), RequestReader(segment)

    def work() -> None:
        pause()
        requests.timed_out(0, 4_711)

    found = []
    for _ in die_at_each_store(segment, work):
        found.append([tuple(change) for change in reader.changes()])
    assert found == [[], [(0, 1, 0, 4_711)]], "first the time, then the count"


@pytest.mark.slow
def test_the_supervisor_assigns_a_socket_before_it_tells_anybody(segment: Segment) -> None:
    board = ProcessBoard(segment)
    generation = segment.table_generation

    def work() -> None:
        pause()
        board.assign(0, 1)

    with SteppedChild(work) as child:
        while child.step():
            if segment.table_generation != generation:
                assert board.owner(0) == 1
    assert segment.table_generation == generation + 1


@pytest.mark.slow
def test_a_name_is_the_old_or_the_new_one_after_a_death_at_each_store(segment: Segment) -> None:
    reader, writer = NameReader(segment), TargetWriter(segment)
    old, new = NameState("b" * 200, 1), NameState("host1." + "c" * 60, 7)
    writer.publish(1, *old)

    def work() -> None:
        pause()
        writer.publish(1, *new)

    deaths = 0
    for _ in die_at_each_store(segment, work):
        assert reader.target(1) in (old, new)
        deaths += 1
    assert deaths >= RECORD_STORES


@pytest.mark.slow
def test_an_order_is_found_although_control_died_before_it_said_so(segment: Segment) -> None:
    orders, reader = NameOrderWriter(segment), NameReader(segment)
    watch = NameOrderWatch(segment)
    assert watch.changes() == []

    def work() -> None:
        pause()
        orders.publish(1, "moved.test", 5)

    for _ in die_at_each_store(segment, work):
        NameOrderWriter(segment)  # control's successor
        ordered = reader.order(1) == NameState("moved.test", 5)
        assert NameOrderWatch(segment).changes() == ([1] if ordered else [])
