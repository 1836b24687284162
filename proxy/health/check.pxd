# Checks that connect, in compiled code.

from libc.stdint cimport int64_t

from proxy.health.attempts cimport Attempts
from proxy.health.connection cimport Connection
from proxy.health.exchange cimport Exchange
from proxy.relay.state.syscalls cimport epoll_event

cdef enum:
    EVENTS_MAX = 100  # taken at once


cdef class Plan:
    cdef readonly object target
    cdef readonly object limits
    cdef readonly object source
    cdef readonly object header
    cdef readonly object tls
    cdef bytes address  # of the target, as connect(2) takes it

    cdef bytes packed(self)


cdef class RunningCheck:
    cdef readonly Py_ssize_t slot
    cdef readonly Plan plan
    cdef readonly object dialect
    cdef readonly object wanted  # of the present connection
    cdef readonly int64_t began_ns
    cdef public int64_t deadline_ms
    cdef readonly Connection socket
    cdef Exchange exchange  # None: its connect or handshake is under way
    cdef object tls  # None: there is no handshake, or not yet

    cdef bytes address(self)
    cdef unsigned int awaited(self)


cdef class Connects(Attempts):
    cdef bint never_local
    cdef int set
    cdef epoll_event[EVENTS_MAX] found

    cdef object connect(self, RunningCheck check)
    cdef int open(self, RunningCheck check) except -1
    cdef object advance(self, RunningCheck check, unsigned int happened)
    cdef object connected(self, RunningCheck check)
    cdef object shake(self, RunningCheck check)
    cdef object begin_exchange(self, RunningCheck check, moment)
    cdef object connect_again(self, RunningCheck check, wanted)
    cdef int give_up(self, RunningCheck check) except -1
