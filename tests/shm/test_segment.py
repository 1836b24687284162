"""The segment's byte map, its seals, its limits, and the roles that live on it."""

from __future__ import annotations

import mmap
import os
import signal
import struct
from pathlib import Path

import pytest

from loadtest.declarations import declared
from shm.locks import ADMIN_WRITER, HEALTH_WRITER, SLOT_WRITER, SecondWriterError, take_role
from shm.segment import MAGIC, Segment, area_sizes, check_sizes, pages, row_bytes
from shm.shape import (
    NAMESERVERS_MAX,
    PROXIES_MAX,
    RESOLUTIONS_MAX,
    SECTIONS_MAX,
    SLOTS_MAX,
    SOCKETS_MAX,
    WORKERS_MAX,
    Shape,
)
from tests.support.common import own_descriptors

SHAPES = (
    Shape(0, 0, 0, 1, 0, 0, 0),
    Shape(5, 1, 1, 2, 2, 2, 1),
    Shape(10_000, 40, 50, 4, 200, 3, 7),
    Shape(1, 1, 1, WORKERS_MAX, SOCKETS_MAX, 1, 1),
)
LAYOUT = declared("shm/layout.pxd")
HEADER = LAYOUT.structs["Header"]


class Words:
    """The header's words, by the fields that layout.pxd gives it."""

    def __init__(self, segment: Segment) -> None:
        with mmap.mmap(segment.fd, segment.size) as memory:
            self._bytes = memory[: HEADER.size]

    def __call__(self, field: str, count: int = 1) -> tuple[int, ...]:
        return struct.unpack_from(f"={count}Q", self._bytes, HEADER.offsets[field])


@pytest.mark.parametrize("shape", SHAPES)
def test_areas_follow_one_another_on_pages_of_their_own(shape: Shape) -> None:
    check_sizes()
    segment = Segment.create(shape, 3)
    offsets, sizes = segment.offsets(), area_sizes(shape)
    assert offsets[0] == 0
    for area, offset in enumerate(offsets):
        assert offset % mmap.PAGESIZE == 0
        end = offsets[area + 1] if area + 1 < len(offsets) else segment.size
        assert offset + sizes[area] <= end
        assert end > offset
    assert row_bytes(shape) % mmap.PAGESIZE == 0
    assert (segment.reload_generation, segment.table_generation) == (3, 0)
    assert segment.shape == shape
    segment.close()


def test_the_header_tells_the_layout_and_its_version_comes_last() -> None:
    segment = Segment.create(SHAPES[1])
    word = Words(segment)
    assert word("magic") == (MAGIC,)
    assert int.from_bytes(b"MILLRACE", "little") == MAGIC
    assert word("size") == (segment.size,)
    assert word("offsets", LAYOUT.numbers["AREAS"]) == segment.offsets()
    assert word("row_bytes") == (row_bytes(SHAPES[1]),)
    assert word("version") == (LAYOUT.numbers["LAYOUT_VERSION"],)
    assert HEADER.offsets["version"] == HEADER.size - 8
    segment.close()


def test_nobody_can_shrink_or_grow_a_segment() -> None:
    segment = Segment.create(SHAPES[1])
    for size in (0, segment.size - 1, segment.size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(segment.fd, size)
    segment.close()


def test_a_closed_segment_leaves_no_descriptor_and_no_memory() -> None:
    before = own_descriptors(), mappings()
    for _ in range(50):
        segment = Segment.create(SHAPES[2])
        assert mappings() > before[1]
        segment.close()
        segment.close()
        del segment  # the last that has the gauges
    assert (own_descriptors(), mappings()) == before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": WORKERS_MAX + 1}, "workers"),
        ({"slots": SLOTS_MAX + 1}, "servers"),
        ({"sockets": SOCKETS_MAX + 1}, "listening sockets"),
        ({"backends": PROXIES_MAX + 1}, "frontends and backends"),
        ({"frontends": PROXIES_MAX + 1}, "frontends and backends"),
        ({"nameservers": NAMESERVERS_MAX + 1}, "nameservers"),
        ({"resolutions": RESOLUTIONS_MAX + 1}, "resolutions"),
        ({"sections": SECTIONS_MAX + 1}, "resolvers sections"),
        ({"backends": -1}, "negative"),
    ],
)
def test_an_impossible_shape_is_refused_before_any_memory(
    change: dict[str, int], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        Segment.create(SHAPES[1]._replace(**change))


def test_sizes_are_rounded_to_whole_pages() -> None:
    assert [pages(size) for size in (0, 1, 4096, 4097)] == [4096, 4096, 4096, 8192]


def mappings() -> int:
    """Of segments, those of other tests in this process included."""
    return Path("/proc/self/maps").read_text().count("memfd:millrace")


class Holder:
    """A process that takes a role, says so, and holds it until it is killed."""

    def __init__(self, segment: Segment, role: int) -> None:
        ready, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                take_role(segment.fd, role)
                os.write(answer, b"h")
                signal.pause()
            except SecondWriterError:
                os.write(answer, b"s")
            finally:
                os._exit(0)
        os.close(answer)
        self.holds = os.read(ready, 1) == b"h"
        os.close(ready)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def test_a_role_has_one_holder_and_dies_with_it() -> None:
    segment = Segment.create(SHAPES[1])
    for role in (SLOT_WRITER, ADMIN_WRITER, HEALTH_WRITER, HEALTH_WRITER + WORKERS_MAX - 1):
        first = Holder(segment, role)
        assert first.holds
        second = Holder(segment, role)
        assert not second.holds
        with pytest.raises(SecondWriterError, match=str(role)):
            take_role(segment.fd, role)
        other = Holder(segment, role + 1)
        assert other.holds, "another role is free"
        for holder in (first, second, other):
            holder.kill()
        successor = Holder(segment, role)
        assert successor.holds, "a killed holder leaves no ghost"
        successor.kill()
    segment.close()


def test_a_role_does_not_pass_to_forked_children() -> None:
    segment = Segment.create(SHAPES[1])
    take_role(segment.fd, SLOT_WRITER)
    assert not Holder(segment, SLOT_WRITER).holds
    take_role(segment.fd, SLOT_WRITER)
    segment.close()


def test_another_segment_has_roles_of_its_own() -> None:
    old, new = Segment.create(SHAPES[1]), Segment.create(SHAPES[1], 2)
    take_role(old.fd, ADMIN_WRITER)
    holder = Holder(new, ADMIN_WRITER)
    assert holder.holds
    holder.kill()
    old.close()
    new.close()
