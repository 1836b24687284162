# Checks under way of one process, in compiled code.

from libc.stdint cimport int64_t

from proxy.health.heap cimport Heap
from proxy.health.judgement cimport Outcome


cdef class Attempts:
    cdef readonly object _epoll
    cdef readonly dict _checks  # by descriptor
    cdef Heap deadlines  # of descriptors

    cpdef int _limit(self, check, int64_t deadline_ms) except -1
    cpdef object _take_expired(self, int64_t now_ms)
    cdef object first(self)
    cdef object meant(self, int place)

cdef int64_t monotonic_ns() noexcept nogil
cpdef Outcome outcome_of(object result, int64_t began_ns)
