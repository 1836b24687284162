"""What goes on now, for all of a kind at once: sums over all workers' rows, in C.

For any process that wants to know which of many are busy without building a row of each.
"""

from libc.stdint cimport uint32_t, uint64_t

from shm.atomics cimport load_relaxed
from shm.segment cimport (
    Segment, bind_counters, backend_counters, frontend_counters, server_counters)


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

    def bind(self, uint32_t index) -> int:
        """The sessions accepted at a bind address, which has a maxconn; raises IndexError."""
        cdef uint32_t row
        cdef uint64_t total = 0
        if index >= <uint32_t>self.segment.shape.binds:
            raise IndexError(f"bind {index}")
        for row in range(self.segment.view.header.workers + 1):
            total += load_relaxed(&bind_counters(&self.segment.view, row, index).sessions)
        return total

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


cdef class LimitStops:
    """Where clients have begun to wait at a limit since the last look, at first since its creation.

    A relay draws a turn when it stops a bind address at which a client waits, and a ticket when a
    session enters a queue. Both words only grow: no wait is missed, however short.
    """

    cdef Segment segment
    cdef list binds_seen
    cdef list backends_seen

    def __init__(self, Segment segment):
        cdef uint32_t index
        self.segment = segment
        self.binds_seen = [
            load_relaxed(&segment.view.turns[1 + index])
            for index in range(<uint32_t>segment.shape.binds)]
        self.backends_seen = [
            load_relaxed(&segment.view.backends[index].queue_tickets)
            for index in range(segment.view.header.backends)]

    def binds(self) -> list:
        """Bind addresses, by index."""
        cdef uint32_t index
        cdef uint64_t drawn
        found = []
        for index in range(<uint32_t>self.segment.shape.binds):
            drawn = load_relaxed(&self.segment.view.turns[1 + index])
            if drawn != <uint64_t>self.binds_seen[index]:
                self.binds_seen[index] = drawn
                found.append(index)
        return found

    def backends(self) -> list:
        """Backends in whose queues sessions have come, by index."""
        cdef uint32_t index
        cdef uint64_t drawn
        found = []
        for index in range(self.segment.view.header.backends):
            drawn = load_relaxed(&self.segment.view.backends[index].queue_tickets)
            if drawn != <uint64_t>self.backends_seen[index]:
                self.backends_seen[index] = drawn
                found.append(index)
        return found
