# What a change of the table means to sessions: those of servers that went down, or have another
# address, may have to end (`on-marked-down`, `on-removed`), and those of backups where an active
# server comes up (`on-marked-up`).
#
# At a change of the table, each server that has changed, by the journal, is looked at in a backend
# with such words; all of them at first, and when the journal does not tell. Where one with sessions
# here calls for it, the server is marked with the time, and all sessions are
# walked, a slice in each turn, so that others are served meanwhile. A mark concerns the sessions
# that were at the server by its time: it holds though the server is back before the walk has come
# to them, and needs no end. What calls for a walk while one is under way has another after it. No
# session and no connection costs anything for it before that.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.balance.present cimport (
    count_ask, count_conclude, counts_begin, looks_at_hints, present_look, present_stale)
from proxy.relay.balance.queue cimport tell_next
from proxy.relay.changes.marked_down cimport marked_down
from proxy.relay.changes.marked_up cimport came_up, is_up
from proxy.relay.changes.removed cimport moved_since, removed_look
from proxy.relay.session.session cimport session_end_down, session_end_up
from proxy.relay.state.pool cimport SLAB_OBJECTS_MAX, WALK_CHANGES, Slab, slab_objects
from proxy.relay.state.server_types cimport SIGHTED_AWAY, SIGHTED_UP, ServerCache
from proxy.relay.state.server_view cimport server_cached, server_decode
from proxy.relay.state.types cimport ASSIGNED, NO_SLOT, STATE_ENDED, Backend, Engine, Session
from shm.atomics cimport load_relaxed
from shm.eligibility cimport ServerView
from shm.journal cimport JOURNAL_EVERYTHING, journal_read
from shm.segment cimport server_counters

cdef enum:
    SLICE_SLABS = 16  # of sessions that are looked at in a turn: some 3,000,
    SLOTS_AT_ONCE = 64  # read from the journal; on the stack
    SLICE_ENDS = 64  # or until so many have ended, which costs some ten system calls each


cdef inline void backups_mark(
        Engine *engine, Backend *backend, uint64_t generation) noexcept nogil:
    """An active server came up that ends the sessions of the backups."""
    cdef uint32_t slot
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if server_cached(engine, slot, generation).backup:
            engine.servers[slot].end_up_ms = engine.now_ms


cdef inline bint sessions_called(
        Engine *engine, Backend *backend, uint32_t slot, uint64_t generation) noexcept nogil:
    """Whether sessions of a server may have to end; marks it if they do with the server."""
    cdef bint found = moved_since(engine, slot, generation)
    if present_stale(engine, backend, slot, generation):
        count_ask(engine, slot)
    if marked_down(engine, slot, generation):
        engine.servers[slot].end_down_ms = engine.now_ms
        found = True
    return found


cdef inline void crossings_seen(
        Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """Remember what the server is, and how often it has gone and come by this look."""
    cdef const ServerView *server = server_cached(engine, slot, generation)
    cdef ServerCache *cache = &engine.servers[slot]
    cache.sighted = SIGHTED_UP if is_up(server) else SIGHTED_AWAY
    cache.comings = server.comings
    cache.goings = server.goings
    cache.downs = server.downs


cdef inline void server_look(
        Engine *engine, Backend *backend, uint32_t slot, uint64_t generation) noexcept nogil:
    """Mark what a change of the server means to sessions; a walk follows where it does.

    Its records are read again whatever is known of this generation: a change is in the journal
    before the generation of the table grows.
    """
    if not server_decode(engine, slot, generation):
        backend.looked_at = False
        return
    if came_up(engine, slot, generation):
        backups_mark(engine, backend, generation)
        engine.walk_again = True
    if load_relaxed(&server_counters(&engine.view, engine.worker, slot).sessions) != 0:
        if sessions_called(engine, backend, slot, generation):
            engine.walk_again = True
    crossings_seen(engine, slot, generation)


cdef inline bint looks_at_changes(const Backend *backend) noexcept nogil:
    """Whether it matters to sessions of the backend what becomes of a server."""
    return backend.ends_sessions or looks_at_hints(backend) or (
        load_relaxed(&backend.shared.limited) != 0)


cdef inline bint session_look(
        Engine *engine, Session *session, uint64_t generation) noexcept nogil:
    """One session of the walk; whether it ended now."""
    cdef const ServerCache *server
    if session.state == STATE_ENDED or not session.flags & ASSIGNED:
        return False
    server = &engine.servers[session.slot]
    if session.attempt_ms <= server.end_down_ms:
        session_end_down(engine, session)
    elif session.attempt_ms <= server.end_up_ms:
        session_end_up(engine, session)
    else:
        removed_look(engine, session, generation)
    if session.state == STATE_ENDED:
        return True
    present_look(engine, session)
    return False


cdef inline void counts_conclude(Engine *engine) noexcept nogil:
    """The walk is over: places at servers that it counted may be free."""
    cdef uint32_t slot = count_conclude(engine)
    while slot != NO_SLOT:
        tell_next(engine, slot)
        slot = count_conclude(engine)


cdef inline void changes_walk(Engine *engine) noexcept nogil:
    """A slice of the walk over all sessions; does nothing when none is under way."""
    cdef void *objects[SLAB_OBJECTS_MAX]
    cdef Slab **walks = engine.sessions.walks
    cdef Slab *slab
    cdef uint32_t index
    cdef uint32_t slabs = 0
    cdef uint32_t ends = 0
    if walks[WALK_CHANGES] == NULL:
        if not engine.walk_again:
            return
        engine.walk_again = False
        walks[WALK_CHANGES] = engine.sessions.mapped
        counts_begin(engine)
    while walks[WALK_CHANGES] != NULL and slabs < SLICE_SLABS and ends < SLICE_ENDS:
        slab = walks[WALK_CHANGES]
        slabs += 1
        for index in range(slab_objects(&engine.sessions, slab, objects)):
            ends += session_look(engine, <Session *>objects[index], engine.generation_seen)
        walks[WALK_CHANGES] = slab.next_mapped
    if walks[WALK_CHANGES] == NULL:
        counts_conclude(engine)


cdef inline void changes_end(Engine *engine, uint64_t generation) noexcept nogil:
    """The table has changed: sessions are to end with what they stood on."""
    cdef uint32_t slots[SLOTS_AT_ONCE]
    cdef Backend *backend
    cdef uint32_t index, slot
    cdef int number
    cdef int found = 1
    cdef bint everything = False
    while found != 0:
        found = journal_read(&engine.view, &engine.journal_ended, slots, SLOTS_AT_ONCE)
        everything = everything or found == JOURNAL_EVERYTHING
        for number in range(found):
            slot = slots[number]
            backend = &engine.backends[engine.view.statics[slot].backend]
            if backend.looked_at and looks_at_changes(backend):
                server_look(engine, backend, slot, generation)
    for index in range(engine.backend_count):
        backend = &engine.backends[index]
        if not looks_at_changes(backend):
            backend.looked_at = False
        elif everything or not backend.looked_at:
            backend.looked_at = True
            for slot in range(backend.first_slot, backend.first_slot + backend.slots):
                server_look(engine, backend, slot, generation)
