# `on-marked-down shutdown-sessions`: whether the sessions of a server have to end with it.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.types cimport Engine
from shm.eligibility cimport ServerView
from shm.records cimport SERVER_STOPPED, STATIC_SHUTDOWN_DOWN


cdef inline bint marked_down(Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """The server is down or in maintenance, and its line says what follows."""
    cdef const ServerView *server
    if not engine.view.statics[slot].flags & STATIC_SHUTDOWN_DOWN:
        return False
    server = server_cached(engine, slot, generation)
    return server.maint or server.operational == SERVER_STOPPED
