# The limits of a worker, made from numbers at its start; what they do is in admission.pxd.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.admission.rates cimport RATE_PROCESS
from proxy.relay.state.rule_types cimport ASKED_BINDS
from proxy.relay.state.types cimport (
    LIMITS_MAX, LIMIT_DESCRIPTORS, LIMIT_PLACES, LIMIT_RATE, OVERLOAD_PAUSE_MS, Engine, Frontend,
    Limit, Listener)
from shm.rows cimport BindCounters, StopTickets
from shm.segment cimport bind_counters, stop_tickets


cdef inline uint64_t within_row(const Engine *engine, const uint64_t *word) noexcept nogil:
    """Where a word of this worker's row is, in bytes from its start."""
    return <const char *>word - <const char *>engine.counters


cdef inline void limit_places(
        const Engine *engine, Limit *limit, uint64_t most, const uint64_t *counted,
        const uint64_t *ticket) noexcept nogil:
    limit.kind = LIMIT_PLACES
    limit.most = most
    limit.counted = within_row(engine, counted)
    limit.published = within_row(engine, ticket)


cdef inline void limit_rate(
        const Engine *engine, Limit *limit, uint64_t most, uint32_t window,
        const uint64_t *ticket) noexcept nogil:
    limit.kind = LIMIT_RATE
    limit.most = most
    limit.window = window
    limit.published = within_row(engine, ticket)


cdef inline void limit_process(
        Engine *engine, uint64_t descriptors, uint64_t maxconn, uint64_t rate) noexcept nogil:
    """The limits that hold for all listeners."""
    cdef StopTickets *tickets = stop_tickets(&engine.view, engine.worker)
    engine.sweep_ms = OVERLOAD_PAUSE_MS
    engine.descriptors.kind = LIMIT_DESCRIPTORS
    engine.descriptors.most = descriptors
    limit_places(
        engine, &engine.places, maxconn, &engine.counters.sessions, &tickets.places)
    limit_rate(engine, &engine.rate, rate, RATE_PROCESS, &tickets.rate)


cdef inline void limit_frontend(
        Engine *engine, Frontend *frontend, uint64_t maxconn, uint64_t rate) noexcept nogil:
    cdef StopTickets *tickets = (
        stop_tickets(&engine.view, engine.worker) + 1 + frontend.index)
    limit_places(
        engine, &frontend.places, maxconn, &frontend.counters.sessions, &tickets.places)
    limit_rate(
        engine, &frontend.rate, rate, RATE_PROCESS + 1 + frontend.index, &tickets.rate)


cdef inline void limit_bind(Engine *engine, uint32_t bind, uint64_t maxconn) noexcept nogil:
    cdef BindCounters *counters = bind_counters(&engine.view, engine.worker, bind)
    limit_places(
        engine, &engine.binds[bind], maxconn, &counters.sessions, &counters.stop_ticket)


cdef inline void limit_listener(Engine *engine, Listener *listener) noexcept nogil:
    """Note which limits hold for a listener: those of places first, because rates count at once."""
    cdef Limit *limits[LIMITS_MAX]
    cdef uint32_t number
    limits[:] = [
        &engine.places, &listener.frontend.places, &engine.binds[listener.bind], &engine.rate,
        &listener.frontend.rate]
    for number in range(LIMITS_MAX):
        if limits[number].most != 0:
            listener.limits[listener.limit_count] = limits[number]
            listener.limit_count += 1
    if engine.binds[listener.bind].most != 0 or engine.judge.asks & ASKED_BINDS:
        listener.sessions = &bind_counters(
            &engine.view, engine.worker, listener.bind).sessions
