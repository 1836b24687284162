# Which server gets a new session: by turns, by load, by the client's address, or drawn.
#
# Knows slots, weights and tickets; neither sessions nor sockets. The server's records are looked
# at through a cache: `generation` is the table's generation, loaded once for the pick, and a view
# decoded at that generation is good. A schedule that is older than the slots only costs skipped
# turns, because every pick is checked against the view. A rota follows each change by itself. Small
# backends without one get a new schedule here, at the first pick after a change; for large ones the
# main thread builds it (see engine.pyx).

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from proxy.relay.balance.bit_tree cimport NO_POSITION
from proxy.relay.balance.full cimport (
    block_full, full_block, full_trusted, places_seen, server_full)
from proxy.relay.balance.least cimport least_loaded, load_of
from proxy.relay.balance.queue cimport has_place
from proxy.relay.balance.ring cimport (
    nearer_before, node_after, node_at_or_after, node_before, nth_owner, position_at)
from proxy.relay.balance.rota cimport (
    ring_in_use, rota_entries, rota_members, rota_next, rota_only, rota_turn, rota_weight,
    rota_weight_before, rota_weight_total)
from proxy.relay.balance.rota_news cimport rota_warm_up
from proxy.relay.balance.schedule_news cimport schedule_take
from proxy.relay.balance.source_hash cimport NO_SOURCE
from proxy.relay.state.server_types cimport Ring, Schedule
from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.types cimport (
    BALANCE_FIRST, BALANCE_LEASTCONN, BALANCE_RANDOM, BALANCE_ROUNDROBIN, BALANCE_SOURCE,
    BALANCE_STATIC, NO_SLOT, SCHEDULE_RING, Backend, Engine)
from proxy.rules.coding.hashes cimport avalanche
from shm.atomics cimport (
    count, fetch_add, load_acquire, load_pointer, load_relaxed, store_relaxed)
from shm.eligibility cimport ServerView
from shm.layout cimport PLACE_BLOCK_SLOTS
from shm.sums cimport backend_sessions

cdef enum:
    SKIPS_MAX = 128  # turns skipped before the backend's slots are scanned instead


cdef inline bint keeps_server(const Backend *backend) noexcept nogil:
    """Whether the server follows from the client: a session waits for it, and for no other."""
    return backend.balance == BALANCE_SOURCE


cdef inline bint takes_session(
        Engine *engine, Backend *backend, uint32_t slot, uint64_t generation) noexcept nogil:
    """Whether a server is eligible, and has a place unless the session would wait for it."""
    cdef const ServerView *server = server_cached(engine, slot, generation)
    return server.eligible and (keeps_server(backend) or has_place(engine, slot, server))


cdef inline bint usable(
        Engine *engine, Backend *backend, uint32_t slot, uint32_t avoid,
        uint64_t generation) noexcept nogil:
    count(&engine.counters.pick_looks, 1)
    return slot != avoid and takes_session(engine, backend, slot, generation)


cdef inline uint32_t draw(Engine *engine) noexcept nogil:
    """A random number (xorshift64*, Marsaglia and Vigna)."""
    engine.random ^= engine.random >> 12
    engine.random ^= engine.random << 25
    engine.random ^= engine.random >> 27
    return <uint32_t>(engine.random * <uint64_t>0x2545F4914F6CDD1D >> 32)


cdef struct Found:  # of a walk over all servers
    uint32_t taken  # an active server with a place
    uint32_t backup  # the first backup with one
    uint8_t active  # an active server is eligible


cdef inline bint block_look(
        Engine *engine, Backend *backend, uint32_t first, uint32_t end, uint32_t avoid,
        uint64_t generation, Found *found) noexcept nogil:
    """Look at the servers of a block up to one with a place; whether none has any."""
    cdef const ServerView *server
    cdef bint full = True
    cdef uint32_t slot
    for slot in range(first, end):
        server = server_cached(engine, slot, generation)
        if not server.eligible:
            continue
        found.active |= not server.backup
        if not keeps_server(backend) and server_full(engine, slot, server):
            continue
        full = False
        if slot == avoid or (server.backup and found.backup != NO_SLOT):
            continue
        if not takes_session(engine, backend, slot, generation):
            continue
        if not server.backup:
            found.taken = slot
            return False
        found.backup = slot
    return full


cdef inline void servers_look(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation,
        Found *found) noexcept nogil:
    """Look at the backend's servers, but for blocks that are known to be full."""
    cdef bint trusted = full_trusted(engine, backend, generation)
    cdef uint32_t slot = backend.first_slot
    cdef uint32_t end = backend.first_slot + backend.slots
    cdef uint32_t block_end
    cdef uint64_t changes
    cdef uint8_t active
    while slot < end and found.taken == NO_SLOT:
        block_end = min((slot // PLACE_BLOCK_SLOTS + 1) * PLACE_BLOCK_SLOTS, end)
        if trusted and block_full(engine, backend, slot):
            found.active |= full_block(backend, slot).active
        else:
            active = found.active
            found.active = False
            changes = places_seen(engine, slot)
            count(&engine.counters.pick_looks, block_end - slot)
            if block_look(engine, backend, slot, block_end, avoid, generation, found) and trusted:
                full_block(backend, slot).changes = changes
                full_block(backend, slot).active = found.active
            found.active |= active
        slot = block_end


cdef inline uint32_t pick_any(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation) noexcept nogil:
    """The first server with a place, in the order of the file; backups only without others.

    One to avoid counts among these: a backup is no help where an active server is thought to be up.
    """
    cdef Found found
    found.taken = NO_SLOT
    found.backup = NO_SLOT
    found.active = False
    servers_look(engine, backend, avoid, generation, &found)
    if found.taken != NO_SLOT:
        return found.taken
    if found.backup != NO_SLOT and not found.active:
        return found.backup
    if avoid == NO_SLOT or (found.active and server_cached(engine, avoid, generation).backup):
        return NO_SLOT
    return avoid if takes_session(engine, backend, avoid, generation) else NO_SLOT


cdef inline uint32_t pick_freed(Engine *engine, Backend *backend) noexcept nogil:
    """The server of which a place came free last, for a session that waits; NO_SLOT: none fits.

    As in HAProxy, such a session gets the place that it has waited for, whoseever turn it is.
    """
    cdef uint64_t freed = load_relaxed(&backend.shared.freed)
    cdef uint32_t slot = <uint32_t>freed - 1
    cdef const ServerView *server
    if freed == 0 or slot - backend.first_slot >= backend.slots or backend.balance not in (
            BALANCE_ROUNDROBIN, BALANCE_STATIC):
        return NO_SLOT
    store_relaxed(&backend.shared.freed, 0)
    server = server_cached(engine, slot, load_acquire(&engine.view.header.table_generation))
    return slot if server.eligible and not server.backup else NO_SLOT


cdef inline bint any_eligible(Engine *engine, Backend *backend) noexcept nogil:
    """Whether the backend has a server that takes sessions, be it full."""
    cdef uint64_t generation = load_acquire(&engine.view.header.table_generation)
    cdef uint32_t slot
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if server_cached(engine, slot, generation).eligible:
            return True
    return False


cdef inline uint64_t turns_of(const Backend *backend) noexcept nogil:
    """The turns of a round; 0 without a server that has one."""
    cdef const Ring *ring
    if backend.schedule != NULL:
        return backend.schedule.entries
    if backend.kind == SCHEDULE_RING:
        ring = ring_in_use(backend.rota)
        if ring != NULL:
            return ring.taken.members
    return rota_entries(backend.rota)


cdef inline uint32_t members_in_turn(const Backend *backend) noexcept nogil:
    """How many servers have turns."""
    if backend.schedule != NULL:
        return backend.schedule.members
    return rota_members(backend.rota)


cdef inline uint32_t whose_turn(const Backend *backend, uint64_t turn) noexcept nogil:
    """The slot that has a turn of the round."""
    cdef const Ring *ring
    if backend.schedule != NULL:
        return backend.schedule.slots[turn]
    if backend.kind == SCHEDULE_RING:
        ring = ring_in_use(backend.rota)
        if ring != NULL:
            return backend.first_slot + nth_owner(ring, <uint32_t>turn)
    return backend.first_slot + rota_turn(backend.rota, turn)


cdef inline uint32_t pick_turn(
        Engine *engine, Backend *backend, uint64_t turn, uint32_t avoid,
        uint64_t generation) noexcept nogil:
    """The server of a turn, or of the next turn that has an eligible one."""
    cdef uint64_t turns = turns_of(backend)
    cdef bint trusted = full_trusted(engine, backend, generation)
    cdef uint32_t slot, skipped
    if turns == 0:
        return pick_any(engine, backend, avoid, generation)
    turn %= turns
    for skipped in range(<uint32_t>min(turns, <uint64_t>SKIPS_MAX)):
        slot = whose_turn(backend, turn)
        if (not trusted or not block_full(engine, backend, slot)) and usable(
                engine, backend, slot, avoid, generation):
            return slot
        turn = 0 if turn + 1 == turns else turn + 1
    return pick_any(engine, backend, avoid, generation)


cdef inline uint32_t pick_least(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation) noexcept nogil:
    """The server with the fewest sessions for its weight; equal ones take turns."""
    cdef uint64_t ticket = fetch_add(&backend.shared.tickets, 1)
    cdef double best_load = 0
    cdef uint32_t best, slot, start
    cdef double load
    if members_in_turn(backend) == 0:
        return pick_any(engine, backend, avoid, generation)
    start = backend.first_slot + <uint32_t>(ticket % backend.slots)
    best = least_loaded(engine, backend, start)
    if best != NO_SLOT and best != start:  # the next search begins behind this one
        fetch_add(
            &backend.shared.tickets,
            best - start if best > start else best - start + backend.slots)
    if best != NO_SLOT and best != avoid and takes_session(engine, backend, best, generation):
        return best
    best = NO_SLOT  # rare: look at each of them
    count(&engine.counters.pick_looks, backend.slots)
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if rota_weight(backend.rota, slot - backend.first_slot) == 0:
            continue
        load = load_of(engine, backend, slot)
        if best != NO_SLOT and load >= best_load:
            continue
        if slot != avoid and takes_session(engine, backend, slot, generation):
            best = slot
            best_load = load
    return pick_any(engine, backend, avoid, generation) if best == NO_SLOT else best


cdef inline uint32_t pick_first(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation) noexcept nogil:
    """The server with the lowest id."""
    cdef Schedule *schedule = backend.schedule
    cdef uint32_t member, slot
    cdef uint32_t position
    if schedule != NULL:
        for member in range(schedule.members):
            slot = schedule.member_slots[member]
            if usable(engine, backend, slot, avoid, generation):
                return slot
        return pick_any(engine, backend, avoid, generation)
    position = rota_next(backend.rota, 0)
    while position != NO_POSITION:
        slot = backend.first_slot + position
        if usable(engine, backend, slot, avoid, generation):
            return slot
        position = rota_next(backend.rota, position + 1)
    return pick_any(engine, backend, avoid, generation)


cdef inline bint bears_more(Engine *engine, Backend *backend, uint32_t slot) noexcept nogil:
    """Whether hash-balance-factor allows the server another session.

    All servers together may have `factor` percent of the sessions that there will be; each has
    its weight's share of these places, and one at least.
    """
    cdef uint32_t position = slot - backend.first_slot
    cdef uint64_t sessions, places, before, after, total
    if backend.balance_factor == 0:
        return True
    sessions = backend_sessions(
        &engine.view, backend.index, engine.worker, engine.now_ms)
    places = (max(sessions, <uint64_t>1) * backend.balance_factor + 99) // 100
    total = rota_weight_total(backend.rota)
    before = rota_weight_before(backend.rota, position)
    after = (before + rota_weight(backend.rota, position)) * places // total
    before = before * places // total
    return <int64_t>load_relaxed(<uint64_t *>&engine.view.hints[slot]) < (
        max(<int64_t>(after - before), <int64_t>1))


cdef inline uint32_t pick_only(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation) noexcept nogil:
    """The one backup that takes all sessions, if it is so and it bears one more."""
    cdef uint32_t only = rota_only(backend.rota)
    cdef uint32_t slot = backend.first_slot + only
    if only != NO_POSITION and usable(
            engine, backend, slot, avoid, generation) and bears_more(engine, backend, slot):
        return slot
    return pick_any(engine, backend, avoid, generation)


cdef inline uint32_t pick_nearest(
        Engine *engine, Backend *backend, uint32_t key, uint32_t avoid,
        uint64_t generation) noexcept nogil:
    """The server of the node nearest to a key; from there on, the first that bears a session more.

    Nodes of servers that take no sessions are passed over, so a ring that still holds them
    answers as the next one will.
    """
    cdef const Ring *ring = ring_in_use(backend.rota)
    cdef uint32_t first = backend.first_slot
    cdef uint32_t before, after, skipped, slot
    if ring == NULL:
        return pick_only(engine, backend, avoid, generation)
    after = node_at_or_after(ring, key)
    before = node_before(ring, after)
    for skipped in range(<uint32_t>SKIPS_MAX):
        if usable(engine, backend, first + position_at(ring, after), avoid, generation):
            break
        after = node_after(ring, after + 1)
    for skipped in range(<uint32_t>SKIPS_MAX):
        if usable(engine, backend, first + position_at(ring, before), avoid, generation):
            break
        before = node_before(ring, before)
    if nearer_before(ring, before, after, key):
        after = before
    for skipped in range(ring.taken.members):
        slot = first + position_at(ring, after)
        if usable(engine, backend, slot, avoid, generation) and bears_more(engine, backend, slot):
            return slot
        after = node_after(ring, after + 1)
        if backend.balance_factor == 0 and skipped == SKIPS_MAX:
            break
    return pick_any(engine, backend, avoid, generation)


cdef inline uint32_t pick_drawn(
        Engine *engine, Backend *backend, uint32_t avoid, uint64_t generation) noexcept nogil:
    """The least loaded of some servers that are drawn by their weights."""
    cdef uint32_t best = NO_SLOT
    cdef uint32_t drawn, slot
    cdef double load
    cdef double best_load = 0
    for drawn in range(backend.draws):
        slot = pick_turn(engine, backend, draw(engine), avoid, generation)
        if slot == NO_SLOT or slot == best:
            continue
        load = load_of(engine, backend, slot)
        if best == NO_SLOT or load < best_load:
            best = slot
            best_load = load
    return best


cdef inline uint32_t pick_source(
        Engine *engine, Backend *backend, uint64_t source, uint32_t avoid,
        uint64_t generation) noexcept nogil:
    """The server that the client's address belongs to, or what the backend hashes instead of it.

    Clients without either take turns, on a ring from node to node.
    """
    cdef uint32_t key = <uint32_t>source
    if source == NO_SOURCE:
        return pick_turn(
            engine, backend, fetch_add(&backend.shared.tickets, 1), avoid, generation)
    if backend.avalanche:
        key = avalanche(key)
    if backend.kind == SCHEDULE_RING:
        return pick_nearest(engine, backend, key, avoid, generation)
    return pick_turn(engine, backend, key, avoid, generation)


cdef inline uint32_t pick_server(
        Engine *engine, Backend *backend, uint64_t source_hash, uint32_t avoid) noexcept nogil:
    """The slot for a new session; NO_SLOT when no server is eligible and has a place.

    `avoid` is the server that a redispatched session has failed to reach: it is taken only when
    there is no other.
    """
    cdef uint64_t generation = load_acquire(&engine.view.header.table_generation)
    if backend.generation_seen != generation or load_pointer(&backend.delivered) != NULL:
        backend.generation_seen = generation
        schedule_take(engine, backend, generation)
    if backend.rota != NULL and 0 < backend.rota.warm_due_ms <= engine.now_ms:
        rota_warm_up(engine, backend)
    if backend.balance == BALANCE_SOURCE:
        return pick_source(engine, backend, source_hash, avoid, generation)
    if backend.balance == BALANCE_LEASTCONN:
        return pick_least(engine, backend, avoid, generation)
    if backend.balance == BALANCE_FIRST:
        return pick_first(engine, backend, avoid, generation)
    if backend.balance == BALANCE_RANDOM:
        return pick_drawn(engine, backend, avoid, generation)
    return pick_turn(
        engine, backend, fetch_add(&backend.shared.tickets, 1), avoid, generation)
