# Waiting for a place at a server: this worker's queues, and which worker hears of a free place.
#
# A backend has one queue for sessions that may go to any server, a server one for those that must
# go to it (`balance source`). Queues are in the order of their tickets; the first ticket of each is
# published in this worker's row (state/server_places.pxd says what for). Nothing is lost:
#   - a session that comes publishes its ticket, and the worker tries once more before it waits for
#     events (session/dequeue.pxd);
#   - a worker that gives a place back fences, reads all tickets and rings the bell of the lowest,
#     for which it notes the server: that one looks there first;
#   - and all workers with sessions that wait look every QUEUE_SWEEP_MS, because a worker can be
#     killed before it rings.
# Servers without `maxconn`, and backends of such servers, cost one load and no fence.
#
# Knows sessions only as what waits; what becomes of them is session/dequeue.pxd.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.balance.present cimport (
    present_enter, present_leave, present_pass, present_prepare)
from proxy.relay.log.session cimport log_queued, log_unqueued
from proxy.relay.state.counting cimport (
    count_queued, count_released, count_unqueued, gauge_down, gauge_up, raise_max)
from proxy.relay.state.pool cimport pool_give, pool_take
from proxy.relay.state.server_places cimport (
    Waiting, next_for_place, place_leave, place_raise, place_try, served_by,
    ticket_draw, ticket_publish, waiting_everywhere, waiting_for_server)
from proxy.relay.state.server_view cimport server_cached, standing_of
from proxy.relay.state.syscalls cimport ring_bell
from proxy.relay.state.types cimport (
    ASSIGNED, NO_SLOT, Backend, Engine, Queue, ServerLimits, Session, Waiter)
from shm.atomics cimport fence_full, load_acquire, load_relaxed, store_relaxed
from shm.eligibility cimport WARM_STEPS, ServerView, warmth
from shm.limits cimport dynamic_limit
from shm.rows cimport ServerCounters
from shm.segment cimport server_counters
from shm.sums cimport backend_sessions


cdef inline uint64_t server_limit(
        Engine *engine, uint32_t slot, const ServerView *server) noexcept nogil:
    """How many sessions a server with a `maxconn` may have now, over all workers.

    One that warms up (`slowstart`) begins with a single one.
    """
    cdef uint32_t minconn = engine.limits[slot].minconn
    cdef uint32_t backend = engine.view.statics[slot].backend
    cdef uint64_t limit = server.maxconn
    cdef uint32_t warm = warmth(
        server.warm_from_ms, engine.view.statics[slot].slowstart_ms, engine.now_ms)
    if minconn != 0:
        limit = dynamic_limit(
            server.maxconn, minconn, engine.backends[backend].fullconn,
            backend_sessions(&engine.view, backend, engine.worker, engine.now_ms))
    if warm < WARM_STEPS:
        limit = max(limit * (warm - 1) // WARM_STEPS, <uint64_t>1)
    return limit


cdef inline bint place_free(
        Engine *engine, uint32_t slot, const ServerView *server) noexcept nogil:
    """Whether a place at a server is free, whichever session it is for."""
    return server.maxconn == 0 or (
        served_by(&engine.view, slot, engine.servers[slot].tag) < server_limit(
            engine, slot, server))


cdef inline Waiting next_waiting(Engine *engine, uint32_t slot) noexcept nogil:
    """Whose turn it is when a place at a server is free.

    One that drains is for those that were sent there.
    """
    if not server_cached(
            engine, slot, load_acquire(&engine.view.header.table_generation)).eligible:
        return waiting_for_server(&engine.view, slot, engine.now_ms)
    return next_for_place(
        &engine.view, engine.view.statics[slot].backend, slot, engine.now_ms)


cdef inline bint has_place(
        Engine *engine, uint32_t slot, const ServerView *server) noexcept nogil:
    """Whether a server has a place for the session that a server is being sought for.

    A place that a session with a lower ticket waits for is none. Others may still be faster:
    `server_place_take` decides.
    """
    cdef Waiting lowest
    if server.maxconn == 0:
        return True
    if not place_free(engine, slot, server):
        return False
    lowest = next_waiting(engine, slot)
    return lowest.ticket == 0 or lowest.ticket >= engine.ticket


cdef inline void ring_relay(Engine *engine, uint32_t worker) noexcept nogil:
    """Let a relay look at its queues: another by its bell, this one before it waits."""
    if worker == engine.worker:
        engine.review = True
    else:
        ring_bell(engine.relay_bells[worker])


cdef inline void tell_next(Engine *engine, uint32_t slot) noexcept nogil:
    """A place was given back: tell the worker whose session is next."""
    cdef Waiting lowest
    fence_full()
    lowest = next_waiting(engine, slot)
    if lowest.ticket != 0:
        store_relaxed(&engine.backends[engine.view.statics[slot].backend].shared.freed, slot + 1)
        ring_relay(engine, lowest.worker)


cdef inline bint server_place_take(Engine *engine, uint32_t slot) noexcept nogil:
    """Take a place at a server for the session that it is sought for; False when there is none."""
    cdef const ServerView *server = server_cached(
        engine, slot, load_acquire(&engine.view.header.table_generation))
    cdef ServerCounters *counters = server_counters(&engine.view, engine.worker, slot)
    cdef uint64_t served = 0
    if server.maxconn == 0 and not engine.servers[slot].presence.gauged:
        present_pass(engine, slot)
        gauge_up(&counters.sessions, &counters.sessions_max)
        return True
    present_prepare(engine, slot)
    if server.maxconn == 0:  # it had a limit, and may have one again
        place_raise(&engine.view, engine.worker, slot, engine.servers[slot].tag)
    elif not has_place(engine, slot, server):
        return False
    else:
        served = place_try(
            &engine.view, engine.worker, slot, engine.servers[slot].tag,
            server_limit(engine, slot, server))
        if served == 0:
            tell_next(engine, slot)  # this attempt may have kept another worker from taking it
            return False
    present_enter(engine, slot)
    raise_max(&counters.sessions_max, max(served, load_relaxed(&counters.sessions)))
    return True


cdef inline void server_release(Engine *engine, Session *session) noexcept nogil:
    """The session leaves its server: it ended, or goes to another one."""
    if not session.flags & ASSIGNED:
        return
    if load_relaxed(&session.backend.shared.limited) == 0:
        gauge_down(&server_counters(&engine.view, engine.worker, session.slot).sessions)
        count_released(engine, session)
        return
    present_leave(engine, session)
    place_leave(&engine.view, engine.worker, session.slot, session.tag)
    count_released(engine, session)
    tell_next(engine, session.slot)


cdef inline bint queue_full(Engine *engine, uint32_t slot) noexcept nogil:
    """Whether a server's queue is as long as its `maxqueue` allows."""
    cdef uint32_t longest = engine.limits[slot].maxqueue
    return longest != 0 and (
        waiting_everywhere(&engine.view, engine.view.statics[slot].backend, slot, True) >= longest)


cdef inline void publish_first(Engine *engine, Session *session, Queue *queue) noexcept nogil:
    """Say which ticket of this worker is the lowest in a queue; the fence is the caller's."""
    cdef uint64_t ticket = 0 if queue.first == NULL else queue.first.ticket
    if session.slot == NO_SLOT:
        ticket_publish(
            &session.backend.shared.waited, &session.backend.counters.queue_ticket,
            engine.worker, ticket)
    else:
        ticket_publish(
            &engine.view.servers_shared[session.slot].waited,
            &server_counters(&engine.view, engine.worker, session.slot).queue_ticket,
            engine.worker, ticket)


cdef inline void backend_list(Engine *engine, Backend *backend) noexcept nogil:
    """The backend's queues are to be looked at."""
    if not backend.listed:
        backend.listed = True
        backend.next_listed = engine.listed
        engine.listed = backend


cdef inline void backend_review(Engine *engine, Backend *backend) noexcept nogil:
    """Look at the backend's queues at the end of the turn, whatever waits there."""
    backend.review = True
    engine.review = True
    backend_list(engine, backend)


cdef inline void waited_link(Engine *engine, Backend *backend, uint32_t slot) noexcept nogil:
    """The first session waits for a certain server."""
    cdef ServerLimits *server = &engine.limits[slot]
    server.next_waited = 0
    server.previous_waited = backend.last_waited
    if backend.last_waited != 0:
        engine.limits[backend.last_waited - 1].next_waited = slot + 1
    else:
        backend.first_waited = slot + 1
    backend.last_waited = slot + 1


cdef inline void waited_unlink(Engine *engine, Backend *backend, uint32_t slot) noexcept nogil:
    """None waits for it any more."""
    cdef ServerLimits *server = &engine.limits[slot]
    if server.next_waited != 0:
        engine.limits[server.next_waited - 1].previous_waited = server.previous_waited
    else:
        backend.last_waited = server.previous_waited
    if server.previous_waited != 0:
        engine.limits[server.previous_waited - 1].next_waited = server.next_waited
    else:
        backend.first_waited = server.next_waited


cdef inline bint queue_enter(Engine *engine, Session *session, uint32_t slot) noexcept nogil:
    """Let a session wait for a server, or for any (NO_SLOT); False without memory.

    This worker looks for a place once more before it waits for events.
    """
    cdef Backend *backend = session.backend
    cdef Queue *queue = &backend.queue
    cdef Waiter *waiter = <Waiter *>pool_take(&engine.waiters)
    cdef uint64_t place
    if waiter == NULL:
        return False
    if slot != NO_SLOT:
        queue = &engine.limits[slot].queue
        waiter.standing = standing_of(server_cached(
            engine, slot, load_acquire(&engine.view.header.table_generation)))
    session.slot = slot
    session.waiter = waiter
    waiter.session = session
    waiter.queue = queue
    waiter.since_ms = engine.now_ms
    waiter.ticket = ticket_draw(&engine.view, backend.index)
    waiter.previous = queue.last
    if queue.last != NULL:
        queue.last.next = waiter
    else:
        queue.first = waiter
        if slot != NO_SLOT:
            waited_link(engine, backend, slot)
    queue.last = waiter
    place = waiting_everywhere(&engine.view, backend.index, slot, slot != NO_SLOT) + 1
    count_queued(engine, session, place)
    log_queued(session, place, slot != NO_SLOT)
    backend.waiting += 1
    engine.waiting += 1
    backend_list(engine, backend)
    if queue.first == waiter:
        publish_first(engine, session, queue)
        backend_review(engine, backend)
    return True


cdef inline void queue_leave(Engine *engine, Session *session) noexcept nogil:
    """Take a session out of its queue; the next one is published."""
    cdef Waiter *waiter = session.waiter
    cdef Queue *queue = waiter.queue
    cdef bint was_first = queue.first == waiter
    if waiter.next != NULL:
        waiter.next.previous = waiter.previous
    else:
        queue.last = waiter.previous
    if waiter.previous != NULL:
        waiter.previous.next = waiter.next
    else:
        queue.first = waiter.next
    count_unqueued(engine, session)
    if was_first:
        publish_first(engine, session, queue)
        backend_review(engine, session.backend)
    if queue.first == NULL and session.slot != NO_SLOT:
        waited_unlink(engine, session.backend, session.slot)
    session.backend.waiting -= 1
    engine.waiting -= 1
    session.waiter = NULL
    pool_give(&engine.waiters, waiter)


cdef inline void queue_pass_on(Engine *engine, uint32_t slot) noexcept nogil:
    """This worker is not next for a server: if a place is free, ring the one that is."""
    cdef const ServerView *server = server_cached(
        engine, slot, load_acquire(&engine.view.header.table_generation))
    cdef Waiting lowest
    fence_full()
    if not place_free(engine, slot, server):
        return
    lowest = next_waiting(engine, slot)
    if lowest.ticket != 0 and lowest.worker != engine.worker:
        ring_bell(engine.relay_bells[lowest.worker])


cdef inline void queue_abandon(Engine *engine, Session *session) noexcept nogil:
    """A session ends while it waits, if it does."""
    cdef uint32_t slot = session.slot
    if session.waiter == NULL:
        return
    queue_leave(engine, session)
    log_unqueued(engine, session)
    if slot != NO_SLOT:
        queue_pass_on(engine, slot)
