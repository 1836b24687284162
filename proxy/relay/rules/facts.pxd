# What compile.pyx needs of the facts that facts.pyx makes.

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from proxy.rules.types cimport Facts, NameFacts, SectionFacts


cdef class ConfigurationFacts:
    cdef Facts facts
    cdef readonly uint8_t asks  # Asked, of rule_types.pxd
    cdef list kept  # the names that the arrays point to
    cdef dict kept_servers  # by slot, those of servers
    cdef SectionFacts *frontends
    cdef NameFacts *binds
    cdef NameFacts *servers
    cdef uint32_t *maxqueues
    cdef uint32_t *minconns
    cdef uint64_t *fullconns

    cdef const char *keep(self, str text) except NULL
    cdef int set_name(self, NameFacts *target, int number, object name) except -1
    cdef int set_servers(self, object servers, bint named) except -1
    cdef int set_server(self, object server) except -1
    cdef NameFacts *server(self, size_t slot) noexcept
