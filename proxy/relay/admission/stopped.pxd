# Listeners that a limit stops: their tickets, their order, and which worker hears of a free place.
#
# Tickets are turns. A bind address's next turn is one above its last one, and no lower than the
# turn that was served last anywhere, so addresses that clients wait at are served one client each
# in turn, whatever the number of their sockets and workers, and one without clients before comes in
# at the present turn (start-time fair queueing, Goyal, Vin and Cheng 1996). Both words only grow.
#
# Nothing is missed: a worker that stops a listener publishes its ticket, fences and looks once
# more; one that gives a place back fences, reads the tickets, and rings the worker that has the
# lowest, if there is a place still. Taking a ticket back, and a turn without use, do the same.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.admission.admission cimport limit_free, limit_next, limit_total
from proxy.relay.admission.ahead cimport word_of_row
from proxy.relay.state.server_places cimport Waiting, ticket_publish
from proxy.relay.state.syscalls cimport POLLIN, poll, pollfd, ring_bell
from proxy.relay.state.types cimport LIMIT_DESCRIPTORS, LIMIT_RATE, Engine, Limit, Listener
from shm.atomics cimport advance_to, load_acquire, load_relaxed, raise_to


cdef inline bint clients_wait(const Listener *listener) noexcept nogil:
    """Whether a client is in the kernel's queue."""
    cdef pollfd descriptor
    descriptor.fd = listener.fd
    descriptor.events = POLLIN
    descriptor.revents = 0
    return poll(&descriptor, 1, 0) != 0


cdef inline void limit_publish(Engine *engine, Limit *limit) noexcept nogil:
    """Publish the next ticket of this worker; none during a pause: no other waits for its end."""
    if limit.kind == LIMIT_DESCRIPTORS:
        return
    ticket_publish(
        limit.waited, word_of_row(engine, engine.worker, limit.published), engine.worker,
        0 if limit.first == NULL or engine.resume_ms != 0 else limit.first.ticket)


cdef inline void limit_link(Engine *engine, Limit *limit) noexcept nogil:
    limit.previous = NULL
    limit.next = engine.stopping
    if limit.next != NULL:
        limit.next.previous = limit
    engine.stopping = limit
    engine.rates_stopping += limit.kind == LIMIT_RATE


cdef inline void limit_unlink(Engine *engine, Limit *limit) noexcept nogil:
    if limit.next != NULL:
        limit.next.previous = limit.previous
    if limit.previous != NULL:
        limit.previous.next = limit.next
    else:
        engine.stopping = limit.next
    engine.rates_stopping -= limit.kind == LIMIT_RATE


cdef inline void stop_enter(Engine *engine, Listener *listener, Limit *limit) noexcept nogil:
    """Put a listener among those that a limit stops, by its ticket; it looks once more."""
    cdef Listener *before = limit.last
    if limit.first == NULL:
        limit_link(engine, limit)
    while before != NULL and before.ticket > listener.ticket:
        before = before.previous
    listener.stopped_by = limit
    listener.previous = before
    listener.next = limit.first if before == NULL else before.next
    if listener.next != NULL:
        listener.next.previous = listener
    else:
        limit.last = listener
    if before != NULL:
        before.next = listener
    else:
        limit.first = listener
    limit_publish(engine, limit)
    limit_free(engine, limit)


cdef inline void stop_leave(Engine *engine, Listener *listener) noexcept nogil:
    """Take a listener out from among those that are stopped; the next one hears of it."""
    cdef Limit *limit = listener.stopped_by
    if listener.next != NULL:
        listener.next.previous = listener.previous
    else:
        limit.last = listener.previous
    if listener.previous != NULL:
        listener.previous.next = listener.next
    else:
        limit.first = listener.next
    listener.stopped_by = NULL
    if limit.first == NULL:
        limit_unlink(engine, limit)
    limit_publish(engine, limit)
    limit_free(engine, limit)


cdef inline void ticket_take(Engine *engine, Listener *listener) noexcept nogil:
    """The next turn of the listener's bind address."""
    listener.ticket = advance_to(
        &engine.view.turns[1 + listener.bind], load_relaxed(&engine.view.turns[0]))


cdef inline void turn_served(Engine *engine, Listener *listener) noexcept nogil:
    """A stopped listener has got a client: its next one has the next turn, if one waits."""
    cdef Limit *limit = listener.stopped_by
    raise_to(&engine.view.turns[0], listener.ticket)
    stop_leave(engine, listener)
    if clients_wait(listener):
        ticket_take(engine, listener)
        stop_enter(engine, listener, limit)


cdef inline void limits_look(Engine *engine) noexcept nogil:
    """Look at the end of the turn at every limit that stops a listener of this worker."""
    cdef Limit *limit = engine.stopping
    while limit != NULL:
        limit_free(engine, limit)
        limit = limit.next


cdef inline void ahead_look(Engine *engine) noexcept nogil:
    """Look at the end of the turn at places that were taken ahead, if another wants such."""
    cdef uint64_t asked = load_acquire(&engine.view.frontends_shared.ahead_asked)
    cdef Limit *limit = engine.reserving
    if asked == engine.ahead_seen:
        return
    engine.ahead_seen = asked
    while limit != NULL:
        limit_free(engine, limit)
        limit = limit.next_reserving


cdef inline void limits_publish(Engine *engine) noexcept nogil:
    """A pause has begun or ended: this worker's turns pass to others, or come back."""
    cdef Limit *limit = engine.stopping
    while limit != NULL:
        limit_publish(engine, limit)
        limit = limit.next
    limits_look(engine)


cdef inline void limit_tell(Engine *engine, Limit *limit) noexcept nogil:
    """Ring the worker of the lowest ticket, if there is a place for it; after a fence."""
    cdef Waiting lowest
    if limit.kind == LIMIT_DESCRIPTORS or engine.workers == 1:
        return
    lowest = limit_next(engine, limit)
    if lowest.ticket == 0 or lowest.worker == engine.worker:
        return
    if limit_total(engine, limit) < limit.most:
        ring_bell(engine.relay_bells[lowest.worker])
