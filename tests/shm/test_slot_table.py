"""The slot table against a model: generations, incarnations, and when a slot takes sessions."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import (
    HEALTH_NONE,
    AdminFlag,
    AdminState,
    Operational,
    SlotFlag,
    SlotState,
    StaticFlag,
    StaticState,
)

SLOTS = 6
UP = replace(HEALTH_NONE, operational=Operational.RUNNING)
DOWN = replace(HEALTH_NONE, operational=Operational.STOPPED)
ADDRESSES = (None, "127.0.0.1", "127.0.0.2", "::1", "2001:db8::ff", "0.0.0.1")


@pytest.fixture
def segment() -> Iterator[Segment]:
    """Backend 0 has the slots 0-2, backend 1 the slots 3-5; none has an address."""
    made = Segment.create(Shape(SLOTS, 2, 1, 1, 0, 0, 0))
    writer = SlotTableWriter(made)
    for backend in range(2):
        writer.lay_backend(backend, backend * 3, 3)
    for slot in range(SLOTS):
        writer.place(slot, StaticState(slot // 3, 0, 10, 0, 2, 3, slot % 3 + 1))
    yield made
    made.close()


def test_a_slot_of_zeros_says_nothing_and_takes_nothing(segment: Segment) -> None:
    reader = SlotTableReader(segment)
    assert len(reader) == SLOTS
    assert reader.slot(0) == SlotState(0, 0, 0, None, 0, -1, 0, 0, 0)
    assert reader.admin(0) == AdminState(0, -1, None, 0, 0, 0)
    assert reader.health(0) == HEALTH_NONE
    assert reader.static(4) == StaticState(1, 0, 10, 0, 2, 3, 2)
    assert not reader.server(0).eligible
    assert reader.server(0).maint


def test_every_setting_of_a_slot_is_read_as_it_was_placed() -> None:
    made = Segment.create(Shape(11, 2, 1, 1, 0, 0, 0, agents=11))
    placed = StaticState(*range(1, 10), tracked=0, agent=10, added=12)
    assert len({*placed}) == len(placed)
    SlotTableWriter(made).place(1, placed)
    assert SlotTableReader(made).static(1) == placed
    made.close()


def test_random_histories_of_a_slot_match_a_model() -> None:
    for seed in range(200):
        one_history(seed)


def one_history(seed: int) -> None:
    chance = random.Random(seed)
    segment = Segment.create(Shape(1, 1, 1, 1, 0, 0, 0))
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    model = SlotState(0, 0, 0, None, 0, -1, 0, 0, 0)
    for now in range(1, 40):
        address, port = chance.choice(ADDRESSES), chance.choice((0, 80, 65_535))
        weight, flags, cause = (
            chance.choice((-1, 0, 256)),
            chance.choice((0, 0x20)),
            chance.choice((4, 6)),
        )
        generation = segment.table_generation
        changed = writer.publish(
            0, address, port, weight=weight, flags=flags, cause=cause, now_ms=now
        )
        moved = (address, port) != (model.address, model.port)
        arrived = moved and address is not None and model.address is None
        wanted = SlotState(
            model.generation + moved,
            model.incarnation + arrived,
            0 if address is None else 6 if ":" in address else 4,
            address,
            port,
            weight,
            flags,
            cause,
            model.changed_ms if (address is None) == (model.address is None) else now,
        )
        assert changed == (wanted != model), f"seed {seed}"
        assert segment.table_generation == generation + changed, f"seed {seed}"
        model = wanted
        assert reader.slot(0) == model, f"seed {seed}"
    segment.close()


def test_addresses_are_written_in_one_notation(segment: Segment) -> None:
    chance = random.Random(2)
    writer, reader = SlotTableWriter(segment), SlotTableReader(segment)
    for _ in range(2_000):
        words = [chance.choice((0, 0, 1, 0xFFFF, chance.getrandbits(16))) for _ in range(8)]
        wide = ipaddress.IPv6Address(b"".join(word.to_bytes(2) for word in words))
        for address in (wide, ipaddress.IPv4Address(chance.getrandbits(32))):
            writer.publish(0, str(address), 80, now_ms=1)
            assert reader.slot(0).address == str(address)


def test_only_the_backend_of_a_changed_slot_is_announced(segment: Segment) -> None:
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    admin, health = AdminTableWriter(segment), HealthTableWriter(segment)
    before = [reader.backend_generation(backend) for backend in range(2)]
    table = segment.table_generation
    writer.publish(3, "127.0.0.1", 80, now_ms=1)
    admin.publish(4, AdminState(0, 5, None, 0, 0, 2))
    health.publish(5, UP, changed=True)
    health.publish(5, UP, changed=False)
    assert segment.table_generation == table + 3
    assert [reader.backend_generation(backend) for backend in range(2)] == [
        before[0],
        before[1] + 3,
    ]


def test_a_health_statement_holds_for_one_incarnation_only(segment: Segment) -> None:
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    health = HealthTableWriter(segment)
    writer.place(0, StaticState(0, StaticFlag.CHECKED, 10, 0, 2, 3, 1))
    writer.publish(0, "127.0.0.1", 80, now_ms=1)
    assert reader.server(0).eligible, "without a statement a server counts as up"
    health.publish(0, replace(DOWN, incarnation=1, generation=1), changed=True)
    assert not reader.server(0).eligible
    writer.publish(0, "127.0.0.2", 80, now_ms=2)
    assert not reader.server(0).eligible, "an address that is replaced keeps the health"
    writer.publish(0, None, 80, flags=SlotFlag.RMAINT, now_ms=3)
    writer.publish(0, "127.0.0.1", 80, now_ms=4)
    assert reader.server(0).eligible, "a server that comes back starts anew"
    health.publish(0, replace(DOWN, incarnation=1, generation=1), changed=True)
    assert reader.server(0).eligible, "a late statement about the former server"
    writer.place(0, StaticState(0, StaticFlag.CHECKED | StaticFlag.INIT_DOWN, 10, 0, 2, 3, 1))
    assert not reader.server(0).eligible
    health.publish(0, replace(UP, incarnation=2, generation=4), changed=True)
    assert reader.server(0).eligible


def test_an_address_override_ends_with_the_generation_it_was_given_to(segment: Segment) -> None:
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    admin = AdminTableWriter(segment)
    writer.publish(0, "127.0.0.1", 80, now_ms=1)
    admin.publish(0, AdminState(0, -1, "127.0.0.9", 0, 1, 2))
    assert (reader.server(0).address, reader.server(0).port) == ("127.0.0.9", 80)
    admin.publish(0, AdminState(0, -1, "::9", 8080, 1, 2))
    assert (reader.server(0).address, reader.server(0).port) == ("::9", 8080)
    writer.publish(0, "127.0.0.2", 80, now_ms=3)
    assert (reader.server(0).address, reader.server(0).port) == ("127.0.0.2", 80)


@pytest.mark.parametrize(
    ("static_flags", "slot_weight", "port", "admin_flags", "admin_weight", "eligible"),
    [
        (0, -1, 80, 0, -1, True),
        (StaticFlag.BACKUP, -1, 80, 0, -1, True),
        (0, -1, 0, 0, -1, False),
        (StaticFlag.PORT_RELATIVE, -1, 0, 0, -1, True),
        (0, 0, 80, 0, -1, False),
        (0, 0, 80, 0, 1, True),
        (0, -1, 80, 0, 0, False),
        (0, -1, 80, AdminFlag.FMAINT, -1, False),
        (0, -1, 80, AdminFlag.CMAINT, -1, False),
        (0, -1, 80, AdminFlag.FDRAIN, -1, False),
    ],
)
def test_a_slot_takes_sessions_only_when_every_record_agrees(
    segment: Segment,
    static_flags: int,
    slot_weight: int,
    port: int,
    admin_flags: int,
    admin_weight: int,
    eligible: bool,
) -> None:
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    writer.place(0, StaticState(0, static_flags, 10, 0, 2, 3, 1))
    writer.publish(0, "127.0.0.1", port, weight=slot_weight, now_ms=1)
    AdminTableWriter(segment).publish(0, AdminState(admin_flags, admin_weight, None, 0, 0, 1))
    server = reader.server(0)
    assert server.eligible == eligible
    assert server.drain == bool(admin_flags & AdminFlag.FDRAIN)
    assert server.maint == bool(admin_flags & (AdminFlag.FMAINT | AdminFlag.CMAINT))
    writer.publish(0, None, port, now_ms=2)
    assert not reader.server(0).eligible, "a slot without an address is never eligible"


def test_a_slot_survives_a_reload_as_it_stood(segment: Segment) -> None:
    writer = SlotTableWriter(segment)
    writer.publish(2, "2001:db8::1", 443, weight=7, cause=4, now_ms=12)
    writer.publish(2, "2001:db8::2", 443, weight=7, cause=4, now_ms=13)
    state = SlotTableReader(segment).slot(2)
    successor = Segment.create(Shape(1, 1, 1, 1, 0, 0, 0), 2)
    SlotTableWriter(successor).carry(0, state)
    assert SlotTableReader(successor).slot(0) == state
    assert (
        SlotTableWriter(successor).publish(0, "2001:db8::2", 443, weight=7, cause=4, now_ms=14)
        is False
    )
    successor.close()


def test_what_does_not_exist_is_refused_by_name(segment: Segment) -> None:
    reader, writer = SlotTableReader(segment), SlotTableWriter(segment)
    with pytest.raises(IndexError, match="slot 6 of 6"):
        reader.slot(SLOTS)
    with pytest.raises(IndexError, match="slot 6 of 6"):
        writer.publish(SLOTS, None, 0, now_ms=1)
    with pytest.raises(IndexError, match="backend 2 of 2"):
        reader.backend_generation(2)
    with pytest.raises(IndexError, match="backend 2 of 2"):
        writer.lay_backend(2, 0, 1)
    with pytest.raises(ValueError, match="example"):
        writer.publish(0, "example", 80, now_ms=1)
    with pytest.raises(OverflowError):
        writer.publish(0, "127.0.0.1", 65_536, now_ms=1)
    assert reader.slot(0).address is None
