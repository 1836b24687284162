"""The sessions of a server, its queue and its backend, over all workers: the sums of state.pxd."""

from libc.stdint cimport uint32_t

from proxy.rules.state cimport (
    backend_sessions, backend_waiting, server_queue, server_sessions)
from shm.segment cimport Segment, View

from typing import NamedTuple


class Load(NamedTuple):
    """What a server has to do now."""

    sessions: int
    queued: int  # sessions that wait for a place at it
    backend_sessions: int  # of those that have a server


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
