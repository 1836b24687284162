"""Texts of checks: each belongs to the check that ended then."""

from __future__ import annotations

import pytest

from shm.check_texts import CheckTextReader, CheckTextWriter
from shm.segment import Segment
from shm.shape import Shape

SHAPE = Shape(slots=3, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)


def test_a_text_belongs_to_one_check() -> None:
    segment = Segment.create(SHAPE)
    reader, writer = CheckTextReader(segment), CheckTextWriter(segment)
    assert [reader.of(slot, 0) for slot in range(3)] == ["", "", ""]
    writer.publish(1, "421 too busy", 7_000)
    assert (reader.of(1, 7_000), reader.of(1, 7_001), reader.of(2, 7_000)) == (
        "421 too busy",
        "",
        "",
    )
    writer.publish(1, "", 8_000)
    assert (reader.of(1, 7_000), reader.of(1, 8_000)) == ("", "")


def test_a_text_is_cut_at_its_bytes_and_read_as_they_came() -> None:
    segment = Segment.create(SHAPE)
    reader, writer = CheckTextReader(segment), CheckTextWriter(segment)
    writer.publish(0, "x" + "é" * 200, 1)
    assert reader.of(0, 1) == "x" + "é" * 127
    writer.publish(0, "é" * 200, 2)
    assert reader.of(0, 2).encode(errors="surrogateescape") == ("é" * 127).encode() + b"\xc3"
    writer.publish(0, "a\udcffb", 3)
    assert reader.of(0, 3).encode(errors="surrogateescape") == b"a\xffb"


def test_there_is_no_text_of_a_slot_that_is_not_there() -> None:
    segment = Segment.create(SHAPE)
    with pytest.raises(IndexError):
        CheckTextReader(segment).of(3, 0)
    with pytest.raises(IndexError):
        CheckTextWriter(segment).publish(3, "", 0)
