"""Entries of a stick table for Python: what is shown of them, and what an operator changes.

A reader takes copies and holds nothing. An editor is one writer, which holds an entry while it
changes it.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport load_acquire, load_relaxed, store_relaxed
from shm.tables.cells cimport (
    cell_take, entry_give, entry_peek, entry_take, entry_touch, entry_was_there, has_entry,
    holds_at, outlived, sessions_at)
from shm.tables.keys cimport Key, key_set
from shm.tables.layout cimport (
    BRIEF_HOLD, CELL_FREE, CELL_READY, DATA_CONN_CUR, NO_CELL, Cell, StoredWords, Table, cell_at,
    data_of, meta_at, meta_state)
from shm.tables.memory cimport StickTable
from shm.tables.rates cimport rate_add, rate_read

import enum
from typing import NamedTuple

from shm.tables.shape import TableData


cdef enum:
    PAGE_CELLS = 256  # looked at between two turns of everything else


class Entry(NamedTuple):
    """A copy of one entry; `values` has the elements of each type of data that is stored."""

    cell: int
    key: bytes  # filled up with zeros
    left_ms: int  # until it expires; 0 without `expire`
    sessions: int
    values: tuple[tuple[int, ...], ...]


class Removal(enum.Enum):
    """What became of an order to remove an entry."""

    REMOVED = 0
    ABSENT = 1
    IN_USE = 2


cdef tuple values_of(const Table *table, uint32_t number, int data, int64_t now_ms):
    """The elements of one type of data; of a server, the hash and incarnation, and the id."""
    cdef const StoredWords *stored = &table.stored[data]
    cdef uint64_t *words = data_of(table, number, data)
    cdef uint32_t at
    if data == DATA_CONN_CUR:
        return (sessions_at(table, number),)
    if stored.period_ms != 0:
        return tuple([
            rate_read(words + 2 * at, stored.period_ms, now_ms) for at in range(stored.elements)])
    if list(TableData)[data] is TableData.SERVER_ID:
        return (load_relaxed(&words[0]), load_relaxed(&words[1]))
    return tuple([load_relaxed(&words[at]) for at in range(stored.elements)])


cdef class TableReader:
    """Copies of the entries of one table."""

    cdef readonly StickTable owner

    def __init__(self, StickTable owner):
        self.owner = owner

    def find(self, bytes key, int64_t now_ms):
        """The entry of a key; None: there is none."""
        cdef const Table *table = &self.owner.table
        cdef Key wanted
        cdef uint64_t meta
        cdef uint32_t number
        key_set(table, key, len(key), &wanted)
        number = entry_peek(table, &wanted, now_ms, &meta)
        return None if number == NO_CELL else self.copied(number, now_ms)

    def page(self, uint32_t first, uint32_t count, int64_t now_ms):
        """The entries in these cells."""
        cdef const Table *table = &self.owner.table
        cdef uint32_t number
        cdef Cell *cell
        found = []
        for number in range(first, min(<uint64_t>first + count, <uint64_t>self.owner.cells)):
            cell = cell_at(table, number)
            if has_entry(load_acquire(meta_at(table, number))) and not (
                    outlived(table, cell, now_ms) and holds_at(table, number) == 0):
                found.append(self.copied(number, now_ms))
        return [entry for entry in found if entry is not None]

    def pages(self, int64_t now_ms):
        """The entries, some hundred cells at a time; parts that were never used are passed over."""
        for first in self.firsts():
            yield self.page(first, PAGE_CELLS, now_ms)

    def used(self, int64_t now_ms):
        """How many entries there are, in portions."""
        cdef const Table *table = &self.owner.table
        cdef uint32_t number, found
        for first in self.firsts():
            found = 0
            for number in range(first, min(<uint64_t>first + PAGE_CELLS, self.owner.cells)):
                found += has_entry(load_acquire(meta_at(table, number))) and not (
                    outlived(table, cell_at(table, number), now_ms) and (
                        holds_at(table, number) == 0))
            yield found

    def firsts(self):
        """The first cells of all pages that the kernel has memory for: a look would take it."""
        cdef uint64_t number = 0
        while number < self.owner.cells:
            number = self.owner.next_used(number)
            if number < self.owner.cells:
                yield number
            number += PAGE_CELLS

    cdef object copied(self, uint32_t number, int64_t now_ms):
        """A copy of what is in a cell; None: it has changed meanwhile."""
        cdef const Table *table = &self.owner.table
        cdef Cell *cell = cell_at(table, number)
        cdef uint64_t word, meta = load_acquire(meta_at(table, number))
        cdef uint32_t at
        if not has_entry(meta):
            return None
        key = bytearray()
        for at in range(table.key_words):
            word = load_relaxed(&cell.words[at])
            key += (<char *>&word)[:8]
        left_ms = 0
        if table.expire_ms != 0:
            left_ms = max(0, <int64_t>load_relaxed(&cell.expires_ms) - now_ms)
        values = tuple(
            [values_of(table, number, each.data.number, now_ms)
             for each in self.owner.shape.stored])
        sessions = sessions_at(table, number)
        if not entry_was_there(table, number, meta):
            return None
        return Entry(number, bytes(key[:table.key_bytes]), left_ms, sessions, values)


cdef class TableEditor:
    """Changes entries as one writer."""

    cdef readonly StickTable owner
    cdef uint32_t writer

    def __init__(self, StickTable owner, uint32_t writer):
        self.owner = owner
        self.writer = writer

    def update(self, bytes key, values, int64_t now_ms):
        """Make or refresh an entry with these values of types of data; False: there is no room.

        `values` has the elements by type, None for those that stay: of a rate, the events that
        count from now on.
        """
        cdef Table *table = &self.owner.table
        cdef Key wanted
        cdef uint32_t number, at
        cdef uint64_t *words
        key_set(table, key, len(key), &wanted)
        number = entry_take(table, self.writer, &wanted, now_ms, BRIEF_HOLD, True)
        if number == NO_CELL:
            return False
        try:
            for data, elements in values.items():
                words = data_of(table, number, data.number)
                for at, value in enumerate(elements):
                    if value is None:
                        continue
                    if data.is_rate:
                        store_relaxed(&words[2 * at], 0)
                        rate_add(
                            words + 2 * at, table.stored[<int>data.number].period_ms, now_ms, value)
                    else:
                        store_relaxed(&words[at], value)
            entry_touch(table, number, now_ms)
        finally:
            entry_give(table, self.writer, number, BRIEF_HOLD)
        return True

    def remove(self, bytes key, int64_t now_ms):
        """Remove the entry of a key, where nothing holds it."""
        cdef const Table *table = &self.owner.table
        cdef Key wanted
        cdef uint64_t meta
        cdef uint32_t number
        key_set(table, key, len(key), &wanted)
        number = entry_peek(table, &wanted, now_ms, &meta)
        if number == NO_CELL:
            return Removal.ABSENT
        return self.clear(number, meta)

    cdef object clear(self, uint32_t number, uint64_t meta):
        if meta_state(meta) == CELL_READY and cell_take(
                &self.owner.table, self.writer, number, meta, CELL_FREE, 0):
            return Removal.REMOVED
        return Removal.IN_USE
