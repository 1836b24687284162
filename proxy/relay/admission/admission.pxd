# Whether one more client may be accepted: places and rates over all workers, and whose turn it is.
#
# Several limits hold for a listener: the process's and the frontend's maxconn and rate, its bind
# address's maxconn, this worker's descriptors. To take a place a worker raises its own gauge,
# fences, and adds up all rows; over the limit it takes its own back. Two may both step back from
# the last place: a worker that gives back, for whatever reason, notes the limit as freed, and at
# the end of the turn looks for listeners that it stops (accept.pxd). While a limit is far, places
# are taken ahead (ahead.pxd), and no other row is looked at. A rate is counted in one word for all
# (shm/rates.pxd).
#
# A stopped listener has a ticket (stopped.pxd), and its worker publishes the lowest for each limit
# in its row. Where hardly a place is left, or this worker has a stopped listener, places go to the
# lowest ticket; a listener that is not stopped has none yet and comes last. Of equal tickets the
# lower row comes first. A worker that shows no life is passed over until it does.
#
# Knows rows, limits and listeners; neither sockets nor bells.

from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t

from proxy.relay.admission.ahead cimport (
    ahead_covers, ahead_give, ahead_learn, ahead_take, limit_waited, places_of_row, word_of_row)
from proxy.relay.state.counting cimport gauge_down
from proxy.relay.state.server_places cimport Waiting, lowest_waiting
from proxy.relay.state.types cimport (
    LIMIT_DESCRIPTORS, LIMIT_PLACES, LIMIT_RATE, Engine, Limit, Listener)
from shm.atomics cimport count, fence_full, load_relaxed, store_relaxed
from shm.rates cimport rate_give, rate_now, rate_take


cdef inline uint64_t limit_total(Engine *engine, const Limit *limit) noexcept nogil:
    """What counts against a limit now."""
    cdef uint64_t total = 0
    cdef uint32_t row
    if limit.kind == LIMIT_DESCRIPTORS:
        return load_relaxed(&engine.counters.sessions)
    if limit.kind == LIMIT_RATE:
        return rate_now(limit.passed, engine.now_ms)
    for row in range(engine.workers):
        total += places_of_row(engine, limit, row)
    return total


cdef inline Waiting limit_next(Engine *engine, const Limit *limit) noexcept nogil:
    """The lowest ticket of the listeners that a limit stops."""
    return lowest_waiting(
        &engine.view, limit.waited, word_of_row(engine, 0, limit.published), engine.now_ms)


cdef inline bint has_turn(
        Engine *engine, const Limit *limit, const Listener *listener) noexcept nogil:
    """Whether no other listener is before it where a limit leaves hardly a place."""
    cdef Waiting lowest
    cdef uint64_t ticket = UINT64_MAX if listener.stopped_by == NULL else listener.ticket
    if limit.kind == LIMIT_DESCRIPTORS:
        return limit.first == NULL or limit.first.ticket >= ticket
    lowest = limit_next(engine, limit)
    return lowest.ticket == 0 or ticket < lowest.ticket or (
        ticket == lowest.ticket and engine.worker <= lowest.worker)


cdef inline void limit_free(Engine *engine, Limit *limit) noexcept nogil:
    """Something was given back: at the end of the turn the limit lets stopped listeners accept."""
    if not limit.freed:
        limit.freed = True
        limit.next_freed = engine.freed
        engine.freed = limit


cdef inline void client_places_leave(Engine *engine, Listener *listener) noexcept nogil:
    """A session has ended, or was none: its places are free."""
    cdef uint32_t number
    gauge_down(&engine.counters.sessions)
    gauge_down(&listener.frontend.counters.sessions)
    if listener.sessions != NULL:
        gauge_down(listener.sessions)
    for number in range(listener.limit_count):
        if listener.limits[number].kind == LIMIT_PLACES:
            limit_free(engine, listener.limits[number])
    if engine.descriptors.first != NULL:
        limit_free(engine, &engine.descriptors)


cdef inline void rates_give(Engine *engine, Listener *listener, uint32_t taken) noexcept nogil:
    """Of the first limits of a listener, give the rates back."""
    cdef Limit *limit
    cdef uint32_t number
    for number in range(taken):
        limit = listener.limits[number]
        if limit.kind == LIMIT_RATE:
            rate_give(limit.passed, limit.passed_in)
            limit_free(engine, limit)


cdef inline void client_place_give(Engine *engine, Listener *listener) noexcept nogil:
    """What was taken for a client came to nothing."""
    rates_give(engine, listener, listener.limit_count)
    client_places_leave(engine, listener)


cdef inline bint plenty(
        const Engine *engine, const Limit *limit, uint64_t total) noexcept nogil:
    """Whether no turn counts: each worker could have a place, and none stops here for one."""
    return limit.first == NULL and total + engine.workers <= limit.most


cdef inline bint places_take(Engine *engine, Listener *listener, Limit *limit) noexcept nogil:
    """Whether a limit of places allows the session whose gauges are raised."""
    cdef uint64_t total
    cdef bint ahead
    if limit.first == NULL and ahead_covers(engine, limit):
        return True
    ahead = limit.ahead != 0 and limit.first == NULL and not limit_waited(engine, limit)
    if ahead:
        ahead_take(engine, limit)
        fence_full()
    total = limit_total(engine, limit)
    if ahead and total > limit.most:
        ahead_give(engine, limit)
        total -= limit.ahead
        limit_free(engine, limit)  # these may have kept another worker from the last place
    limit.ahead = 0
    if total > limit.most:
        return False
    ahead_learn(engine, limit, total)
    return plenty(engine, limit, total) or has_turn(engine, limit, listener)


cdef inline bint limit_takes(
        Engine *engine, Listener *listener, Limit *limit) noexcept nogil:
    """Whether a limit allows the session whose gauges are raised; a rate counts it then."""
    cdef uint64_t total
    if limit.kind == LIMIT_PLACES:
        return places_take(engine, listener, limit)
    total = rate_take(limit.passed, limit.most, engine.now_ms, &limit.passed_in)
    if total == 0:
        return False
    if plenty(engine, limit, total) or has_turn(engine, limit, listener):
        return True
    rate_give(limit.passed, limit.passed_in)
    limit_free(engine, limit)
    return False


cdef inline Limit *client_place_take(Engine *engine, Listener *listener) noexcept nogil:
    """Count a session that is about to be accepted; the limit that forbids it, or NULL."""
    cdef uint64_t here = load_relaxed(&engine.counters.sessions)
    cdef uint32_t number
    if here >= engine.descriptors.most:
        return &engine.descriptors
    store_relaxed(&engine.counters.sessions, here + 1)
    count(&listener.frontend.counters.sessions, 1)
    if listener.sessions != NULL:
        count(listener.sessions, 1)
    if listener.limit_count == 0:
        return NULL
    fence_full()
    for number in range(listener.limit_count):
        if not limit_takes(engine, listener, listener.limits[number]):
            rates_give(engine, listener, number)
            client_places_leave(engine, listener)
            return listener.limits[number]
    return NULL


cdef inline bint limit_forbids(
        Engine *engine, Listener *listener, const Limit *limit) noexcept nogil:
    return limit_total(engine, limit) >= limit.most or not has_turn(engine, limit, listener)


cdef inline Limit *limit_ahead(Engine *engine, Listener *listener) noexcept nogil:
    """The limit that would forbid another session, or NULL; nothing is raised for the look."""
    cdef uint32_t number
    if load_relaxed(&engine.counters.sessions) >= engine.descriptors.most:
        return &engine.descriptors
    for number in range(listener.limit_count):
        if limit_forbids(engine, listener, listener.limits[number]):
            return listener.limits[number]
    return NULL
