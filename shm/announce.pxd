# The announcement of a changed record of a slot, after it is complete. Rings no bell.

from libc.stdint cimport uint32_t

from shm.atomics cimport fetch_add
from shm.journal cimport EVERY_SLOT, journal_note
from shm.segment cimport Segment


cdef inline int announce(Segment segment, uint32_t slot) except -1:
    """Announce a changed record: journal, backend, then table, after which readers look.

    The slots that track it are announced as well.
    """
    cdef uint32_t tracker
    journal_note(&segment.view, slot)
    fetch_add(&segment.view.backends[segment.view.statics[slot].backend].generation, 1)
    if segment.trackers:
        for tracker in segment.trackers.get(slot, ()):
            announce(segment, tracker)
    fetch_add(&segment.view.header.table_generation, 1)
    return 0


cdef inline int announce_all(Segment segment) except -1:
    """Announce all slots: a former writer may have died between a record and its announcement."""
    cdef uint32_t backend
    journal_note(&segment.view, EVERY_SLOT)
    for backend in range(segment.view.header.backends):
        fetch_add(&segment.view.backends[backend].generation, 1)
    fetch_add(&segment.view.header.table_generation, 1)
    return 0
