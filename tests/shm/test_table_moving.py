"""Entries of another program's stick table come into one of this program: whole, or not at all."""

from __future__ import annotations

import os
import signal

import pytest

from proxy.runtime import now_ms
from shm.tables.entries import Entry, TableEditor, TableReader
from shm.tables.memory import StickTable
from shm.tables.moving import moved_entries
from shm.tables.shape import CONTROL_WRITER, KeyType, Stored, TableData, TableShape
from tests.support.common import own_descriptors, wait_for

STORED = tuple(
    Stored(data, elements, period_ms)
    for data, elements, period_ms in (
        *((TableData.SERVER_ID, 1, 0), (TableData.GPT0, 1, 0), (TableData.CONN_RATE, 1, 10_000)),
        *((TableData.CONN_CUR, 1, 0), (TableData.GPC, 3, 0)),
    )
)
LOOKS = 1_000
WORDS = 100  # so that an entry takes a while
SHAPE = TableShape("t", KeyType.STRING, 20, 1_000, expire_ms=60_000, stored=STORED)


def seen_by_another(table: StickTable) -> StickTable:
    """As another program has it, which was given the files."""
    return StickTable(table.shape, files=(table.file, table.holds))


def entries(table: StickTable, at_ms: int) -> dict[bytes, Entry]:
    pages = list(TableReader(table).pages(at_ms))
    return {entry.key: entry._replace(cell=0) for page in pages for entry in page}


def test_all_that_an_entry_knows_comes_along() -> None:
    begun_ms = now_ms()
    table, heir = StickTable(SHAPE), StickTable(SHAPE)
    editor = TableEditor(table, CONTROL_WRITER)
    for number in range(900):
        values = {
            TableData.GPT0: (number,),
            TableData.CONN_RATE: (number % 7,),
            TableData.GPC: (number, None, number * 3),
        }
        assert editor.update(b"key %d" % number, values, begun_ms + number)
    at_ms = begun_ms + 2_000
    counts = list(moved_entries(seen_by_another(table), heir, at_ms))
    assert sum(counts) == 900
    found = entries(heir, at_ms)
    assert found == entries(table, at_ms)
    assert found[b"key 700".ljust(20, b"\0")].left_ms == 60_000 - 1_300
    assert TableEditor(heir, CONTROL_WRITER).update(b"key 1", {TableData.GPT0: (5,)}, at_ms)
    assert entries(table, at_ms)[b"key 1".ljust(20, b"\0")].values[1] == (1,), "they are two"


def test_what_has_expired_stays_behind() -> None:
    begun_ms = now_ms()
    table, heir = StickTable(SHAPE), StickTable(SHAPE)
    editor = TableEditor(table, CONTROL_WRITER)
    editor.update(b"old", {}, begun_ms)
    editor.update(b"new", {}, begun_ms + 1)
    at_ms = begun_ms + SHAPE.expire_ms
    assert sum(moved_entries(seen_by_another(table), heir, at_ms)) == 1
    assert [key.rstrip(b"\0") for key in entries(heir, at_ms)] == [b"new"]


def test_what_is_changed_meanwhile_is_of_one_entry() -> None:
    """Another program's workers take entries away, and make others in their cells."""
    shape = TableShape("t", KeyType.INTEGER, 4, 40, stored=(Stored(TableData.GPC, WORDS),))
    table = StickTable(shape)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        editor, number = TableEditor(table, CONTROL_WRITER), 0
        while True:
            number += 1
            key = number.to_bytes(4, "little")
            editor.update(key, {TableData.GPC: (number,) * WORDS}, 1)
            if number > 30:
                editor.remove((number - 30).to_bytes(4, "little"), 1)
            if number == 100:
                os.write(writing, b"!")
    os.close(writing)
    try:
        assert os.read(reading, 1), "the other one has ended"
        found, looks = set[bytes](), 0
        while looks < LOOKS:
            heir = StickTable(shape)
            list(moved_entries(seen_by_another(table), heir, 1))
            looks += 1
            for key, entry in entries(heir, 1).items():
                found.add(key)
                # the first look at a new entry may be before its values are there
                assert set(entry.values[0]) <= {0, int.from_bytes(key, "little")}
        assert len(found) > 100
        wait_for(lambda: sum(moved_entries(table, StickTable(shape), 1)) > 20, 10, "some at once")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


def test_another_kind_of_table_is_refused() -> None:
    table, larger = StickTable(SHAPE), StickTable(SHAPE._replace(entries=100_000))
    with pytest.raises(ValueError, match="stick-table 't' has files of other sizes"):
        StickTable(larger.shape, files=(table.file, table.holds))
    with pytest.raises(ValueError, match="stick-table 't' has files of other sizes"):
        StickTable(SHAPE, files=(table.holds, table.file))
    with pytest.raises(ValueError, match="stick-table 't' is of another kind"):
        list(moved_entries(table, larger, 0))
    shorter = SHAPE._replace(expire_ms=1_000)  # which is no other kind
    assert list(moved_entries(table, StickTable(shorter), 0)) == [0]
    descriptors = own_descriptors()
    for _ in range(10):
        seen_by_another(table)
    assert own_descriptors() == descriptors
