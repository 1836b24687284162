# `on-marked-down shutdown-sessions`: whether the sessions of a server have to end with it.
#
# A server that went and came back between two looks has gone: its records count that.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.server_types cimport SIGHTED_NEVER, ServerCache
from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.types cimport Engine
from shm.eligibility cimport ServerView
from shm.records cimport SERVER_STOPPED, STATIC_SHUTDOWN_DOWN


cdef inline bint marked_down(Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """The server is down or in maintenance, or was, and its line says what follows."""
    cdef const ServerView *server
    cdef ServerCache *cache = &engine.servers[slot]
    cdef bint gone
    if not engine.view.statics[slot].flags & STATIC_SHUTDOWN_DOWN:
        return False
    server = server_cached(engine, slot, generation)
    gone = cache.sighted != SIGHTED_NEVER and (
        cache.goings != server.goings or cache.downs != server.downs)
    return gone or server.maint or server.operational == SERVER_STOPPED
