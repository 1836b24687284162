# What filling.pyx needs of the rules that compile.pyx makes.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.rules.facts cimport ConfigurationFacts
from proxy.relay.state.rule_types cimport BackendRules, FrontendRules, Judge, Rule, Ruleset
from proxy.rules.program cimport Conditions, Phrases
from proxy.rules.types cimport VariableRoom
from shm.segment cimport Segment


cdef class Rulesets:
    cdef Conditions conditions
    cdef Judge judge
    cdef Rule *rules
    cdef FrontendRules *frontends  # by index
    cdef BackendRules *backends
    cdef uint32_t taken  # of `rules`
    cdef ConfigurationFacts facts  # None without rules
    cdef Segment segment
    cdef uint32_t worker
    cdef Phrases phrases
    cdef VariableRoom room

    cdef uint64_t *hits_of(self, object rule) except NULL
    cdef const FrontendRules *of_frontend(self, object proxy) except? NULL
    cdef const BackendRules *of_backend(self, object proxy) except? NULL
    cdef int set_rules(self, Ruleset *target, object rules, dict numbers) except -1
    cdef int set_room(self, object levels, object limits) except -1
    cdef int set_names(self, object proxies) except -1
