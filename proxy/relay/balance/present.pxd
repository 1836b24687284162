# Which of a server's sessions lead to the address that it has now: only they count for its limit,
# and in the hints by which the least loaded server is found.
#
# Each session knows the tag of the address that its place is for. This worker's cell in the gauges
# speaks of one tag: the sessions of that tag are the ones that lead there, all others elsewhere.
# Where a server with sessions here gets another address, they are counted by a walk over all
# sessions (changes/changes.pxd), in slices; then the cell speaks of that tag. Until then sessions
# to the new address are among those elsewhere, which all count for it. A count has a number, by
# which a session knows that it is in it; it is good only if this worker had its cell from its
# beginning.
#
# Before each attempt a session whose place is for another address seeks one anew
# (session/attempt.pxd). An address that comes back finds its sessions: they are counted again.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.server_places cimport gauge_begin
from proxy.relay.state.server_types cimport Presence, ServerCache
from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.types cimport (
    AWAY, BALANCE_LEASTCONN, BALANCE_RANDOM, NO_SLOT, Backend, Engine, Session)
from shm.atomics cimport load_relaxed, store_relaxed
from shm.gauges cimport cell_tag, cell_word
from shm.rows cimport ServerCounters
from shm.segment cimport gauges_own_cell, hint_step, place_freed, server_counters


cdef inline uint32_t number_count(Engine *engine) noexcept nogil:
    """A number for another count; not 0."""
    engine.counts += 1
    if engine.counts == 0:
        engine.counts = 1
    return engine.counts


cdef inline void count_ask(Engine *engine, uint32_t slot) noexcept nogil:
    """The server's sessions are to be counted by a walk."""
    cdef Presence *presence = &engine.servers[slot].presence
    if presence.asked or presence.counting != 0:  # at its end a count looks at the address itself
        return
    presence.asked = True
    presence.next = engine.asked_first
    engine.asked_first = slot
    engine.walk_again = True


cdef inline void present_begin(Engine *engine, uint32_t slot) noexcept nogil:
    """The server has a limit: this worker's sessions there are in the gauges from now on."""
    engine.servers[slot].presence.gauged = True
    gauge_begin(&engine.view, engine.worker, slot)


cdef inline void present_prepare(Engine *engine, uint32_t slot) noexcept nogil:
    """A place at a server with a limit is sought: let the cell speak of its address."""
    cdef Presence *presence = &engine.servers[slot].presence
    cdef uint32_t tag = engine.servers[slot].tag
    cdef uint64_t *cell
    if not presence.gauged:
        present_begin(engine, slot)
    cell = gauges_own_cell(&engine.view, engine.worker, slot)
    if cell_tag(load_relaxed(cell)) == tag:
        return
    if load_relaxed(&server_counters(&engine.view, engine.worker, slot).sessions) != 0:
        count_ask(engine, slot)
        return
    presence.tag = tag
    store_relaxed(cell, cell_word(tag, 0, 0))


cdef inline void present_pass(Engine *engine, uint32_t slot) noexcept nogil:
    """A session goes to a server that never had a limit."""
    cdef ServerCache *server = &engine.servers[slot]
    if load_relaxed(&server_counters(&engine.view, engine.worker, slot).sessions) == 0:
        server.presence.tag = server.tag
    engine.count_of_place = 0
    engine.tag_of_place = server.tag


cdef inline void present_enter(Engine *engine, uint32_t slot) noexcept nogil:
    """A place was taken: note what it is for, and which count it is in."""
    cdef Presence *presence = &engine.servers[slot].presence
    engine.tag_of_place = engine.servers[slot].tag
    engine.count_of_place = 0
    if presence.counting != 0 and presence.counting_tag == engine.tag_of_place:
        engine.count_of_place = presence.counting
        presence.sessions += 1


cdef inline void present_leave(Engine *engine, Session *session) noexcept nogil:
    """The session leaves its server."""
    cdef Presence *presence = &engine.servers[session.slot].presence
    if session.counted != 0 and session.counted == presence.counting:
        presence.sessions -= 1
    session.counted = 0


cdef inline void away_set(Engine *engine, Session *session, bint away) noexcept nogil:
    """Its connection leads to a former address, or to the present one again."""
    if away and not session.flags & AWAY:
        session.flags |= AWAY
        hint_step(&engine.view, engine.worker, session.slot, -1)
    elif session.flags & AWAY and not away:
        session.flags &= ~AWAY
        hint_step(&engine.view, engine.worker, session.slot, 1)


cdef inline bint looks_at_hints(const Backend *backend) noexcept nogil:
    """Whether it matters to the balance how many sessions a server has."""
    return backend.balance in (BALANCE_LEASTCONN, BALANCE_RANDOM) or backend.balance_factor != 0


cdef inline bint present_stale(
        Engine *engine, Backend *backend, uint32_t slot, uint64_t generation) noexcept nogil:
    """Whether the sessions of a server that has some are to be counted."""
    cdef uint32_t limit = server_cached(engine, slot, generation).maxconn
    if limit != 0 and not engine.servers[slot].presence.gauged:
        present_begin(engine, slot)
        return True
    if engine.servers[slot].presence.tag == engine.servers[slot].tag:
        return False
    return limit != 0 or looks_at_hints(backend)


cdef inline void counts_begin(Engine *engine) noexcept nogil:
    """A walk begins: the servers that were asked for are counted by it."""
    cdef Presence *presence
    cdef uint32_t slot = engine.asked_first
    engine.asked_first = NO_SLOT
    engine.counting_first = slot
    while slot != NO_SLOT:
        presence = &engine.servers[slot].presence
        server_cached(engine, slot, engine.generation_seen)
        presence.asked = False
        presence.counting = number_count(engine)
        presence.whole = presence.gauged
        presence.counting_tag = engine.servers[slot].tag
        presence.sessions = 0
        slot = presence.next


cdef inline void present_look(Engine *engine, Session *session) noexcept nogil:
    """One session of the walk."""
    cdef Presence *presence = &engine.servers[session.slot].presence
    if presence.counting == 0:
        return
    if session.tag != presence.counting_tag:
        away_set(engine, session, True)
        return
    away_set(engine, session, False)
    if session.counted != presence.counting:
        session.counted = presence.counting
        presence.sessions += 1


cdef inline uint32_t count_conclude(Engine *engine) noexcept nogil:
    """A walk is over: publish the count of one of its servers; its slot, NO_SLOT after the last.

    It is true of the address that it was made for, be it the present one or not.
    """
    cdef uint32_t slot = engine.counting_first
    cdef ServerCounters *own
    cdef Presence *presence
    if slot == NO_SLOT:
        return NO_SLOT
    presence = &engine.servers[slot].presence
    engine.counting_first = presence.next
    presence.counting = 0
    presence.tag = presence.counting_tag
    if presence.whole:
        own = server_counters(&engine.view, engine.worker, slot)
        store_relaxed(gauges_own_cell(&engine.view, engine.worker, slot), cell_word(
            presence.tag, presence.sessions, load_relaxed(&own.sessions) - presence.sessions))
        place_freed(&engine.view, slot)
    server_cached(engine, slot, engine.generation_seen)
    if engine.servers[slot].tag != presence.tag or presence.gauged != presence.whole:
        count_ask(engine, slot)
    return slot
