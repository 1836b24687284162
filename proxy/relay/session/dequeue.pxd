# Sessions that wait get their places: the looks at this worker's queues, and what becomes of them.
#
# A look (a review) is due when a session came to a queue or left it, a place was given back, the
# bell rang, the table changed, and every QUEUE_SWEEP_MS. It is made once a turn, after the events.
# Sessions go in the order of their tickets over all workers: where another worker's is lower, this
# one rings its bell, should a place be free. A turn takes so many out of their queues; a queue that
# is long, and whose server goes down or gets many places at once, is emptied over several turns.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.balance.pick cimport any_eligible, pick_any, pick_freed, pick_server
from proxy.relay.balance.queue cimport (
    backend_list, backend_review, queue_leave, queue_pass_on, ring_relay, server_place_take)
from proxy.relay.session.attempt cimport early_kept, session_attempt, session_unpicked
from proxy.relay.session.enter cimport (
    PICK_NONE, PICK_REFUSED, is_direct, may_leave, session_pick)
from proxy.relay.session.session cimport EVENT_ATTEMPT, session_step
from proxy.relay.state.counting cimport count_assigned, count_retry, count_waited
from proxy.relay.state.server_places cimport Waiting, waiting_for_any
from proxy.relay.state.server_view cimport has_address, server_cached, standing_of
from proxy.relay.state.types cimport NO_SLOT, Backend, Engine, Session, Waiter
from shm.atomics cimport fence_full, load_acquire
from shm.eligibility cimport ServerView

cdef enum:
    SERVED_MAX = 128  # sessions taken out of queues in a turn: each may connect


cdef inline bint served_enough(Engine *engine, Backend *backend) noexcept nogil:
    """Whether the rest of a queue is for the next turn."""
    if engine.served < SERVED_MAX:
        return False
    backend_review(engine, backend)
    return True


cdef inline void session_serve(Engine *engine, Session *session, uint32_t slot) noexcept nogil:
    """The session has a place at the server: it leaves its queue and connects."""
    cdef uint64_t waited_ms = engine.now_ms - session.waiter.since_ms
    engine.served += 1
    queue_leave(engine, session)
    session.slot = slot
    count_assigned(engine, session, not is_direct(session))
    count_waited(engine, session, waited_ms)
    session_step(session, EVENT_ATTEMPT)
    session_attempt(engine, session, early_kept(session))


cdef inline void session_move(Engine *engine, Session *session, uint32_t slot) noexcept nogil:
    """The server that the session waits for takes none any more: it seeks another one."""
    cdef int picked
    engine.served += 1
    queue_leave(engine, session)
    session.slot = NO_SLOT
    count_retry(engine, session, slot)
    picked = session_pick(engine, session, slot)
    if picked == PICK_NONE or picked == PICK_REFUSED:
        session_unpicked(engine, session, picked)
    elif session.waiter == NULL:
        session_step(session, EVENT_ATTEMPT)
        session_attempt(engine, session, early_kept(session))


cdef inline bint stays(Engine *engine, Backend *backend) noexcept nogil:
    """Whether those that wait for a server that is away wait on: no other one is there.

    With `option redispatch` they end, as in HAProxy; without it they have `timeout queue`.
    """
    return backend.redispatch == 0 and not any_eligible(engine, backend)


cdef inline bint leaves(
        Engine *engine, Session *session, const ServerView *server) noexcept nogil:
    """Whether a session that waits for a server seeks another one, by what the server is now.

    One that was sent there leaves only with `option redispatch`, when the server has come down
    since it waits.
    """
    if not is_direct(session):
        return not server.eligible and not stays(engine, session.backend)
    if not has_address(engine, session.slot, server):
        return True
    return may_leave(session) and not session.backend.persist and (
        standing_of(server) < session.waiter.standing)


cdef inline bint queue_walk(Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """Look at all that wait for a server once after a change of it; False: the turn is over."""
    cdef const ServerView *server = server_cached(engine, slot, generation)
    cdef Waiter *waiter = engine.limits[slot].queue.first
    cdef Session *session
    if engine.limits[slot].walked == generation + 1:
        return True
    while waiter != NULL:
        session = waiter.session
        if served_enough(engine, session.backend):
            return False
        waiter = waiter.next
        if leaves(engine, session, server):
            session_move(engine, session, slot)
            server = server_cached(engine, slot, generation)
    engine.limits[slot].walked = generation + 1
    return True


cdef inline void server_review(Engine *engine, uint32_t slot) noexcept nogil:
    """Serve those that wait for one server, while it has places and their turn has come."""
    cdef Session *session
    cdef uint64_t generation = load_acquire(&engine.view.header.table_generation)
    if not queue_walk(engine, slot, generation):
        return
    while engine.limits[slot].queue.first != NULL:
        session = engine.limits[slot].queue.first.session
        if served_enough(engine, session.backend):
            return
        if not is_direct(session) and not server_cached(engine, slot, generation).eligible:
            break
        engine.ticket = session.waiter.ticket
        if not server_place_take(engine, slot):
            break
        session_serve(engine, session, slot)
    queue_pass_on(engine, slot)


cdef inline void any_review(Engine *engine, Backend *backend) noexcept nogil:
    """Serve those that wait for any server of a backend."""
    cdef Session *session
    cdef Waiting lowest
    cdef uint32_t slot
    while backend.queue.first != NULL:
        if waiting_for_any(&engine.view, backend.index, engine.now_ms).worker != engine.worker:
            break
        if served_enough(engine, backend):
            return
        session = backend.queue.first.session
        engine.ticket = session.waiter.ticket
        slot = pick_freed(engine, backend)
        if slot == NO_SLOT or not server_place_take(engine, slot):
            slot = pick_server(engine, backend, session.source_hash, NO_SLOT)
            if slot == NO_SLOT or not server_place_take(engine, slot):
                return
        session_serve(engine, session, slot)
    lowest = waiting_for_any(&engine.view, backend.index, engine.now_ms)
    if lowest.ticket == 0:
        return
    engine.ticket = lowest.ticket
    if pick_any(
            engine, backend, NO_SLOT,
            load_acquire(&engine.view.header.table_generation)) != NO_SLOT:
        ring_relay(engine, lowest.worker)


cdef inline void servers_review(Engine *engine, Backend *backend) noexcept nogil:
    """Serve those that wait for certain servers; a server that comes to be waited for is next time.

    A look at one server takes no session out of another's queue.
    """
    cdef uint32_t last = backend.last_waited
    cdef uint32_t place = backend.first_waited
    cdef uint32_t following
    while place != 0:
        following = 0 if place == last else engine.limits[place - 1].next_waited
        server_review(engine, place - 1)
        place = following


cdef inline void queues_review(Engine *engine) noexcept nogil:
    """Look once at every queue of this worker in which a session waits, or has waited."""
    cdef Backend *backend = engine.listed
    cdef Backend *following
    engine.review = False
    engine.listed = NULL
    engine.served = 0
    fence_full()
    while backend != NULL:
        following = backend.next_listed
        backend.listed = False
        if backend.waiting != 0 or backend.review:
            backend.review = False
            servers_review(engine, backend)
            any_review(engine, backend)
        if backend.waiting != 0 or backend.review:
            backend_list(engine, backend)
        backend = following
