# What the engine needs of the access log that compile.pyx makes.

from libc.stdint cimport uint32_t

from proxy.relay.state.log_types cimport AccessLog, Log, LogForm, LogName
from proxy.rules.program cimport Phrases


cdef class AccessLogs:
    cdef Log log
    cdef AccessLog *accesses  # by frontend
    cdef size_t count
    cdef Phrases phrases  # expressions of formats
    cdef list kept  # the bytes that the C structs point to
    cdef dict servers  # by slot: their names
    cdef dict backends  # by index: likewise
    cdef list order  # where the sinks lead

    cdef AccessLog *of(self, size_t frontend)
    cdef LogName name(self, bytes text, uint32_t number)
    cdef int set_server(self, object server) except -1
    cdef int set_backend(self, object proxy) except -1
    cdef int set_names(self, object settings, object listeners) except -1
    cdef int set_sinks(self, object settings, object sockets) except -1
    cdef int set_access(self, AccessLog *access, object proxy) except -1
    cdef int set_form(
        self, AccessLog *access, LogForm *target, object items, object proxy) except -1
    cdef int set_targets(self, AccessLog *access, object wanted, object host) except -1
