"""Requests for a resolution: "a connect to this slot failed", from relays and checks to resolverd.

There is a counter for each worker and slot; resolverd compares it with its value at the last look,
so that no request is lost, even if its writer dies before it rings. Also the consecutive errors of
`observe layer4`, which relays count for the worker that checks the server.
"""

from typing import NamedTuple

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from shm.atomics cimport count, fence_release, load_acquire, store_relaxed
from shm.layout cimport Request
from shm.segment cimport Segment, request_of, server_counters


class ConnectFailure(NamedTuple):
    """The failed connects to one slot since the last look, over all workers.

    `began_ms` is the beginning of the latest attempt that timed out (CLOCK_MONOTONIC), 0 if there
    were only refusals.
    """

    slot: int
    timeouts: int
    refusals: int
    began_ms: int


cdef class CheckRequests:
    """Writes the requests of a worker's health checks: the worker's main thread only."""

    cdef Segment segment
    cdef uint32_t worker

    def __init__(self, Segment segment, uint32_t worker):
        if worker >= segment.view.header.workers:
            raise IndexError(f"worker {worker}")
        self.segment = segment
        self.worker = worker

    cdef Request *at(self, uint32_t slot) except NULL:
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot}")
        return request_of(&self.segment.view, self.worker, slot)

    def timed_out(self, uint32_t slot, uint64_t began_ms) -> None:
        """A check's connect, begun at `began_ms`, timed out."""
        cdef Request *request = self.at(slot)
        store_relaxed(&request.check_began_ms, began_ms)
        fence_release()  # a reader of the count reads the time too
        count(&request.check_timeouts, 1)

    def refused(self, uint32_t slot) -> None:
        """A check's connect was refused or had no route."""
        count(&self.at(slot).check_refusals, 1)


cdef class RequestReader:
    """The requests since the last look. resolverd only.

    The first look counts from the reader's creation if `from_now`, else from zero.
    """

    cdef Segment segment
    cdef uint64_t *seen
    cdef uint64_t cells

    def __cinit__(self, Segment segment, bint from_now=True):
        self.segment = segment
        self.cells = <uint64_t>segment.view.header.workers * segment.view.header.slots
        self.seen = <uint64_t *>calloc(self.cells * 2 + 1, sizeof(uint64_t))
        if self.seen == NULL:
            raise MemoryError("request counters")
        if from_now:
            self.changes()

    def __dealloc__(self):
        free(self.seen)

    def changes(self) -> list:
        """One `ConnectFailure` for each slot with new requests, in slot order."""
        cdef uint32_t worker, slot, slots = self.segment.view.header.slots
        cdef uint64_t cell, timeouts, refusals, began
        cdef Request *request
        found = {}
        for worker in range(self.segment.view.header.workers):
            for slot in range(slots):
                request = request_of(&self.segment.view, worker, slot)
                cell = (<uint64_t>worker * slots + slot) * 2
                timeouts = load_acquire(&request.client_timeouts) + load_acquire(
                    &request.check_timeouts)
                refusals = load_acquire(&request.client_refusals) + load_acquire(
                    &request.check_refusals)
                if timeouts == self.seen[cell] and refusals == self.seen[cell + 1]:
                    continue
                began = max(
                    load_acquire(&request.client_began_ms), load_acquire(&request.check_began_ms))
                former = found.get(slot, (0, 0, 0))
                found[slot] = (
                    former[0] + timeouts - self.seen[cell],
                    former[1] + refusals - self.seen[cell + 1],
                    max(former[2], began) if timeouts != self.seen[cell] else former[2])
                self.seen[cell] = timeouts
                self.seen[cell + 1] = refusals
        return [ConnectFailure(slot, *found[slot]) for slot in sorted(found)]


cdef class ObservedReader:
    """Reads errors of sessions' connects (`observe layer4`), for the worker that checks them."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def errors(self, uint32_t slot) -> tuple[int, int]:
        """Errors since the last success in any worker, and all errors; raises IndexError."""
        cdef uint32_t worker
        cdef uint64_t errors = 0
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot}")
        for worker in range(self.segment.view.header.workers):
            errors += load_acquire(
                &server_counters(&self.segment.view, worker, slot).observed_errors)
        return load_acquire(&self.segment.view.servers_shared[slot].errors_in_row), errors
