# `on-marked-up shutdown-backup-sessions`: when the sessions of the backups have to end, and which.
#
# A server has come up when it is up and was not at the last look, in each worker for itself. One
# that came and went between two looks has come, too: its records count that.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.server_types cimport (
    SIGHTED_AWAY, SIGHTED_NEVER, ServerCache)
from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.types cimport Engine
from shm.eligibility cimport ServerView
from shm.records cimport SERVER_RUNNING, STATIC_SHUTDOWN_BACKUPS


cdef inline bint is_up(const ServerView *server) noexcept nogil:
    return not server.maint and server.operational == SERVER_RUNNING


cdef inline bint came_up(Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """Whether an active server came up since the last look, and its line says what follows."""
    cdef const ServerView *server
    cdef ServerCache *cache = &engine.servers[slot]
    cdef bint up, came
    if not engine.view.statics[slot].flags & STATIC_SHUTDOWN_BACKUPS:
        return False
    server = server_cached(engine, slot, generation)
    up = is_up(server)
    if cache.sighted == SIGHTED_NEVER or server.backup or server.drain or server.weight == 0:
        return False
    if cache.sighted == SIGHTED_AWAY:
        came = up or cache.downs != server.downs  # it can only go down where it came up
    else:
        came = up and cache.downs != server.downs
    return came or (cache.comings != server.comings and server.family != 0)
