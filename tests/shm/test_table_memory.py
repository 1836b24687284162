"""Memory of stick tables: how much of it entries take, and that it goes with the last reference."""

from __future__ import annotations

import gc
import resource

import pytest

from shm.tables.entries import TableEditor, TableReader
from shm.tables.memory import StickTable
from shm.tables.shape import KeyType, Stored, TableData, TableShape
from tests.support.common import own_descriptors
from tests.support.generated import sample

MEGABYTE = 1_000_000
ENTRY_BYTES_MAX = 100
ENTRIES = sample(100_000, full=1_000_000)
WORKERS = 2


def mapped_tables() -> int:
    """How many mappings of stick tables this process has."""
    with open("/proc/self/maps") as maps:
        return sum("stick-table" in line for line in maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stored",
    [
        (Stored(TableData.CONN_CUR), Stored(TableData.CONN_CNT), Stored(TableData.BYTES_IN_CNT)),
        (
            Stored(TableData.CONN_RATE, 1, 10_000),
            Stored(TableData.SESS_RATE, 1, 10_000),
            Stored(TableData.BYTES_OUT_RATE, 1, 10_000),
        ),
    ],
)
def test_addresses_with_three_counters_take_a_hundred_bytes_each(
    stored: tuple[Stored, ...],
) -> None:
    table = StickTable(TableShape("t", KeyType.IP, 4, ENTRIES, 10_000, stored=stored))
    table.lengthen(1 + WORKERS)
    values = {each.data: (1,) for each in stored if each.data is not TableData.CONN_CUR}
    for writer in range(1, 1 + WORKERS):
        editor = TableEditor(table, writer)
        for number in range(ENTRIES // WORKERS):
            editor.update((number * WORKERS + writer).to_bytes(4, "big"), values, 1_000)
    page, entries = 50_000, 0
    for first in range(0, table.cells, page):
        entries += len(TableReader(table).page(first, page, 1_000))
    assert entries + table.evicted == ENTRIES
    assert table.evicted < ENTRIES // 1_000
    assert table.memory_bytes < ENTRY_BYTES_MAX * ENTRIES


def test_an_empty_table_takes_next_to_nothing() -> None:
    table = StickTable(TableShape("t", KeyType.IP, 4, 100_000_000))
    table.lengthen(257)
    assert table.memory_bytes < MEGABYTE // 10


def test_what_a_writer_held_is_given_back(  # its column may be as large as the table
) -> None:
    table = StickTable(TableShape("t", KeyType.INTEGER, 4, 100_000))
    table.lengthen(3)
    for number in range(20_000):
        TableEditor(table, 2).update(number.to_bytes(4, "little"), {}, 1)
    before = table.memory_bytes
    table.settle(2)
    assert before - table.memory_bytes > 300_000


def test_the_memory_goes_with_the_last_reference() -> None:
    gc.collect()  # what other tests left
    before = mapped_tables(), own_descriptors()
    table = StickTable(TableShape("t", KeyType.IP, 4, 100))
    reader = TableReader(table)
    del table
    assert mapped_tables() == before[0] + 2
    del reader
    gc.collect()
    assert (mapped_tables(), own_descriptors()) == before


def test_a_refusal_of_the_kernel_is_an_error_and_leaves_nothing() -> None:
    gc.collect()  # what other tests left
    before = mapped_tables(), own_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, hard))
    try:
        with pytest.raises(OSError, match="cannot map"):
            StickTable(TableShape("t", KeyType.IP, 4, 10_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    with pytest.raises(ValueError, match="too large"):
        StickTable(TableShape("t", KeyType.IP, 4, 0xFFFFFFFF))
    assert (mapped_tables(), own_descriptors()) == before
