"""What goes on now, for all of a kind at once: sums over all workers' rows, in C.

For any process that wants to know which of many are busy without building a row of each.
"""

from libc.stdint cimport uint32_t, uint64_t

from shm.atomics cimport load_relaxed
from shm.segment cimport Segment, backend_counters, frontend_counters, server_counters


cdef class LoadSums:
    """Reads counters."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def frontends(self) -> list:
        """The sessions of each frontend, by its index."""
        cdef uint32_t index, row
        cdef uint64_t total
        found = []
        for index in range(self.segment.view.header.frontends):
            total = 0
            for row in range(self.segment.view.header.workers + 1):
                total += load_relaxed(
                    &frontend_counters(&self.segment.view, row, index).sessions)
            found.append(total)
        return found

    def servers(self, uint32_t first, uint32_t count) -> list:
        """The sessions of each of some neighbouring slots; raises IndexError."""
        cdef uint32_t slot, row
        cdef uint64_t total
        if <uint64_t>first + count > self.segment.view.header.slots:
            raise IndexError(f"slots {first} to {<uint64_t>first + count}")
        found = []
        for slot in range(first, first + count):
            total = 0
            for row in range(self.segment.view.header.workers + 1):
                total += load_relaxed(&server_counters(&self.segment.view, row, slot).sessions)
            found.append(total)
        return found

    def waiting(self) -> dict:
        """How many sessions wait for a place, by backend; those where none waits are not in."""
        cdef uint32_t index, row, slot
        cdef uint64_t total
        found = {}
        for index in range(self.segment.view.header.backends):
            if self.segment.view.backends[index].limited == 0:
                continue
            total = 0
            for row in range(self.segment.view.header.workers + 1):
                total += load_relaxed(&backend_counters(&self.segment.view, row, index).queued)
                for slot in range(
                        self.segment.view.backends[index].first_slot,
                        self.segment.view.backends[index].first_slot
                        + self.segment.view.backends[index].slots):
                    total += load_relaxed(&server_counters(&self.segment.view, row, slot).queued)
            if total != 0:
                found[index] = total
        return found

    def resolutions_other_than(self, uint64_t status) -> list:
        """The names whose last run ended, and with another status than this one."""
        cdef uint32_t index
        cdef uint64_t found
        names = []
        for index in range(<uint32_t>self.segment.shape.resolutions):
            found = load_relaxed(&self.segment.view.resolutions[index].status)
            if found != 0 and found != status:
                names.append(index)
        return names
