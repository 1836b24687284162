# The slot table in compiled code: health records as the process that checks keeps them.

from libc.stdint cimport uint32_t, uint64_t

from shm.atomics cimport load_acquire
from shm.records cimport HealthRecord
from shm.segment cimport Segment, View

cdef object health_state(const HealthRecord *record)
cdef int health_fill(HealthRecord *record, object state) except -1


cdef inline uint64_t slot_revision(const View *view, uint32_t slot) noexcept nogil:
    """A number that grows with each publication of the slot or admin record."""
    return load_acquire(&view.slots[slot].sequence) + load_acquire(&view.admins[slot].sequence)


cdef class SlotTableReader:
    cdef Segment segment

    cdef int check(self, uint32_t slot) except -1


cdef class HealthTableWriter:
    cdef Segment segment
    cdef SlotTableReader reader

    cdef int put(self, uint32_t slot, const HealthRecord *record, bint changed) except -1
