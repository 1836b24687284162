# `on-marked-down shutdown-sessions`: the sessions of a server that went down are ended.
#
# State, not events: at a change of the table, each backend that has such servers and has changed
# itself is looked at, and a server that is down or in maintenance while it has sessions here loses
# them. Only then are the sessions walked, all of them, once. No session and no connection costs
# anything for it before that.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.balance cimport server_cached
from proxy.relay.pool cimport SLAB_OBJECTS_MAX, Slab, slab_objects
from proxy.relay.session cimport session_break
from proxy.relay.types cimport (
    ASSIGNED, CONNECTED, STATE_ENDED, TERMINATION_DOWN_CONNECT, TERMINATION_DOWN_DATA, Backend,
    Engine, Session)
from shm.atomics cimport load_acquire, load_relaxed
from shm.eligibility cimport ServerView
from shm.layout cimport SERVER_STOPPED, STATIC_SHUTDOWN_DOWN
from shm.segment cimport server_counters


cdef inline bint ends_sessions(
        Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """Whether the sessions of this server have to end."""
    cdef const ServerView *server
    if not engine.view.statics[slot].flags & STATIC_SHUTDOWN_DOWN:
        return False
    server = server_cached(engine, slot, generation)
    return server.maint or server.operational == SERVER_STOPPED


cdef inline bint backend_ends(
        Engine *engine, const Backend *backend, uint64_t generation) noexcept nogil:
    """Whether any server of the backend has sessions here that have to end."""
    cdef uint32_t slot
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if load_relaxed(&server_counters(&engine.view, engine.worker, slot).sessions) == 0:
            continue
        if ends_sessions(engine, slot, generation):
            return True
    return False


cdef inline void sessions_end(Engine *engine, uint64_t generation) noexcept nogil:
    """Walk all sessions and end those of servers that are down."""
    cdef void *objects[SLAB_OBJECTS_MAX]
    cdef Slab *slab = engine.sessions.mapped
    cdef Session *session
    cdef uint32_t index
    while slab != NULL:
        for index in range(slab_objects(&engine.sessions, slab, objects)):
            session = <Session *>objects[index]
            if session.state == STATE_ENDED or not session.flags & ASSIGNED:
                continue
            if ends_sessions(engine, session.slot, generation):
                session_break(
                    engine, session,
                    TERMINATION_DOWN_DATA if session.flags & CONNECTED
                    else TERMINATION_DOWN_CONNECT, -1)
        slab = slab.next_mapped


cdef inline void marked_down_end(Engine *engine, uint64_t generation) noexcept nogil:
    """The table has changed: end the sessions of servers that went down, if they ask for it."""
    cdef Backend *backend
    cdef uint32_t index
    cdef uint64_t changed
    cdef bint found = False
    for index in range(engine.backend_count):
        backend = &engine.backends[index]
        if not backend.ends_sessions:
            continue
        changed = load_acquire(&backend.shared.generation)
        if changed != backend.generation_ended:
            backend.generation_ended = changed
            found = found or backend_ends(engine, backend, generation)
    if found:
        sessions_end(engine, generation)
