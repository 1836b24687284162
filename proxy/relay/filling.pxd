# What the engine needs of filling.pyx: a worker's memory, made from the settings and given back.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.log.compile cimport AccessLogs
from proxy.relay.rules.compile cimport Rulesets
from proxy.relay.state.types cimport Backend, Engine
from shm.segment cimport Segment

cdef int engine_fill(
    Engine *engine, Segment segment, object runtime, object capacity, AccessLogs access_logs,
    Rulesets rulesets, uint32_t worker) except -1
cdef bint built_aside(const Backend *backend, object proxy, object servers) except -1
cdef uint64_t configured_weight(object servers) except? 0
cdef void engine_free(Engine *engine) noexcept
