"""The sessions of a server, its queue and its backend, over all workers: the sums of state.pxd."""

from libc.stdint cimport int64_t, uint32_t

from proxy.rules.state cimport backend_sessions, server_queue, server_sessions
from shm.atomics cimport load_relaxed
from shm.segment cimport Segment, View, backend_counters

from typing import NamedTuple


class Load(NamedTuple):
    """What a server has to do now."""

    sessions: int
    queued: int  # sessions that wait for a place at it
    backend_sessions: int  # of those that have a server


cdef int64_t backend_waiting(const View *view, uint32_t backend) noexcept nogil:
    """Sessions that wait for a place at any server of a backend."""
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&backend_counters(view, row, backend).queued)
    return count


cdef class Loads:
    """Looks at one segment; for any process."""

    cdef Segment segment

    def __init__(self, Segment segment) -> None:
        self.segment = segment

    def server(self, uint32_t slot) -> Load:
        """The load of a server; raises IndexError."""
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        cdef const View *view = &self.segment.view
        cdef uint32_t backend = view.statics[slot].backend
        return Load(
            server_sessions(view, slot), server_queue(view, slot),
            backend_sessions(view, backend) - backend_waiting(view, backend))
