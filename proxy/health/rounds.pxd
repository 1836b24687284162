# The rounds of one process's checks in compiled code.

from libc.stdint cimport int64_t, uint32_t

from proxy.health.judgement cimport Outcome
from proxy.health.timetable cimport Timetable
from proxy.health.watched cimport Watched
from shm.segment cimport Segment
from shm.slots cimport HealthTableWriter


cdef class Rounds:
    cdef Segment segment
    cdef readonly object _attempts
    cdef readonly Timetable _timetable
    cdef readonly HealthTableWriter _writer
    cdef readonly dict _watched  # by slot
    cdef readonly Py_ssize_t _in_flight_max
    cdef Py_ssize_t slow_max
    cdef Py_ssize_t slow_in_flight
    cdef object waiting_slow  # due; begun when another slow server's ends
    cdef int64_t full_ms  # when there was no place for a check the last time
    cdef int64_t spread_percent
    cdef object random
    cdef readonly Py_ssize_t late

    cdef int end(self, list ended) except -1
    cdef bint is_stale(self, Watched watched) noexcept
    cdef int begin(self, Watched watched) except -1
    cdef int release(self, Watched watched) except -1
    cdef int judge(self, Watched watched, Outcome outcome, began_ms) except -1
