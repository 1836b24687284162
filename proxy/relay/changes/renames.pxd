# What engine.pyx needs of renames.pyx.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.log_types cimport LogName
from proxy.relay.state.types cimport Engine
from proxy.rules.types cimport NameFacts


cdef class Renames:
    cdef Engine *engine
    cdef dict given  # by slot, the address of the last name that it was given

    cdef int give(
        self, uint32_t slot, bytes name, uint64_t stuck, LogName *logged,
        NameFacts *ruled) except -1
    cdef void give_back(self) noexcept
