"""The slots that changed since they were copied: for the supervisor during a handover.

Four latches of a slot belong to resolverd and control (slot, admin, target, ordered name), and one
of its agent. Each publication bumps one sequence, so the sum changes with each.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from shm.atomics cimport load_acquire
from shm.segment cimport Segment


cdef class SlotRevisions:
    """The sum of the sequences of each slot at its last `look`."""

    cdef Segment segment
    cdef uint64_t *seen  # one more than the revision; 0: never looked at

    def __cinit__(self, Segment segment):
        self.segment = segment
        self.seen = <uint64_t *>calloc(segment.view.header.slots + 1, sizeof(uint64_t))
        if self.seen == NULL:
            raise MemoryError("revisions of slots")

    def __dealloc__(self):
        free(self.seen)

    cdef uint64_t revision(self, uint32_t slot) noexcept:
        cdef uint32_t agent = self.segment.view.statics[slot].agent_plus_one
        cdef uint64_t ordered = 0
        if agent != 0:
            ordered = load_acquire(&self.segment.view.agents[agent - 1].ordered.sequence)
        return 1 + ordered + load_acquire(&self.segment.view.slots[slot].sequence) + load_acquire(
            &self.segment.view.admins[slot].sequence) + load_acquire(
            &self.segment.view.targets[slot].sequence) + load_acquire(
            &self.segment.view.name_orders[slot].sequence)

    def look(self, uint32_t slot) -> None:
        """Note the present revision of a slot; call it before its records are read."""
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        self.seen[slot] = self.revision(slot)

    def forget(self, uint32_t slot) -> None:
        """Count the slot as moved, because its records could not be read."""
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        self.seen[slot] = 0

    def moved(self, const uint32_t[::1] slots, uint32_t first, uint32_t last) -> list:
        """The positions in first..last-1 of `slots` whose slots have moved since `look`."""
        cdef uint32_t place, slot
        if last > slots.shape[0]:
            raise IndexError(f"place {last - 1} of {slots.shape[0]}")
        found = []
        for place in range(first, last):
            slot = slots[place]
            if slot >= self.segment.view.header.slots:
                raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
            if self.seen[slot] != self.revision(slot):
                found.append(place)
        return found
