# What a change of the table means to sessions: those of servers that went down, or have another
# address, may have to end (`on-marked-down`, `on-removed`), and those of backups where an active
# server comes up (`on-marked-up`).
#
# State, not events: at a change of the table, each backend with such words that has changed itself
# is looked at. Where a server with sessions here calls for it, all sessions are walked, once. No
# session and no connection costs anything for it before that.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.marked_down cimport marked_down
from proxy.relay.marked_up cimport at_backup, came_up
from proxy.relay.pool cimport SLAB_OBJECTS_MAX, Slab, slab_objects
from proxy.relay.removed cimport moved_since, removed_look
from proxy.relay.session cimport session_end_down, session_end_up
from proxy.relay.types cimport ASSIGNED, STATE_ENDED, Backend, Engine, Session
from shm.atomics cimport load_acquire, load_relaxed
from shm.segment cimport server_counters


cdef inline bint backend_calls(
        Engine *engine, Backend *backend, uint64_t generation) noexcept nogil:
    """Whether sessions of the backend may have to end."""
    cdef uint32_t slot
    cdef bint found = False
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if came_up(engine, slot, generation):
            backend.ends_backups = True
            found = True
        if load_relaxed(&server_counters(&engine.view, engine.worker, slot).sessions) == 0:
            continue
        if moved_since(engine, slot, generation) or marked_down(engine, slot, generation):
            found = True
    return found


cdef inline void sessions_walk(Engine *engine, uint64_t generation) noexcept nogil:
    """Look at all sessions and end those that have to."""
    cdef void *objects[SLAB_OBJECTS_MAX]
    cdef Slab *slab = engine.sessions.mapped
    cdef Session *session
    cdef uint32_t index
    while slab != NULL:
        for index in range(slab_objects(&engine.sessions, slab, objects)):
            session = <Session *>objects[index]
            if session.state == STATE_ENDED or not session.flags & ASSIGNED:
                continue
            if marked_down(engine, session.slot, generation):
                session_end_down(engine, session)
            elif at_backup(engine, session, generation):
                session_end_up(engine, session)
            else:
                removed_look(engine, session, generation)
        slab = slab.next_mapped


cdef inline void changes_end(Engine *engine, uint64_t generation) noexcept nogil:
    """The table has changed: end the sessions that are to end with what they stood on."""
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
            if backend_calls(engine, backend, generation):
                found = True
    if not found:
        return
    sessions_walk(engine, generation)
    for index in range(engine.backend_count):
        engine.backends[index].ends_backups = False
