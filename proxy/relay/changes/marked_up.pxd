# `on-marked-up shutdown-backup-sessions`: when the sessions of the backups have to end, and which.
#
# State, not events: a server has come up when it is up and was not at the last look, in each worker
# for itself. One that comes and goes between two looks has not come.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.server_types cimport SIGHTED_AWAY, SIGHTED_UP
from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.types cimport Engine
from shm.eligibility cimport ServerView
from shm.records cimport SERVER_RUNNING, STATIC_SHUTDOWN_BACKUPS


cdef inline bint came_up(Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """Whether an active server came up since the last look, and its line says what follows."""
    cdef const ServerView *server
    cdef bint was_away
    if not engine.view.statics[slot].flags & STATIC_SHUTDOWN_BACKUPS:
        return False
    server = server_cached(engine, slot, generation)
    was_away = engine.servers[slot].sighted == SIGHTED_AWAY
    engine.servers[slot].sighted = SIGHTED_AWAY
    if server.maint or server.operational != SERVER_RUNNING:
        return False
    engine.servers[slot].sighted = SIGHTED_UP
    return was_away and server.eligible and not server.backup
