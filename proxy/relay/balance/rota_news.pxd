# What a change of the table means to the rotas: the servers that the journal names are looked at,
# and no others. So an order costs each relay the same whatever else the table holds.
#
# Servers that warm up are in a list of their backend, which a pick walks when a second of one of
# them is over; nothing wakes the relay for it.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.relay.balance.least cimport block_forget, blocks_forget
from proxy.relay.balance.ring cimport ring_set, ring_shift
from proxy.relay.balance.rota cimport group_in_use, group_weight, rota_set, weight_held
from proxy.relay.state.server_types cimport Ring, Rota, RotaGroup, ServerCache
from proxy.relay.state.server_view cimport server_decode
from proxy.relay.state.types cimport SCHEDULE_MAP, SCHEDULE_ORDER, Backend, Engine
from shm.atomics cimport count, load32_acquire, load_relaxed
from shm.eligibility cimport WARM_STEP_MS, WARM_STEPS, warmth
from shm.journal cimport JOURNAL_EVERYTHING, journal_read

cdef enum:
    SLOTS_AT_ONCE = 64  # read from the journal; on the stack
    WARM_REST_MS = 100  # between two walks over the servers of a backend that warm up


cdef inline void warm_watch(
        Engine *engine, Rota *rota, uint32_t slot, uint32_t warm) noexcept nogil:
    """Note when a server will have more of its weight, unless it is noted already."""
    cdef ServerCache *server = &engine.servers[slot]
    cdef int64_t due_ms
    if warm == WARM_STEPS:
        return
    due_ms = engine.now_ms + WARM_STEP_MS
    due_ms -= (engine.now_ms - server.view.warm_from_ms) % WARM_STEP_MS
    if rota.warm_due_ms == 0 or due_ms < rota.warm_due_ms:
        rota.warm_due_ms = due_ms
    if not server.warming:
        server.warming = True
        server.next_warming = rota.first_warming
        rota.first_warming = slot + 1


cdef inline uint32_t weight_now(Engine *engine, Backend *backend, uint32_t slot) noexcept nogil:
    """The weight of a server's turns at this time, 0: it has none; in sixteenths, if it may grow.

    Turns in HAProxy's map go by the weight of the file, those in the order of the file by none.
    """
    cdef const ServerCache *server = &engine.servers[slot]
    cdef uint32_t warm
    if not server.view.eligible:
        return 0
    if backend.kind == SCHEDULE_MAP:
        return engine.view.statics[slot].weight
    if backend.kind == SCHEDULE_ORDER:
        return 1
    warm = warmth(
        server.view.warm_from_ms, engine.view.statics[slot].slowstart_ms, engine.now_ms)
    warm_watch(engine, backend.rota, slot, warm)
    return server.view.weight * warm


cdef inline void ring_give(
        Engine *engine, const Backend *backend, int kind, uint32_t position) noexcept nogil:
    """Give a server the nodes of its weight in one of the rings."""
    cdef int64_t looked = ring_set(
        &backend.rota.rings[kind], position,
        engine.view.statics[backend.first_slot + position].id,
        weight_held(backend.rota, position, kind))
    if looked < 0:
        engine.rotas_behind = True
    else:
        count(&engine.counters.pick_looks, looked)


cdef inline void rings_weigh(
        Engine *engine, const Backend *backend, uint32_t position) noexcept nogil:
    """Bring the rings in line with a server's weight; all servers, where the scale is another."""
    cdef uint64_t configured = load_relaxed(&backend.rota.ring_weight)
    cdef Ring *ring
    cdef uint32_t shift, each
    cdef int kind
    for kind in range(2):
        ring = &backend.rota.rings[kind]
        shift = ring_shift(configured, group_weight(&backend.rota.groups[kind]))
        if shift == ring.shift:
            ring_give(engine, backend, kind, position)
            continue
        ring.shift = shift
        count(&engine.counters.schedule_builds, 1)
        for each in range(backend.slots):
            ring_give(engine, backend, kind, each)


cdef inline void rota_weigh(Engine *engine, Backend *backend, uint32_t slot) noexcept nogil:
    """Give a server the turns that it has from now on, by what is known of it."""
    cdef const RotaGroup *in_use = group_in_use(backend.rota)
    cdef uint32_t weight = weight_now(engine, backend, slot)
    if not rota_set(
            backend.rota, slot - backend.first_slot, weight, engine.servers[slot].view.backup):
        engine.rotas_behind = True
    if backend.rota.rings != NULL:
        rings_weigh(engine, backend, slot - backend.first_slot)
    if backend.blocks != NULL:
        if group_in_use(backend.rota) == in_use:
            block_forget(backend, slot)
        else:
            blocks_forget(backend)


cdef inline void rota_look(
        Engine *engine, Backend *backend, uint32_t slot, uint64_t generation) noexcept nogil:
    """Look at one server: which turns it has from now on."""
    if server_decode(engine, slot, generation):
        rota_weigh(engine, backend, slot)
    else:
        engine.rotas_behind = True


cdef inline void rota_warm_up(Engine *engine, Backend *backend) noexcept nogil:
    """Servers that warm up get the weight of this second; those that are warm leave the list."""
    cdef Rota *rota = backend.rota
    cdef uint32_t next = rota.first_warming
    cdef uint32_t slot
    rota.first_warming = 0
    rota.warm_due_ms = 0
    while next != 0:
        slot = next - 1
        next = engine.servers[slot].next_warming
        engine.servers[slot].warming = False
        rota_weigh(engine, backend, slot)
    if rota.warm_due_ms != 0:
        rota.warm_due_ms = max(rota.warm_due_ms, engine.now_ms + WARM_REST_MS)


cdef inline void rota_look_at_all(
        Engine *engine, Backend *backend, uint64_t generation) noexcept nogil:
    """Look at every server: at the start, and when the journal does not tell which changed."""
    cdef uint32_t slot
    backend.slots = load32_acquire(&backend.shared.slots)
    count(&engine.counters.schedule_builds, 1)
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        rota_look(engine, backend, slot, generation)


cdef inline void rotas_follow(Engine *engine, uint64_t generation) noexcept nogil:
    """Bring the rotas in line with the table, which was found at this generation."""
    cdef uint32_t slots[SLOTS_AT_ONCE]
    cdef Backend *backend
    cdef uint32_t index
    cdef int number
    cdef int found = 1
    while found != 0:
        found = journal_read(&engine.view, &engine.journal_seen, slots, SLOTS_AT_ONCE)
        if found == JOURNAL_EVERYTHING:
            engine.rotas_behind = True
        for number in range(found):
            backend = &engine.backends[engine.view.statics[slots[number]].backend]
            if backend.rota != NULL:
                backend.slots = load32_acquire(&backend.shared.slots)
                rota_look(engine, backend, slots[number], generation)
    if not engine.rotas_behind:
        return
    engine.rotas_behind = False
    for index in range(engine.backend_count):
        if engine.backends[index].rota != NULL:
            rota_look_at_all(engine, &engine.backends[index], generation)
