# One server of a checker's share in compiled code.

from libc.stdint cimport int64_t, uint64_t

from proxy.health.judgement cimport Intervals, Steps
from shm.records cimport HealthRecord


cdef class Watched:
    cdef readonly object server
    cdef readonly object dialect  # makes that of each check
    cdef public object target  # None: nowhere to connect to
    cdef public object attempt
    cdef object plan  # for its present target
    cdef HealthRecord record
    cdef Steps steps
    cdef Intervals intervals
    cdef public uint64_t revision  # of the slot's records at the last look
    cdef readonly Py_ssize_t slot
    cdef public bint has_check  # and no order suspends it
    cdef bint held_as_slow  # the attempt counts among those of slow servers
    cdef bint logs, resolved, has_agent  # of its settings

    cdef bint is_slow(self) noexcept
