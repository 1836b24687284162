# The jitter of runs, for compiled callers; jitter.pyx has its rule.

from libc.stdint cimport int64_t, uint64_t


cdef class Jitter:
    cdef int64_t part
    cdef int64_t turn_ms
    cdef uint64_t state

    cpdef int64_t early_ms(self, int64_t period_ms) except -1


cdef int64_t monotonic_ms() except -1
