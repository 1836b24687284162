"""Control dies after each store of an addition and a deletion: a successor finds the one or the other.

The readers are processes that have looked before, and one that is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from shm.members import (
    BACKEND_LINE,
    LATER_NAME_BYTES_MAX,
    Member,
    MemberReader,
    MemberState,
    MemberWriter,
    empty_backend_row,
    is_published,
    make_spare,
)
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import StaticFlag, StaticState
from tests.support.trace import die_at_each_store, pause

SPARE = 1  # its slot
BACKEND, NAME_SLOT, NAME = 1, 2, b"a name of some length"  # of a spare backend
LINE = bytes(range(1, 200))
ADDED = StaticState(0, StaticFlag.CHECKED, 7, 3, 2, 3, 9, added=1)


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Shape(4, 2, 1, 1, 1, nameservers=0, resolutions=0))
    table = SlotTableWriter(made)
    table.lay_backend(0, 0, 1, 1)
    table.lay_backend(BACKEND, NAME_SLOT, 0, 2)
    make_spare(made, BACKEND)
    table.place(0, StaticState(0, StaticFlag(0), 1, 0, 2, 3, 1))
    yield made
    made.close()


def is_whole(segment: Segment, member: Member) -> bool:
    if member.slot == NAME_SLOT:
        return member.line == BACKEND_LINE + NAME
    static = SlotTableReader(segment).static(SPARE)
    return member.line == LINE and (static.weight, static.maxconn, static.id) == (7, 3, 9)


def deaths(
    segment: Segment, slot: int, change: Callable[[MemberWriter], object], before: int, after: int
) -> int:
    """Let control die in a change, and a successor come; how often there were stores to die at."""
    writer, found = MemberWriter(segment), 0

    def work() -> None:
        pause()
        change(writer)

    told = MemberReader(segment)
    told.changed()
    for _ in die_at_each_store(segment, work):
        found += 1
        position = told.position
        reader = MemberReader(segment)
        assert reader.read(slot).state in (before, after)
        successor = MemberWriter(segment)
        now = MemberReader(segment).read(slot)
        fresh = {member.state for member in MemberReader(segment).changed()}
        assert fresh == ({now.state} if now.state else set()), "one that is new knows it, too"
        if now.state == MemberState.ADDED:
            assert is_whole(segment, now)
        if now.state == after:
            assert now.change == position + 1 == told.changes, "those that looked before are told"
            assert now.change < successor.following
        else:
            assert told.changes == position
            change(successor)  # as the operator does who got no answer
            assert MemberReader(segment).read(slot).state == after
    change(writer)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["server", "backend"])
def test_each_change_is_whole_or_none_after_a_death_at_each_store(
    segment: Segment, kind: str
) -> None:
    of_servers = {
        MemberState.ADDED: lambda writer: writer.add(SPARE, LINE, ADDED),
        MemberState.DELETED: lambda writer: writer.delete(SPARE),
        MemberState.EMPTIED: lambda writer: writer.empty(SPARE),
        MemberState.FREE: lambda writer: writer.free(SPARE),
    }
    of_backends = {
        MemberState.ADDED: lambda writer: writer.name_backend(BACKEND, NAME),
        MemberState.DELETED: lambda writer: writer.delete(NAME_SLOT),
        MemberState.EMPTIED: lambda writer: writer.empty(NAME_SLOT),
        MemberState.FREE: lambda writer: writer.free_backend(BACKEND),
    }
    slot, writer_of = (SPARE, of_servers) if kind == "server" else (NAME_SLOT, of_backends)
    before, stores = MemberState.AS_FILE, []
    for after in (*writer_of, MemberState.ADDED):  # in a slot that has had one as well
        stores.append(deaths(segment, slot, writer_of[after], before, after))
        before = after
    assert stores[0] > (20 if kind == "server" else 4), "a line, what it says, and the change"
    assert min(stores) >= 3, "a state, the list of changes, and their number"


@pytest.mark.slow
def test_a_server_has_its_old_name_or_the_new_one_after_a_death_at_each_store(
    segment: Segment,
) -> None:
    writer = MemberWriter(segment)
    writer.add(SPARE, LINE, ADDED)
    for slot, state, line in ((0, MemberState.RENAMED, b""), (SPARE, MemberState.ADDED, LINE)):
        former = b""
        for name in (b"one", b"x" * LATER_NAME_BYTES_MAX, b"three"):
            seen = {b"": 0, b"one": 0, b"three": 0}
            for _ in die_at_each_store(segment, lambda: renamed(segment, slot, name)):  # noqa: B023
                found = MemberReader(segment).read(slot)
                assert found.name in (former, name)
                assert found.line == line
                assert found.state == (state if found.name else found.state)
                seen[found.name] = seen.get(found.name, 0) + 1
                successor = MemberWriter(segment)
                told = MemberReader(segment)
                assert found.name == former or found in told.changed()
                assert successor.following > found.change
            assert seen.get(former, 0) > 1, "before the word of the slot"
            writer = MemberWriter(segment)
            writer.rename(slot, name)
            former = name


def renamed(segment: Segment, slot: int, name: bytes) -> None:
    writer = MemberWriter(segment)
    pause()
    writer.rename(slot, name)


def test_only_a_member_is_renamed(segment: Segment) -> None:
    writer = MemberWriter(segment)
    with pytest.raises(ValueError, match="256 bytes of a name, at most 255"):
        writer.rename(0, b"x" * (LATER_NAME_BYTES_MAX + 1))
    with pytest.raises(IndexError):
        writer.rename(4, b"x")
    writer.rename(0, b"x")
    assert MemberReader(segment).read(0) == Member(0, 1, MemberState.RENAMED, b"", b"x")
    writer.delete(0)
    with pytest.raises(ValueError, match="slot 0 has no server"):
        writer.rename(0, b"y")
    assert MemberReader(segment).read(0).name == b""


def test_a_spare_backend_has_one_name_at_a_time(segment: Segment) -> None:
    writer = MemberWriter(segment)
    assert not is_published(segment, BACKEND)
    assert is_published(segment, 0)
    with pytest.raises(ValueError, match="256 bytes of a name, at most 255"):
        writer.name_backend(BACKEND, b"x" * 256)
    writer.name_backend(BACKEND, b"x" * 255)
    with pytest.raises(ValueError, match="backend 1 has a name"):
        writer.name_backend(BACKEND, NAME)
    assert writer.unused(BACKEND) == NAME_SLOT + 1, "the first slot is for no server"
    writer.publish(BACKEND, published=True)
    assert is_published(segment, BACKEND)
    for order in (is_published, make_spare):
        with pytest.raises(IndexError):
            order(segment, 2)
    with pytest.raises(IndexError):
        empty_backend_row(segment, 1, BACKEND)
    assert empty_backend_row(segment, 0, BACKEND)
