"""The last events of the program: what changed, by whom, when. Written by every process.

One area of anonymous memory for all generations, which children inherit: a ring of cells, each with
a sequence, the wall clock, a level and a text. A writer draws its sequence from one shared word and
writes the cell that follows from it; a reader takes a cell only if its sum fits, so that one whose
writer was killed, or was overtaken by a whole round of the ring, is left out and never shown torn.
Rare by nature: neither connections nor checks are events, only what they change.
"""

import mmap
from typing import NamedTuple

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from shm.atomics cimport (
    fence_acquire, fence_release, fetch_add, load_acquire, store_relaxed, store_release,
)

cdef enum:
    CELLS = 1024
    TEXT_BYTES = 480

EVENTS_MAX = CELLS

cdef struct Cell:
    uint64_t sequence  # 0 while it is written
    int64_t time_us
    uint32_t sum
    uint16_t length
    uint8_t level
    uint8_t unused[9]
    uint8_t text[TEXT_BYTES]

cdef struct Ring:
    uint64_t last  # the sequence drawn last
    uint8_t unused[56]
    Cell cells[CELLS]


class LoggedEvent(NamedTuple):
    """One event; `level` as in log lines."""

    sequence: int  # from 1, one more for each
    time_us: int  # wall clock, since 1970
    level: int
    text: str


cdef uint32_t sum_of(const Cell *cell, uint64_t sequence) noexcept nogil:
    # FNV-1a over everything that a reader is given
    cdef uint32_t found = 2166136261U
    cdef uint64_t words[3]
    cdef const uint8_t *head = <const uint8_t *>words
    cdef size_t place
    words[0] = sequence
    words[1] = <uint64_t>cell.time_us
    words[2] = (<uint64_t>cell.length << 8) | cell.level
    for place in range(sizeof(words)):
        found = (found ^ head[place]) * 16777619U
    for place in range(min(<size_t>cell.length, <size_t>TEXT_BYTES)):
        found = (found ^ cell.text[place]) * 16777619U
    return found


cdef class EventRing:
    """The events of one program."""

    cdef object memory  # keeps the mapping
    cdef uint8_t[::1] view
    cdef Ring *ring

    def __init__(self):
        """Map the area; raises OSError without memory."""
        self.memory = mmap.mmap(-1, sizeof(Ring))
        self.view = self.memory
        self.ring = <Ring *>&self.view[0]

    @property
    def last(self):
        """The sequence of the newest event; 0 before the first."""
        return load_acquire(&self.ring.last)

    def write(self, int64_t time_us, uint8_t level, str text):
        """Note an event as one printable line, of which the first 480 bytes are kept."""
        cdef str line = "".join([each if each.isprintable() else " " for each in text])
        cdef bytes encoded = line.encode(errors="backslashreplace")[:TEXT_BYTES]
        cdef size_t length = len(encoded)
        cdef const uint8_t *source = encoded
        cdef uint64_t sequence = fetch_add(&self.ring.last, 1) + 1
        cdef Cell *cell = &self.ring.cells[sequence % CELLS]
        store_relaxed(&cell.sequence, 0)
        fence_release()
        cell.time_us = time_us
        cell.length = <uint16_t>length
        cell.level = level
        memcpy(cell.text, source, length)
        cell.sum = sum_of(cell, sequence)
        store_release(&cell.sequence, sequence)

    def event(self, uint64_t sequence):
        """The event with this sequence; None when it is not written yet, torn, or overwritten."""
        cdef Cell *cell = &self.ring.cells[sequence % CELLS]
        cdef Cell copy
        if sequence == 0 or load_acquire(&cell.sequence) != sequence:
            return None
        memcpy(&copy, cell, sizeof(Cell))
        fence_acquire()
        if copy.length > TEXT_BYTES or copy.sum != sum_of(&copy, sequence):
            return None
        text = copy.text[:copy.length].decode(errors="replace")
        return LoggedEvent(sequence, copy.time_us, copy.level, text)
