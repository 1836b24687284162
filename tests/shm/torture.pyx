# cython: language_level=3, boundscheck=False
"""Loops at full speed over one latch (and one name latch): the product's own reads and writes.

Record n carries n in its first word and words derived from n in the others, so a reader knows a
torn record from a whole one. After each record the writer bumps the table generation to n.
"""

from libc.stdint cimport uint64_t

from shm.atomics cimport load_acquire, store_release
from shm.latch cimport latch_read, latch_write, name_read, name_write
from shm.records cimport NAME_WORDS, RECORD_WORDS
from shm.segment cimport Segment


cdef inline uint64_t word_of(uint64_t number, int word) noexcept nogil:
    return number if word == 0 else (number * 0x9E3779B97F4A7C15ULL) ^ (<uint64_t>word << 56)


def write(Segment segment, uint64_t records) -> None:
    """Continue after the record that is there, and publish that many more."""
    cdef uint64_t record[7]
    cdef uint64_t number, last
    cdef int word
    if not latch_read(&segment.view.slots[0], record):
        raise BlockingIOError("a second writer")
    last = record[0]
    with nogil:
        for number in range(last + 1, last + records + 1):
            for word in range(RECORD_WORDS):
                record[word] = word_of(number, word)
            latch_write(&segment.view.slots[0], record)
            store_release(&segment.view.header.table_generation, number)


def read(Segment segment, uint64_t reads) -> tuple:
    """Read that often: (whole reads, refused reads, torn, stale, backwards, last record seen)."""
    cdef uint64_t record[7]
    cdef uint64_t promised, last = 0, whole = 0, refused = 0, torn = 0, stale = 0, backwards = 0
    cdef uint64_t attempt
    cdef int word
    with nogil:
        for attempt in range(reads):
            promised = load_acquire(&segment.view.header.table_generation)
            if not latch_read(&segment.view.slots[0], record):
                refused += 1
                continue
            whole += 1
            for word in range(1, RECORD_WORDS):
                if record[word] != word_of(record[0], word):
                    torn += 1
                    break
            stale += record[0] < promised
            backwards += record[0] < last
            last = record[0]
    return whole, refused, torn, stale, backwards, last


def write_names(Segment segment, uint64_t records) -> None:
    """`write` for the target of slot 0."""
    cdef uint64_t record[33]
    cdef uint64_t number, last
    cdef int word
    if not name_read(&segment.view.targets[0], record):
        raise BlockingIOError("a second writer")
    last = record[0]
    with nogil:
        for number in range(last + 1, last + records + 1):
            for word in range(NAME_WORDS):
                record[word] = word_of(number, word)
            name_write(&segment.view.targets[0], record)
            store_release(&segment.view.header.table_generation, number)


def read_names(Segment segment, uint64_t reads) -> tuple:
    """`read` for the target of slot 0."""
    cdef uint64_t record[33]
    cdef uint64_t promised, last = 0, whole = 0, refused = 0, torn = 0, stale = 0, backwards = 0
    cdef uint64_t attempt
    cdef int word
    with nogil:
        for attempt in range(reads):
            promised = load_acquire(&segment.view.header.table_generation)
            if not name_read(&segment.view.targets[0], record):
                refused += 1
                continue
            whole += 1
            for word in range(1, NAME_WORDS):
                if record[word] != word_of(record[0], word):
                    torn += 1
                    break
            stale += record[0] < promised
            backwards += record[0] < last
            last = record[0]
    return whole, refused, torn, stale, backwards, last
