# The journal: a ring of the slots that changed last, so that a reader need not scan all slots.
#
# A change draws the next position and stores its slot and the position in the entry. By the
# position a reader recognizes an entry that is not stored yet, or already overwritten; then, or
# when it is more than JOURNAL_ENTRIES behind, it reads every slot. The record is complete before
# its position is drawn, so a reader that loads `head` first sees each record whose position is
# below it, even if a writer was stopped or killed in between.

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
    JOURNAL_EVERYTHING = -1  # returned by `journal_read`: any slot may have changed


cdef inline void journal_note(const View *view, uint32_t slot) noexcept nogil:
    """Note a change of a slot; call it after the record is complete."""
    cdef uint64_t position = fetch_add(&view.journal.head, 1)
    store_release(
        &view.journal.entries[position % JOURNAL_ENTRIES],
        <uint64_t><uint32_t>(position + 1) << 32 | slot)


cdef inline int journal_read(
        const View *view, uint64_t *position, uint32_t *slots, int slots_max) noexcept nogil:
    """Fill `slots` with changes since `position`, which is advanced; their number, 0 at the end.

    JOURNAL_EVERYTHING, with `position` at the end, if any slot may have changed.
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
