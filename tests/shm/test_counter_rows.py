"""Counter rows, process records and request counters: sums, deaths, and what a reload carries."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator

import pytest

from loadtest.declarations import declared
from shm.counters import CounterReader, NameserverTable, settle_dead_worker
from shm.processes import ProcessBoard, ProcessSelf
from shm.requests import CheckRequests, RequestReader
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableReader
from shm.states import ProcessCommand, ProcessState
from shm.tally import Tally, carry_nameservers, carry_resolutions
from tests.support.rows import CarriedRow, RowWords

SHAPE = Shape(slots=3, backends=2, frontends=2, workers=2, sockets=2, nameservers=2, resolutions=1)
LAYOUT = declared("shm/layout.pxd")
AREA_HINTS = LAYOUT.numbers["AREA_HINTS"]
PROCESS = LAYOUT.structs["Process"]


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(SHAPE)
    yield made
    made.close()


class Row:
    """A worker's row as the relay fills it: each call adds to a field and tells what it is then."""

    def __init__(self, segment: Segment, worker: int) -> None:
        self._words = RowWords(segment, worker)
        self._memory = mmap.mmap(segment.fd, segment.size)
        self._hints = segment.offsets()[AREA_HINTS]

    def add(self, kind: str, index: int, field: str, amount: int, element: int = 0) -> int:
        word = self._words.word(kind, index, field, element)
        word.value += amount
        return word.value

    def hint(self, slot: int, amount: int) -> None:
        ctypes.c_uint64.from_buffer(self._memory, self._hints + 8 * slot).value += amount


def fill(segment: Segment) -> None:
    """Each worker w has w + 1 sessions of each kind open, (w + 1) * 10 in all, at most w + 5."""
    for worker in range(SHAPE.workers):
        row = Row(segment, worker)
        row.add("Worker", 0, "accepts", (worker + 1) * 10)
        row.add("Worker", 0, "sessions", worker + 1)
        row.add("Worker", 0, "sessions_max", worker + 5)
        row.add("Worker", 0, "terminations", 1, 62)  # the last termination state
        for index in range(2):
            row.add("Frontend", index, "sessions_total", (worker + 1) * 10)
            row.add("Frontend", index, "sessions", worker + 1)
            row.add("Backend", index, "sessions_total", (worker + 1) * 10)
            row.add("Backend", index, "sessions", worker + 1)
            row.add("Backend", index, "queued", worker + 1)  # waits
            row.add("Backend", index, "queue_ticket", worker + 7)  # the oldest ticket
        for slot in range(3):
            row.add("Server", slot, "sessions_total", (worker + 1) * 10)
            row.add("Server", slot, "sessions", worker + 1)
            row.add("Server", slot, "sessions_max", worker + 5)
            row.add("Server", slot, "queued", worker + 1)
            row.add("Server", slot, "queue_ticket", worker + 7)
            row.add("Server", slot, "hinted", 2 * (worker + 1))
            row.hint(slot, worker + 1)


def test_rows_are_summed_and_maxima_are_not(segment: Segment) -> None:
    fill(segment)
    reader = CounterReader(segment)
    assert reader.rows() == 3
    total = reader.worker()
    assert (total["accepts"], total["sessions"], total["sessions_max"]) == (30, 3, 6)
    assert total["terminations"] == [0] * 62 + [2]
    assert reader.worker(1)["accepts"] == 20
    for fields in (reader.frontend(1), reader.backend(1), reader.server(2)):
        assert (fields["sessions_total"], fields["sessions"]) == (30, 3)
    for fields in (reader.backend(1), reader.server(2)):
        assert fields["queued"] == 3
        assert "queue_ticket" not in fields
    assert reader.server(2)["sessions_max"] == 6
    assert reader.server(2, 0)["sessions_max"] == 5
    for ask in (
        lambda: reader.worker(3),
        lambda: reader.frontend(2),
        lambda: reader.backend(2),
        lambda: reader.server(3),
        lambda: reader.nameserver(2),
        lambda: reader.resolution(1),
    ):
        with pytest.raises(IndexError):
            ask()


def test_a_dead_worker_leaves_its_counters_and_no_open_session(segment: Segment) -> None:
    fill(segment)
    reader, table = CounterReader(segment), SlotTableReader(segment)
    for _ in range(2):  # settling twice takes nothing twice
        settle_dead_worker(segment, 1)
        assert reader.worker()["sessions"] == 1
        assert reader.worker()["accepts"] == 30
        assert reader.frontend(0)["sessions"] == reader.backend(0)["sessions"] == 1
        assert reader.backend(0)["queued"] == reader.server(0)["queued"] == 1
        row = Row(segment, 1)
        assert (
            row.add("Backend", 1, "queue_ticket", 0) == row.add("Server", 2, "queue_ticket", 0) == 0
        ), "its tickets hold nobody up"
        assert [table.hint(slot) for slot in range(3)] == [1, 1, 1]
        assert reader.server(0)["sessions_total"] == 30
    settle_dead_worker(segment, 0)
    assert [table.hint(slot) for slot in range(3)] == [0, 0, 0]
    with pytest.raises(IndexError):
        settle_dead_worker(segment, 2)


def test_a_reload_carries_counters_and_leaves_gauges(segment: Segment) -> None:
    fill(segment)
    table = NameserverTable(segment)
    table.count(1, "nx", 3)
    table.record(0, runs=4, last_valid_ms=123)
    old = CounterReader(segment)
    successor = Segment.create(SHAPE, 2)
    new = CounterReader(successor)
    tally = tally_of(segment)
    tally.carry(successor, "worker", [(0, 0)])
    tally.carry(successor, "frontend", [(0, 1)])
    tally.carry(successor, "backend", [(0, 1)])
    tally.carry(successor, "server", [(1, 2)])
    carry_nameservers(segment, successor, [(1, 0)])
    carry_resolutions(segment, successor, [(0, 0)])
    assert new.worker() == {**old.worker(), "sessions": 0}
    assert new.frontend(1) == {**old.frontend(0), "sessions": 0}
    assert new.backend(1) == {**old.backend(0), "sessions": 0, "queued": 0}
    assert new.server(2) == {**old.server(1), "sessions": 0, "queued": 0}
    assert new.server(1)["sessions_total"] == 0
    assert new.nameserver(0) == old.nameserver(1)
    assert new.resolution(0) == old.resolution(0)
    successor.close()


def tally_of(segment: Segment) -> Tally:
    tally = Tally(segment)
    tally.take(segment, "worker", 0, 1)
    tally.take(segment, "frontend", 0, SHAPE.frontends)
    tally.take(segment, "backend", 0, SHAPE.backends)
    tally.take(segment, "server", 0, SHAPE.slots)
    return tally


def test_what_is_counted_between_two_tallies_is_added_and_no_gauge(segment: Segment) -> None:
    fill(segment)
    successor = Segment.create(SHAPE, 2)
    before = tally_of(segment)
    before.carry(successor, "server", [(1, 2)])
    carried = CounterReader(successor).server(2)
    row, server = CarriedRow(segment), CounterReader(segment).server(1, 2)
    more = {"sessions_total": 5, "sessions_max": 1_000, "last_session_ms": 1 << 40}
    row.server(1, {**server, **more, "sessions": 9})
    for _ in range(2):  # the second time there is nothing more
        before.add_late(segment, successor, "server", [(1, 2)])
        late = CounterReader(successor).server(2)
        assert late == {
            **carried,
            **more,
            "sessions_total": carried["sessions_total"] + 5 - server["sessions_total"],
        }
    successor.close()


def test_a_tally_knows_its_bounds(segment: Segment) -> None:
    tally, successor = Tally(segment), Segment.create(SHAPE, 2)
    for act in (
        lambda: tally.take(segment, "server", 0, SHAPE.slots + 1),
        lambda: tally.take(segment, "worker", 0, 2),
        lambda: tally.carry(successor, "server", [(SHAPE.slots, 0)]),
        lambda: tally.carry(successor, "server", [(0, SHAPE.slots)]),
        lambda: tally.add_late(segment, successor, "backend", [(0, SHAPE.backends)]),
        lambda: carry_nameservers(segment, successor, [(SHAPE.nameservers, 0)]),
        lambda: carry_resolutions(segment, successor, [(0, SHAPE.resolutions)]),
    ):
        with pytest.raises(IndexError):
            act()
    successor.close()


def test_a_nameserver_counter_is_known_by_its_name(segment: Segment) -> None:
    table, reader = NameserverTable(segment), CounterReader(segment)
    for amount, name in enumerate(reader.nameserver(0), start=1):
        table.count(0, name, amount)
    assert list(reader.nameserver(0).values()) == list(range(1, 18))
    with pytest.raises(KeyError):
        table.count(0, "sentinel")
    with pytest.raises(KeyError):
        table.record(0, sentinel=1)
    with pytest.raises(IndexError):
        table.count(2, "sent")


def test_requests_are_summed_over_workers_and_told_once(segment: Segment) -> None:
    before = RequestReader(segment)
    CheckRequests(segment, 0).timed_out(2, 100)
    CheckRequests(segment, 1).timed_out(2, 90)
    CheckRequests(segment, 1).refused(2)
    CheckRequests(segment, 1).refused(0)
    assert [tuple(change) for change in before.changes()] == [(0, 0, 1, 0), (2, 2, 1, 100)]
    assert before.changes() == []
    assert RequestReader(segment).changes() == [], "a reader that starts from now"
    assert len(RequestReader(segment, from_now=False).changes()) == 2
    with pytest.raises(IndexError):
        CheckRequests(segment, 2)
    with pytest.raises(IndexError):
        CheckRequests(segment, 0).refused(3)


def test_a_process_says_where_it_stands_and_its_successor_starts_blank(segment: Segment) -> None:
    board = ProcessBoard(segment)
    board.started(SHAPE.control_process, os.getpid(), 10, 2)
    child = ProcessSelf(segment, SHAPE.control_process)
    child.state(ProcessState.READY)
    child.beat(11)
    child.applied(12)
    board.command(SHAPE.control_process, ProcessCommand.SOFT_STOP)
    assert child.command == ProcessCommand.SOFT_STOP
    assert tuple(board.status(SHAPE.control_process)) == (
        os.getpid(),
        ProcessCommand.SOFT_STOP,
        10,
        2,
        ProcessState.READY,
        11,
        0,
        0,
        0,
        12,
        0,
    )
    records = segment.offsets()[LAYOUT.numbers["AREA_PROCESSES"]]
    left = records + SHAPE.control_process * PROCESS.size + PROCESS.offsets["left"]
    with mmap.mmap(segment.fd, segment.size) as memory:
        memory[left] = 1  # as a relay says it
    assert board.status(SHAPE.control_process).left
    board.ended(SHAPE.control_process)
    status = board.status(SHAPE.control_process)
    assert (status.pid, status.state, status.main_beat_ms) == (0, ProcessState.EMPTY, 0)
    assert (status.applied, status.left) == (0, 0)
    for make in (board.status, lambda process: ProcessSelf(segment, process)):
        with pytest.raises(IndexError):
            make(SHAPE.workers + 2)


def test_assigning_a_socket_wakes_those_who_watch_the_table(segment: Segment) -> None:
    board = ProcessBoard(segment)
    generation = segment.table_generation
    board.assign(1, 1)
    assert [board.owner(socket) for socket in range(2)] == [0, 1]
    assert segment.table_generation == generation + 1
    with pytest.raises(IndexError):
        board.assign(2, 0)
    with pytest.raises(IndexError):
        board.owner(2)
