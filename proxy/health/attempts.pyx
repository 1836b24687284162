"""Checks under way of one process: a descriptor of each in one epoll set, and its deadline.

Owns which are under way and when each runs out of time. How a check begins, goes on and ends is its
kind's: connects (check.pyx) in workers, programs (proxy/runner/programs.py) in the runner. Knows
neither servers nor health.
"""

import select
from typing import TypeVar

from libc.stdint cimport int64_t

from proxy.health.heap cimport (
    Entry, heap_free, heap_order, heap_pop, heap_push)
from proxy.health.judgement cimport Outcome, new_outcome
from proxy.relay.state.syscalls cimport CLOCK_MONOTONIC, clock_gettime, timespec

A = TypeVar("A")  # a kind of checks: attempts.pyi has what it must have

cdef enum:
    STALE_ENTRIES_MAX = 64  # of the heap, beyond one for each check: then it is rebuilt
cdef int64_t DURATION_US_MAX = (1 << 32) - 1  # of a record: longer ones are shown as 71 minutes


cdef class Attempts:
    """The checks under way, of one kind; their number is the user's care.

    A kind has `begin`, `ended`, `expired` and `abandon` (attempts.pyi). Deadlines are in a heap, by
    descriptor; entries of checks that have ended or have another deadline are skipped when they
    come up.
    """

    @classmethod
    def __class_getitem__(cls, kind):
        """The same for a kind of checks: type checkers tell them apart."""
        return cls

    def __init__(self):
        self._epoll = select.epoll()
        self._checks = {}

    def __dealloc__(self):
        heap_free(&self.deadlines)

    def __len__(self) -> int:
        """Checks under way."""
        return len(self._checks)

    def fileno(self) -> int:
        """Readable when `ended` has something to do."""
        return self._epoll.fileno()

    def next_deadline_ms(self):
        """When the first check under way runs out of time; None when there is none."""
        return None if self.first() is None else self.deadlines.entries[0].at_ms

    def close(self) -> None:
        """Give up everything under way."""
        for check in list(self._checks.values()):
            self.abandon(check)
        self._epoll.close()

    cpdef int _limit(self, check, int64_t deadline_ms) except -1:
        """Let the check end at the deadline."""
        check.deadline_ms = deadline_ms
        heap_push(&self.deadlines, deadline_ms, check.descriptor)
        if self.deadlines.count > 2 * len(self._checks) + STALE_ENTRIES_MAX:
            self.rebuild()
        return 0

    def rebuild(self) -> None:
        """Drop the entries that are to be skipped."""
        cdef Entry *entries = self.deadlines.entries
        cdef Py_ssize_t place, count = 0
        for place in range(self.deadlines.count):
            if self.meant(place) is not None:
                entries[count] = entries[place]
                count += 1
        self.deadlines.count = count
        heap_order(&self.deadlines)

    cdef object meant(self, int place):
        """The check whose deadline an entry of the heap is; None for one that holds no longer."""
        cdef Entry *entry = &self.deadlines.entries[place]
        check = self._checks.get(entry.number)
        return check if check is not None and check.deadline_ms == entry.at_ms else None

    cdef object first(self):
        """Skip entries that hold no longer; the check of the first that is left, or None."""
        while self.deadlines.count > 0:
            check = self.meant(0)
            if check is not None:
                return check
            heap_pop(&self.deadlines)
        return None

    cpdef object _take_expired(self, int64_t now_ms):
        """Forget the deadline of, and return, the next check whose time was up at `now_ms`."""
        check = self.first()
        if check is None or self.deadlines.entries[0].at_ms > now_ms:
            return None
        heap_pop(&self.deadlines)
        return check


cdef int64_t monotonic_ns() noexcept nogil:
    """CLOCK_MONOTONIC."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


cpdef Outcome outcome_of(object result, int64_t began_ns):
    """The outcome of a check that ends now."""
    return new_outcome(result, min((monotonic_ns() - began_ns) // 1_000, DURATION_US_MAX))
