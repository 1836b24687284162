"""Rows out of the segment, and which lost addresses a state file keeps."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace

from resolverd.config import StateServer
from resolverd.dns.answer import Status
from resolverd.state_file.format import StateRow, render
from resolverd.state_file.rows import DatedRow, Doubles, LastAddress, RowReader, remembered
from shm.check_orders import CheckOrder, CheckOrders
from shm.counters import NameserverTable
from shm.names import NameOrderWriter, TargetWriter
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableWriter
from shm.states import (
    HEALTH_NONE,
    AdminFlag,
    AdminState,
    Cause,
    SlotFlag,
    SlotState,
    StaticFlag,
    StaticState,
)
from tests.support.dns.state_file import LABEL, NAMED, SERVICE

NOW = 5_000


class World:
    """A segment with one server found by its name and one by an SRV label."""

    def __init__(self) -> None:
        self.segment = Segment.create(Shape(2, 1, 1, 1, 1, nameservers=1, resolutions=1))
        self.slots = SlotTableWriter(self.segment)
        self.slots.lay_backend(0, 0, 2)
        for slot in range(2):
            self.slots.place(slot, StaticState(0, StaticFlag.CHECKED, 10, 0, 2, 3, slot + 1))
        self.table = NameserverTable(self.segment)
        self.reader = RowReader(self.segment, {})

    def publish(self, slot: int, address: str | None, cause: Cause, **fields: int) -> None:
        flags = 0 if address else SlotFlag.RMAINT
        values = {"flags": flags, "port": 8_080, "weight": -1, **fields}
        self.slots.publish(slot, address, values.pop("port"), cause=cause, now_ms=NOW, **values)

    def status(self, status: Status) -> None:
        self.table.record(0, status=status)

    def row(self, server: StateServer = NAMED) -> StateRow:
        return self.reader.read(server).row


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.segment.close()


def test_a_row_says_all_that_the_segment_knows(world: World) -> None:
    world.publish(0, "10.0.0.1", Cause.DNS)
    AdminTableWriter(world.segment).publish(0, AdminState(AdminFlag.FDRAIN, 5, None, 0, 0, NOW + 7))
    health = replace(
        HEALTH_NONE,
        incarnation=1,
        operational=2,
        status=6,
        result=3,
        check_state=7,
        health=4,
        changed_ms=NOW,
    )
    HealthTableWriter(world.segment).publish(0, health, changed=True)
    line = world.reader.read(NAMED)
    assert line.changed_ms >= NOW + 7
    assert render(line.row, 12) == (
        "3 be 1 s1 10.0.0.1 2 8 5 10 12 6 3 4 6 0 0 1 app.test 8080 - 0 81 - - 81\n"
    )


def test_a_row_changes_with_the_server_that_it_tracks(world: World) -> None:
    tracker = replace(NAMED, tracked_slot=1)
    world.slots.place(0, StaticState(0, 0, 10, 0, 2, 3, 1, tracked=1))
    for slot in range(2):
        world.publish(slot, "10.0.0.1", Cause.DNS)
    admins, orders = AdminTableWriter(world.segment), AdminState(0, -1, None, 0, 0, 0)
    later = world.segment.created_ms + NOW
    for at_ms in (later, later + 1):
        admins.publish(1, orders._replace(changed_ms=at_ms))
        assert world.reader.read(tracker).changed_ms == at_ms
    admins.publish(0, AdminState(AdminFlag.FMAINT, -1, None, 0, 0, later))
    assert world.reader.read(tracker).changed_ms == later  # it is out by itself


def test_a_slot_of_an_srv_record_names_its_target_and_label(world: World) -> None:
    TargetWriter(world.segment).publish(1, "h1.test", NOW)
    world.publish(1, "10.0.0.1", Cause.DNS, weight=3, flags=SlotFlag.FQDN_CHANGED)
    row = world.row(SERVICE)
    assert (row.fqdn, row.service, row.weight, row.admin) == ("h1.test", LABEL, 3, 64)


def test_a_name_ordered_by_the_operator_stands_in_the_row(world: World) -> None:
    NameOrderWriter(world.segment).publish(0, "other.test", NOW)
    world.publish(0, "10.0.0.1", Cause.DNS, flags=SlotFlag.FQDN_CHANGED)
    assert (world.row().fqdn, world.row().admin) == ("other.test", 64)


def test_an_address_set_by_the_operator_is_kept_but_not_with_another_port(world: World) -> None:
    world.publish(0, "10.0.0.1", Cause.DNS)
    admins = AdminTableWriter(world.segment)
    admins.publish(0, AdminState(0, -1, "10.0.0.7", 0, 1, NOW))
    assert (world.row().address, world.row().port) == ("10.0.0.7", 8_080)
    admins.publish(0, AdminState(0, -1, "10.0.0.7", 9_090, 1, NOW))
    assert (world.row().address, world.row().port) == ("10.0.0.1", 8_080)


@pytest.mark.parametrize("cause", [Cause.NX, Cause.TIMEOUT, Cause.REFUSED, Cause.OTHER])
def test_an_address_that_an_error_took_away_stays_in_the_file(world: World, cause: Cause) -> None:
    world.publish(0, "10.0.0.1", Cause.DNS)
    world.row()
    world.status(Status.TIMEOUT)
    world.publish(0, None, cause)
    row = world.row()
    assert (row.address, row.admin, row.operational) == ("10.0.0.1", 0x20, 0)


def test_an_address_that_an_answer_took_away_goes(world: World) -> None:
    world.publish(0, "10.0.0.1", Cause.DNS)
    world.row()
    world.publish(0, None, Cause.NO_RECORD)
    assert world.row().address is None


def test_a_lost_address_goes_when_answers_come_without_it(world: World) -> None:
    """The server stays lost without a change of its slot: only the run says that DNS is back."""
    world.publish(0, "10.0.0.1", Cause.DNS)
    world.row()
    world.publish(0, None, Cause.TIMEOUT)
    world.status(Status.TIMEOUT)
    assert world.row().address == "10.0.0.1"
    world.status(Status.VALID)
    assert world.row().address is None
    world.status(Status.TIMEOUT)
    assert world.row().address is None, "what an answer took away does not come back"


def test_a_lost_slot_of_an_srv_record_keeps_target_port_and_weight(world: World) -> None:
    target = TargetWriter(world.segment)
    target.publish(1, "h1.test", NOW)
    world.publish(1, "10.0.0.1", Cause.DNS, weight=3, flags=SlotFlag.FQDN_CHANGED)
    world.row(SERVICE)
    target.publish(1, "", NOW)
    world.status(Status.TIMEOUT)
    world.publish(1, None, Cause.REMOVED, port=0)
    row = world.row(SERVICE)
    assert (row.address, row.fqdn, row.port, row.weight) == ("10.0.0.1", "h1.test", 8_080, 3)
    world.status(Status.VALID)
    row = world.row(SERVICE)
    assert (row.address, row.fqdn, row.port) == (None, None, 0)


def test_a_target_that_fails_alone_keeps_its_address() -> None:
    """The label still has answers: what failed is the address of the target."""
    place = LastAddress("10.0.0.1", 8_080, "h1.test", 1)
    row = StateRow(3, "be", 1, "s1", fqdn="h1.test", port=8_080, service=LABEL)
    slot = SlotState(3, 1, 0, None, 8_080, -1, 0x20, Cause.NX, NOW)
    assert remembered(place, row, slot, answered=True) == place
    moved = msgspec.structs.replace(row, fqdn="h2.test")
    assert remembered(place, moved, slot, answered=True) is None


def test_a_successor_finds_lost_addresses_in_the_file_itself(world: World) -> None:
    world.publish(0, None, Cause.TIMEOUT)
    world.status(Status.TIMEOUT)
    former = StateRow(3, "be", 1, "s1", "10.0.0.1", fqdn="app.test", port=8_080)
    world.reader = RowReader(world.segment, {0: former})
    assert world.row().address == "10.0.0.1"


def test_a_slot_that_has_another_server_keeps_no_address_of_the_former(world: World) -> None:
    world.publish(0, "10.0.0.1", Cause.DNS)
    assert world.row().address == "10.0.0.1"
    world.reader.forget(0)
    world.publish(0, None, Cause.NX)  # the other has lost its own meanwhile
    world.status(Status.NX)
    assert world.row().address is None


@pytest.mark.parametrize(("cause", "left"), [(Cause.REMOVED, None), (Cause.NX, "10.0.0.1")])
def test_a_name_without_a_record_says_by_its_cause_whether_it_was_answered(
    world: World, cause: Cause, left: str | None
) -> None:
    added = msgspec.structs.replace(NAMED, resolution_index=None, addressed=True)
    world.publish(0, "10.0.0.1", Cause.DNS)
    assert world.row(added).address == "10.0.0.1"
    world.publish(0, None, cause)
    assert world.row(added).address == left


def line(server: str, address: str | None, *, lost: str | None = None) -> DatedRow:
    bare = StateRow(3, "be", 1, server, address, port=80)
    row = bare if lost is None else msgspec.structs.replace(bare, address=lost)
    return DatedRow(row, NOW, bare)


def without_doubles(lines: list[DatedRow]) -> list[DatedRow]:
    """All lines at once."""
    doubles = Doubles()
    for line in lines:
        doubles.note(line)
    return [doubles.settled(line) for line in lines]


def test_no_address_stands_in_the_file_twice() -> None:
    lines = [
        line("s1", None, lost="10.0.0.1"),
        line("s2", "10.0.0.1"),
        line("s3", None, lost="10.0.0.2"),
        line("s4", None, lost="10.0.0.2"),
        line("s5", None),
    ]
    addresses = [each.row.address for each in without_doubles(lines)]
    assert addresses == [None, "10.0.0.1", "10.0.0.2", None, None]


def test_addresses_that_are_in_use_stand_as_often_as_they_are_used() -> None:
    """allow-dup-ip, or two names with one address."""
    lines = [line("s1", "10.0.0.1"), line("s2", "10.0.0.1")]
    assert without_doubles(lines) == lines


def test_a_row_says_where_checks_are_ordered_to(world: World) -> None:
    world.publish(0, "10.0.0.1", Cause.DNS)
    orders = CheckOrders()
    world.reader = RowReader(world.segment, {}, orders)
    assert (world.row().check_address, world.row().check_port) == (None, 81)  # as its line says
    orders.publish(0, CheckOrder("10.0.0.9", 99))
    assert (world.row().check_address, world.row().check_port) == ("10.0.0.9", 99)
