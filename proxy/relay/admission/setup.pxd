# The limits of a worker, made from numbers at its start, and those that an operator has ordered
# since. What limits do is in admission.pxd.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.admission.admission cimport limit_free
from proxy.relay.admission.ahead cimport ahead_give
from proxy.relay.state.rule_types cimport ASKED_BINDS
from proxy.relay.state.types cimport (
    LIMITS_MAX, LIMIT_DESCRIPTORS, LIMIT_PLACES, LIMIT_RATE, OVERLOAD_PAUSE_MS, Engine, Frontend,
    Limit, Listener)
from shm.atomics cimport load_acquire
from shm.layout cimport ClientOrders, FrontendShared, Waited
from shm.rows cimport BindCounters, StopTickets
from shm.segment cimport bind_counters, stop_tickets


cdef inline uint64_t within_row(const Engine *engine, const uint64_t *word) noexcept nogil:
    """Where a word of this worker's row is, in bytes from its start."""
    return <const char *>word - <const char *>engine.counters


cdef inline void limit_places(
        const Engine *engine, Limit *limit, uint64_t most, const uint64_t *counted,
        const uint64_t *ticket, const uint64_t *reserved, Waited *waited) noexcept nogil:
    limit.kind = LIMIT_PLACES
    limit.reserved = within_row(engine, reserved)
    limit.waited = waited
    limit.most = limit.configured = most
    limit.counted = within_row(engine, counted)
    limit.published = within_row(engine, ticket)


cdef inline void limit_rate(
        const Engine *engine, Limit *limit, uint64_t most, FrontendShared *shared,
        const uint64_t *ticket) noexcept nogil:
    limit.kind = LIMIT_RATE
    limit.waited = &shared.rate
    limit.passed = &shared.passed[0]
    limit.most = limit.configured = most
    limit.published = within_row(engine, ticket)


cdef inline void limit_process(
        Engine *engine, uint64_t descriptors, uint64_t maxconn, uint64_t rate) noexcept nogil:
    """The limits that hold for all listeners."""
    cdef StopTickets *tickets = stop_tickets(&engine.view, engine.worker)
    engine.sweep_ms = OVERLOAD_PAUSE_MS
    engine.descriptors.kind = LIMIT_DESCRIPTORS
    engine.descriptors.most = descriptors
    limit_places(
        engine, &engine.places, maxconn, &engine.counters.sessions, &tickets.places,
        &tickets.reserved, &engine.view.frontends_shared.places)
    limit_rate(engine, &engine.rate, rate, engine.view.frontends_shared, &tickets.rate)


cdef inline void limit_frontend(
        Engine *engine, Frontend *frontend, uint64_t maxconn, uint64_t rate) noexcept nogil:
    cdef StopTickets *tickets = (
        stop_tickets(&engine.view, engine.worker) + 1 + frontend.index)
    cdef FrontendShared *shared = &engine.view.frontends_shared[1 + frontend.index]
    limit_places(
        engine, &frontend.places, maxconn, &frontend.counters.sessions, &tickets.places,
        &tickets.reserved, &shared.places)
    limit_rate(engine, &frontend.rate, rate, shared, &tickets.rate)


cdef inline void limit_bind(Engine *engine, uint32_t bind, uint64_t maxconn) noexcept nogil:
    cdef BindCounters *counters = bind_counters(&engine.view, engine.worker, bind)
    limit_places(
        engine, &engine.binds[bind], maxconn, &counters.sessions, &counters.stop_ticket,
        &counters.reserved, &engine.view.binds_waited[bind])


cdef inline void limit_listener(Engine *engine, Listener *listener) noexcept nogil:
    """Note which limits hold for a listener: those of places first, because rates count at once."""
    cdef Limit *limits[LIMITS_MAX]
    cdef uint32_t number
    limits[0] = &engine.places
    limits[1] = &listener.frontend.places
    limits[2] = &engine.binds[listener.bind]
    limits[3] = &engine.rate
    limits[4] = &listener.frontend.rate
    listener.limit_count = 0
    for number in range(LIMITS_MAX):
        if limits[number].most != 0 or limits[number].ordered:
            listener.limits[listener.limit_count] = limits[number]
            listener.limit_count += 1
    if engine.binds[listener.bind].most != 0 or engine.judge.asks & ASKED_BINDS:
        listener.sessions = &bind_counters(
            &engine.view, engine.worker, listener.bind).sessions


cdef inline void limit_order(Limit *limit, const uint64_t *word) noexcept nogil:
    """Take a limit as ordered, or as configured; of rates 0 is no limit, of places none is left."""
    cdef uint64_t order = load_acquire(word)
    limit.ordered = order != 0
    limit.most = limit.configured if order == 0 else order - 1
    if limit.ordered and limit.most == 0 and limit.kind == LIMIT_RATE:
        limit.ordered = False


cdef inline void limits_exact(Engine *engine) noexcept nogil:
    """Other limits hold: no place is taken ahead but by what they leave."""
    cdef Limit *limit = engine.reserving
    while limit != NULL:
        ahead_give(engine, limit)
        limit.ahead = 0
        limit_free(engine, limit)
        limit = limit.next_reserving


cdef inline bint limits_ordered(Engine *engine) noexcept nogil:
    """Take the limits that were ordered; False, at once, where nothing was since the last look."""
    cdef const ClientOrders *orders = engine.view.client_orders
    cdef uint64_t generation = load_acquire(&orders.generation)
    cdef uint32_t index
    if generation == engine.orders_seen:
        return False
    engine.orders_seen = generation
    limits_exact(engine)
    limit_order(&engine.places, &orders.maxconn)
    limit_order(&engine.rate, &orders.accept_rate)
    for index in range(engine.frontend_count):
        limit_order(&engine.frontends[index].places, &orders[1 + index].maxconn)
    for index in range(engine.listener_count):
        limit_listener(engine, &engine.listeners[index])
    return True
