"""Entries of one stick table into another one of the same kind, whose memory is another.

A program that goes on from a former one does it, whose workers may still change theirs: what is
read of an entry is of that entry, or it is passed over.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from shm.atomics cimport load_acquire, load_relaxed, store_relaxed
from shm.tables.cells cimport entry_give, entry_take, entry_was_there, has_entry, outlived
from shm.tables.keys cimport Key, key_set
from shm.tables.layout cimport BRIEF_HOLD, CONTROL_WRITER, NO_CELL, Cell, Table, cell_at, meta_at
from shm.tables.memory cimport StickTable

cdef enum:
    PORTION_CELLS = 4_096  # looked at between two turns of everything else


cdef inline bint entry_move(
        const Table *source, const Table *target, uint32_t number, uint64_t *words, int64_t now_ms
) noexcept nogil:
    """Whether the entry of a cell, if there is one, is in the other table now."""
    cdef Cell *cell = cell_at(source, number)
    cdef uint64_t meta = load_acquire(meta_at(source, number))
    cdef uint32_t count = (source.cell_bytes - <uint32_t>sizeof(Cell)) // 8
    cdef uint64_t expires_ms = load_relaxed(&cell.expires_ms)
    cdef uint32_t at, made
    cdef Key key
    if not has_entry(meta) or outlived(source, cell, now_ms):
        return False
    for at in range(count):
        words[at] = load_relaxed(&cell.words[at])
    if not entry_was_there(source, number, meta):
        return False
    key_set(target, <const char *>words, source.key_bytes, &key)
    made = entry_take(target, CONTROL_WRITER, &key, now_ms, BRIEF_HOLD, True)
    if made == NO_CELL:
        return False
    cell = cell_at(target, made)
    for at in range(source.key_words, count):
        store_relaxed(&cell.words[at], words[at])
    store_relaxed(&cell.expires_ms, expires_ms)
    entry_give(target, CONTROL_WRITER, made, BRIEF_HOLD)
    return True


def moved_entries(StickTable source, StickTable target, int64_t now_ms):
    """Copy all entries that have not expired, in portions: how many each had.

    Nothing else writes the target yet. Raises ValueError for tables of different memory,
    MemoryError.
    """
    cdef uint64_t first = 0
    cdef uint64_t last, number
    cdef uint64_t *words
    if source.shape.memory != target.shape.memory:
        raise ValueError(f"stick-table '{target.shape.name}' is of another kind")
    words = <uint64_t *>malloc(source.table.cell_bytes)
    if words == NULL:
        raise MemoryError("an entry of a stick table")
    try:
        while first < source.cells:
            first = source.next_used(first)
            last = min(first + PORTION_CELLS, <uint64_t>source.cells)
            found = 0
            for number in range(first, last):
                found += entry_move(
                    &source.table, &target.table, <uint32_t>number, words, now_ms)
            yield found
            first = last
    finally:
        free(words)
