# The journal: which slots changed last, so that nobody looks at all of them to find one.
#
# A change takes the next position and leaves its slot there, with the position, so that a reader
# knows an entry that is not there yet, or no longer. Whoever finds one of these, or is further
# behind than the journal reaches back, looks at everything. The record is whole before a position
# is drawn, so a look after reading `head` sees each record whose position is below it, whoever was
# stopped or killed in between.

from libc.stdint cimport uint32_t, uint64_t

from shm.atomics cimport fetch_add, load_acquire, store_release
from shm.layout cimport JOURNAL_ENTRIES
from shm.segment cimport View

cdef extern from * nogil:
    """
    #define MILLRACE_EVERY_SLOT UINT32_MAX
    """
    uint32_t EVERY_SLOT "MILLRACE_EVERY_SLOT"  # any slot may have changed

cdef enum:
    JOURNAL_EVERYTHING = -1  # what `journal_read` says where it cannot say which


cdef inline void journal_note(const View *view, uint32_t slot) noexcept nogil:
    """Say that the records of a slot changed; after the record is whole."""
    cdef uint64_t position = fetch_add(&view.journal.head, 1)
    store_release(
        &view.journal.entries[position % JOURNAL_ENTRIES],
        <uint64_t><uint32_t>(position + 1) << 32 | slot)


cdef inline int journal_read(
        const View *view, uint64_t *position, uint32_t *slots, int slots_max) noexcept nogil:
    """Fill `slots` with what changed since `position` and move that on; how many, 0 at the end.

    JOURNAL_EVERYTHING, with the position at the end, where any slot may have changed.
    """
    cdef uint64_t entry, head = load_acquire(&view.journal.head)
    cdef int found = 0
    if head - position[0] > JOURNAL_ENTRIES:
        position[0] = head
        return JOURNAL_EVERYTHING
    while position[0] != head and found < slots_max:
        entry = load_acquire(&view.journal.entries[position[0] % JOURNAL_ENTRIES])
        if entry >> 32 != <uint32_t>(position[0] + 1) or <uint32_t>entry == EVERY_SLOT:
            position[0] = head
            return JOURNAL_EVERYTHING
        slots[found] = <uint32_t>entry
        found += 1
        position[0] += 1
    return found
