"""Which slots changed, and how many servers take sessions: never less than a look at everything."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from loadtest.declarations import declared
from shm.changes import ChangeReader, UsableCounts, UsableServers
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import (
    HEALTH_NONE,
    AdminFlag,
    AdminState,
    Operational,
    SlotFlag,
    StaticFlag,
    StaticState,
)

LAYOUT = declared("shm/layout.pxd")
SLOTS, BACKENDS = 600, 3  # a third of the slots each
OF_ONE = SLOTS // BACKENDS
JOURNAL_ENTRIES = LAYOUT.numbers["JOURNAL_ENTRIES"]
UP = replace(HEALTH_NONE, operational=Operational.RUNNING, incarnation=1)
DOWN = replace(UP, operational=Operational.STOPPED)
NO_ORDER = AdminState(0, -1, None, 0, 0, 0)

AREA_JOURNAL = LAYOUT.numbers["AREA_JOURNAL"]


class Table:
    """A segment with addresses, and the writers of all its records."""

    def __init__(self) -> None:
        self.segment = Segment.create(Shape(SLOTS, BACKENDS, 1, 1, 0, 0, 0))
        self.slots = SlotTableWriter(self.segment)
        for backend in range(BACKENDS):
            self.slots.lay_backend(backend, backend * OF_ONE, OF_ONE)
        for slot in range(SLOTS):
            flags = StaticFlag.CHECKED | (StaticFlag.BACKUP if slot % 7 == 3 else 0)
            tracked = 5 if slot == OF_ONE + 1 else -1
            static = StaticState(slot // OF_ONE, flags, slot % 11, 0, 2, 3, slot)
            self.slots.place(slot, static._replace(tracked=tracked))
            self.slots.publish(slot, "127.0.0.1", 80, now_ms=1)
        self.admins = AdminTableWriter(self.segment)
        self.health = HealthTableWriter(self.segment)
        self.reader = SlotTableReader(self.segment)

    def drain(self, slot: int) -> None:
        self.admins.publish(slot, NO_ORDER._replace(flags=AdminFlag.FDRAIN))

    def change(self, chance: random.Random) -> None:
        """Any writer changes any slot."""
        slot = chance.randrange(SLOTS)
        match chance.randrange(4):
            case 0:
                flags = chance.choice((0, SlotFlag.BACKUP))
                address = chance.choice((None, "127.0.0.2", "127.0.0.3"))
                self.slots.publish(slot, address, 80, flags=flags, now_ms=1)
            case 1:
                self.drain(slot)
            case 2:
                weight = chance.randrange(257)
                self.admins.publish(slot, NO_ORDER._replace(weight=weight))
            case 3:
                incarnation = self.reader.slot(slot).incarnation
                state = replace(chance.choice((UP, DOWN)), incarnation=incarnation)
                self.health.publish(slot, state, changed=True)

    def counted(self, backend: int) -> UsableCounts:
        """What a look at every server finds."""
        servers = [self.reader.server(backend * OF_ONE + at) for at in range(OF_ONE)]
        active = [server.weight for server in servers if server.eligible and not server.backup]
        backup = [server.weight for server in servers if server.eligible and server.backup]
        first = backup[0] if backup else 0
        return UsableCounts(len(active), len(backup), sum(active), sum(backup), first)


@pytest.fixture
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.segment.close()


def test_counts_are_those_of_a_look_at_every_server(table: Table) -> None:
    for seed in range(30):
        chance = random.Random(seed)
        usable = UsableServers(table.segment)
        for _ in range(20):
            for _ in range(chance.choice((0, 1, 3, 500))):
                table.change(chance)
            for backend in range(BACKENDS):
                assert usable.of(backend) == table.counted(backend), f"seed {seed}"


def test_the_cost_of_a_change_does_not_depend_on_the_number_of_servers(table: Table) -> None:
    usable = UsableServers(table.segment)
    usable.of(0)
    before = usable.looks
    for slot in range(10, 20):
        table.drain(slot)
        usable.of(0)
        usable.of(1)
    assert usable.looks == before + 10


def test_each_slot_is_named_once_with_its_backend(table: Table) -> None:
    slots, backends = ChangeReader(table.segment), ChangeReader(table.segment)
    assert slots.slots() == []
    for slot in (7, OF_ONE, 7):
        table.drain(slot)
    assert slots.slots() == [7, OF_ONE]
    assert backends.backends() == {0, 1}
    assert slots.slots() == []


def test_a_server_that_tracks_another_changes_with_it(table: Table) -> None:
    changes, usable = ChangeReader(table.segment), UsableServers(table.segment)
    usable.take_changed()
    table.drain(5)
    assert changes.slots() == [5, OF_ONE + 1]
    assert usable.take_changed() == {0, 1}
    assert usable.of(1) == table.counted(1)


def test_who_is_too_far_behind_looks_at_everything(table: Table) -> None:
    changes, usable = ChangeReader(table.segment), UsableServers(table.segment)
    usable.of(0)
    for number in range(JOURNAL_ENTRIES):
        table.drain(10 + number % 500)
    assert changes.slots() == list(range(10, 510))
    for number in range(JOURNAL_ENTRIES + 1):
        table.admins.publish(10 + number % 500, NO_ORDER)
    assert changes.slots() is None
    assert changes.slots() == []
    assert usable.of(2) == table.counted(2)


def test_a_writer_that_begins_anew_makes_everybody_look_at_everything(table: Table) -> None:
    changes = ChangeReader(table.segment)
    table.drain(1)
    HealthTableWriter(table.segment)
    assert changes.backends() is None
    assert changes.backends() == set()


def test_a_writer_killed_before_it_named_its_slot_hides_nothing(table: Table) -> None:
    changes, usable = ChangeReader(table.segment), UsableServers(table.segment)
    usable.of(0)
    table.drain(2)
    with mmap.mmap(table.segment.fd, table.segment.size) as memory:
        head = table.segment.offsets()[AREA_JOURNAL]
        [position] = struct.unpack_from("=Q", memory, head)
        memory[head : head + 8] = struct.pack("=Q", position + 1)
    assert changes.slots() is None
    assert usable.of(0) == table.counted(0)
    table.drain(3)
    assert changes.slots() == [3]


def test_a_revision_moves_with_each_record_that_health_depends_on(table: Table) -> None:
    seen = {table.reader.revision(4)}
    table.slots.publish(4, "127.0.0.9", 80, now_ms=1)
    seen.add(table.reader.revision(4))
    table.drain(4)
    seen.add(table.reader.revision(4))
    assert len(seen) == 3
    table.health.publish(4, UP, changed=True)
    assert table.reader.revision(4) in seen


def test_writers_that_are_killed_anywhere_leave_counts_that_are_right(table: Table) -> None:
    """Health writers in processes of their own, killed amid their work; a reader meanwhile."""
    usable = UsableServers(table.segment)
    for seed in range(12):
        writers = [fork_health_writer(table, seed * 2 + number) for number in range(2)]
        for _ in range(20):
            usable.of(seed % BACKENDS)
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        # what a successor announces first, in case that a record came without its announcement
        HealthTableWriter(table.segment)
        for backend in range(BACKENDS):
            assert usable.of(backend) == table.counted(backend), f"seed {seed}"
    assert usable.looks > SLOTS


def fork_health_writer(table: Table, seed: int) -> int:
    """A process that changes health as fast as it can; returns once it has begun."""
    begun, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            chance, writer = random.Random(seed), HealthTableWriter(table.segment)
            os.write(ready, b"!")
            while True:
                slot = chance.randrange(SLOTS // 2) * 2 + seed % 2
                writer.publish(slot, chance.choice((UP, DOWN)), changed=True)
        finally:
            os._exit(1)
    os.close(ready)
    assert os.read(begun, 1) == b"!"
    os.close(begun)
    return pid
