"""resolverd at the gate of a reload: what it has made before, and what it reads behind it."""

from __future__ import annotations

import os

import pytest

from resolverd import daemon
from resolverd.config import Family, Nameserver, ResolutionSettings, ResolversSection
from resolverd.core import DUE_MAX, Core
from resolverd.dns.answer import Address, Status
from shm.names import TargetWriter
from shm.segment import Segment
from shm.slots import SlotTableWriter
from shm.states import Cause, NameState, SlotState
from tests.resolverd.test_core import Asked
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import make_segment, settings_of
from tests.support.simulation.board import Board

NAMES = 500
NOW, GATE = 1_000, 3_000
MOVED, ORDERED = 7, 11
SECTION = ResolversSection("r1", (Nameserver("ns1", "127.0.0.1"),))


def names(count: int) -> list[ResolutionSettings]:
    return [
        resolution_settings(servers(1, 0, index), name=f"n{index}.test", index=index)
        for index in range(count)
    ]


class CountingBoard(Board):
    """Notes which records are read."""

    def __init__(self, count: int) -> None:
        super().__init__([80] * count, count)
        self.read_slots: list[int] = []
        self.read_names: list[int] = []

    def slot(self, slot: int) -> SlotState:
        self.read_slots.append(slot)
        return super().slot(slot)

    def resolution(self, index: int) -> dict[str, int]:
        self.read_names.append(index)
        return super().resolution(index)

    def address(self, slot: int, address: str) -> None:
        """As a predecessor writes it."""
        self.slots[slot] = SlotState(2, 1, 4, address, 80, -1, 0, Cause.DNS, NOW)


def core_at_the_gate(board: CountingBoard, asked: Asked) -> Core:
    settings = settings_of(SECTION, *names(NAMES))
    return Core(settings, board, {"r1": asked}, lambda *_: None, NOW, begins=False)


def test_behind_the_gate_no_more_is_read_than_what_moved_and_what_is_asked() -> None:
    board, asked = CountingBoard(NAMES), Asked()
    core = core_at_the_gate(board, asked)
    assert len(board.read_slots) == NAMES
    assert board.read_names == [], "these are carried at last"
    board.read_slots.clear()
    board.address(MOVED, "127.0.1.9")
    core.begin(GATE, [MOVED])
    assert (board.read_slots, board.read_names) == ([MOVED], [])
    core.serve_deadlines(GATE)
    assert [question.name for _, question in asked.questions] == [
        f"n{index}.test" for index in range(DUE_MAX)
    ]
    assert (board.read_slots, board.read_names) == ([MOVED], list(range(DUE_MAX)))
    served = core.names.served[MOVED].address
    assert served is not None
    assert served.text == "127.0.1.9"


def test_what_a_predecessor_wrote_last_is_what_counts() -> None:
    """The times of names, an order that came late, an address that went."""
    board = CountingBoard(NAMES)
    board.address(0, "127.0.1.1")
    core = core_at_the_gate(board, Asked())
    board.records[0] |= {"status": Status.VALID, "last_valid_ms": 2_500, "ipv4_valid_ms": 2_500}
    board.records[0] |= {"last_run_ms": 2_500}
    board.targets[ORDERED] = NameState("other.test", 2_000)
    core.begin(GATE, [ORDERED])
    name = core.names[0]
    assert name.resolution.last_valid_ms == 2_500
    assert [each.text for each in name.assignment.records if isinstance(each, Address)] == [
        "127.0.1.1"
    ]
    assert core.names.ordered(ORDERED) == "other.test"
    [fed_by] = core.names.feeding(ORDERED)
    assert core.names[fed_by].settings.name == "other.test"


def test_the_grace_of_a_name_without_an_answer_begins_behind_the_gate() -> None:
    core = core_at_the_gate(CountingBoard(NAMES), Asked())
    core.begin(GATE)
    assert core.names[3].resolution.leases.valid_ms(Family.IPV4) == GATE
    assert core.names[3].resolution.deadline_ms == GATE


class AtTheGateError(Exception):
    """Ends resolverd at the gate."""


def test_all_names_are_made_before_the_gate_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Core] = []
    generations: list[int] = []

    class WatchedCore(Core):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    def gate(*_: object) -> None:
        assert [len(core.names) for core in made] == [NAMES]
        generations.append(segment.table_generation)
        raise AtTheGateError

    settings = settings_of(SECTION, *names(NAMES))
    segment = make_segment(settings)
    monkeypatch.setattr(daemon, "Core", WatchedCore)
    monkeypatch.setattr(daemon, "wait_at_gate", gate)
    bell = os.eventfd(0)
    before = segment.table_generation
    try:
        with pytest.raises(AtTheGateError):
            daemon.run(settings, segment, bell, lambda: None, lambda *_: None)
        assert generations == [before], "the supervisor still writes here"
    finally:
        os.close(bell)
        segment.close()


def write_meanwhile(segment: Segment) -> None:
    SlotTableWriter(segment).publish(MOVED, "127.0.1.9", 80, cause=Cause.CARRIED, now_ms=NOW)
    TargetWriter(segment).publish(ORDERED, "other.test", NOW)


def test_slots_that_moved_at_the_gate_are_found_in_the_segment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of(SECTION, *names(NAMES))
    segment = make_segment(settings)
    found: list[int] = []
    begin = Core.begin

    def noting(core: Core, now_ms: int, moved: list[int]) -> None:
        found.extend(moved)
        begin(core, now_ms, moved)
        raise AtTheGateError

    def gate(*_: object) -> None:
        write_meanwhile(segment)

    monkeypatch.setattr(Core, "begin", noting)
    monkeypatch.setattr(daemon, "wait_at_gate", gate)
    bell = os.eventfd(0)
    try:
        with pytest.raises(AtTheGateError):
            daemon.run(settings, segment, bell, lambda: None, lambda *_: None)
        assert found == [MOVED, ORDERED]
    finally:
        os.close(bell)
        segment.close()
