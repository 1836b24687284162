# Counters less what was cleared of them, for the compiled modules of control.

from libc.stdint cimport uint32_t, uint64_t

from shm.segment cimport Segment

cdef enum:  # kinds of things that are counted
    KIND_FRONTEND = 0
    KIND_BACKEND = 1
    KIND_SERVER = 2
    KINDS = 3
    ROW_WORDS_MAX = 40  # of a frontend's, backend's or server's part of a row

cdef struct ClearedChecks:
    uint32_t failures
    uint32_t downs

cdef class Cleared:
    cdef Segment segment
    cdef uint64_t *kept[KINDS]  # by index of that kind
    cdef ClearedChecks *checks  # by slot
    cdef readonly bint used  # something was cleared

    cdef void sums(self, int kind, uint32_t index, uint64_t *total) noexcept nogil
    cdef void see(self, int kind, uint32_t index) noexcept nogil
    cdef void note(self, int kind, uint32_t index, const uint64_t *total) noexcept nogil
    cdef uint32_t count(self, int kind)
    cdef int check(self, int kind, uint32_t index) except -1
    cdef int clear_checks(self, uint32_t slot) except -1
    cdef dict shown(self, int kind, uint32_t index)
