# Which server gets a new session: round robin, least connections, source hash.
#
# Knows slots, weights and tickets; neither sessions nor sockets. The server's records are looked
# at through a cache: `generation` is the table's generation, loaded once for the pick, and a view
# decoded at that generation is good. A schedule that is older than the slots only costs skipped
# turns, because every pick is checked against the view. Small backends get a new schedule here, at
# the first pick after a change; for large ones the main thread builds it (see engine.pyx).

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.relay.schedule cimport schedule_build, schedule_free
from proxy.relay.types cimport (
    BALANCE_LEASTCONN, BALANCE_SOURCE, NO_SLOT, Backend, Engine, Schedule, ServerCache)
from shm.atomics cimport (
    count, exchange_pointer, fetch_add, load_acquire, load_pointer, load_relaxed)
from shm.eligibility cimport ServerView, server_view

cdef enum:
    SCHEDULE_INLINE_SLOTS = 64  # building for so many takes less than 0.1 ms
    SKIPS_MAX = 128  # turns skipped before the backend's slots are scanned instead


cdef inline const ServerView *server_cached(
        Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """The view of a slot, as new as `generation`; the former one if it does not hold still."""
    cdef ServerCache *cache = &engine.servers[slot]
    cdef ServerView fresh
    if cache.generation == generation + 1:
        return &cache.view
    if server_view(&engine.view, slot, &fresh):
        cache.view = fresh
        cache.generation = generation + 1
        count(&engine.counters.slot_refreshes, 1)
    return &cache.view


cdef inline void schedule_take(Engine *engine, Backend *backend) noexcept nogil:
    """Look for a newer schedule: delivered by the main thread, or built here when that is cheap."""
    cdef Schedule *found = NULL
    cdef uint64_t generation
    if load_pointer(&backend.delivered) != NULL:
        found = <Schedule *>exchange_pointer(&backend.delivered, NULL)
    if found != NULL:
        if backend.schedule == NULL or found.generation >= backend.schedule.generation:
            schedule_free(backend.schedule)
            backend.schedule = found
        else:
            schedule_free(found)
    generation = load_acquire(&backend.shared.generation)
    if backend.schedule != NULL and (
            backend.schedule.generation == generation or backend.slots > SCHEDULE_INLINE_SLOTS):
        return
    found = schedule_build(&engine.view, backend.index, backend.allbackups)
    if found == NULL:
        return
    count(&engine.counters.schedule_builds, 1)
    schedule_free(backend.schedule)
    backend.schedule = found


cdef inline uint32_t pick_any(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation) noexcept nogil:
    """The first eligible server in the order of the file, backups after the others."""
    cdef uint32_t backup = NO_SLOT
    cdef uint32_t slot
    cdef const ServerView *server
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        server = server_cached(engine, slot, generation)
        if not server.eligible or slot == avoid:
            continue
        if not server.backup:
            return slot
        if backup == NO_SLOT:
            backup = slot
    if backup == NO_SLOT and avoid != NO_SLOT and (
            server_cached(engine, avoid, generation).eligible):
        return avoid
    return backup


cdef inline uint32_t pick_turn(
        Engine *engine, Backend *backend, uint64_t turn, uint32_t avoid,
        uint64_t generation) noexcept nogil:
    """The server of a turn, or of the next turn that has an eligible one."""
    cdef Schedule *schedule = backend.schedule
    cdef uint32_t position, slot, skipped
    if schedule == NULL or schedule.entries == 0:
        return pick_any(engine, backend, avoid, generation)
    position = <uint32_t>(turn % schedule.entries)
    for skipped in range(min(schedule.entries, <uint32_t>SKIPS_MAX)):
        slot = schedule.slots[position]
        if slot != avoid and server_cached(engine, slot, generation).eligible:
            return slot
        position += 1
        if position == schedule.entries:
            position = 0
    return pick_any(engine, backend, avoid, generation)


cdef inline uint32_t pick_least(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation) noexcept nogil:
    """The server with the fewest sessions for its weight; the search starts elsewhere each time."""
    cdef Schedule *schedule = backend.schedule
    cdef uint64_t ticket = fetch_add(&backend.shared.tickets, 1)
    cdef uint64_t best_load = 0
    cdef uint64_t best_weight = 1
    cdef uint32_t best = NO_SLOT
    cdef uint32_t member, index, slot
    cdef int64_t sessions
    cdef uint64_t load, weight
    if schedule == NULL or schedule.members == 0:
        return pick_any(engine, backend, avoid, generation)
    index = <uint32_t>(ticket % schedule.members)
    for member in range(schedule.members):
        slot = schedule.member_slots[index]
        weight = schedule.member_weights[index]
        index += 1
        if index == schedule.members:
            index = 0
        sessions = <int64_t>load_relaxed(<uint64_t *>&engine.view.hints[slot])
        load = 1 if sessions < 0 else <uint64_t>sessions + 1
        if best != NO_SLOT and load * best_weight >= best_load * weight:
            continue
        if slot == avoid or not server_cached(engine, slot, generation).eligible:
            continue
        best = slot
        best_load = load
        best_weight = weight
        if load == 1 and weight == schedule.weight_max:
            break
    if best == NO_SLOT:
        return pick_any(engine, backend, avoid, generation)
    return best


cdef inline uint32_t pick_server(
        Engine *engine, Backend *backend, uint32_t source_hash, uint32_t avoid) noexcept nogil:
    """The slot for a new session; NO_SLOT when no server is eligible.

    `avoid` is the server that a redispatched session has failed to reach: it is taken only when
    there is no other.
    """
    cdef uint64_t generation = load_acquire(&engine.view.header.table_generation)
    if backend.generation_seen != generation or load_pointer(&backend.delivered) != NULL:
        backend.generation_seen = generation
        schedule_take(engine, backend)
    if backend.balance == BALANCE_SOURCE:
        return pick_turn(engine, backend, source_hash, avoid, generation)
    if backend.balance == BALANCE_LEASTCONN:
        return pick_least(engine, backend, avoid, generation)
    return pick_turn(
        engine, backend, fetch_add(&backend.shared.tickets, 1), avoid, generation)
