# cython: language_level=3, boundscheck=False
"""Relays without sockets: the product's own places and tickets, hammered by threads or processes.

Each hammer is one worker that serves one session after the other at one server: it takes a place,
waits for one by its ticket where there is none, and gives it back, and is in the server's hint
meanwhile. `held` has a word for each
worker, 1 while a session of it is served; a worker that sets its own looks at all of them.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.server_places cimport (
    gauge_begin, place_leave, place_try, served_by, ticket_draw, ticket_publish, waiting_for_any)
from shm.atomics cimport fence_full, load_relaxed, store_relaxed
from shm.layout cimport Waited
from shm.segment cimport Segment, View, backend_counters, hint_step

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    TAG = 7  # of the address; the rows have counted none
    LOOKS_WHILE_HELD = 20
    LOOKS_MAX = 20_000_000  # for a place by one ticket: far more than any queue takes


cdef bint wait_for_place(const View *view, uint32_t worker, uint64_t limit) noexcept nogil:
    """Wait until this worker's ticket is the lowest and a place is free; False: for too long."""
    cdef uint64_t *published = &backend_counters(view, worker, 0).queue_ticket
    cdef Waited *waited = &view.backends[0].waited
    cdef uint32_t looks
    ticket_publish(waited, published, worker, ticket_draw(view, 0))
    fence_full()
    for looks in range(LOOKS_MAX):
        if waiting_for_any(view, 0, 0).worker == worker and (
                served_by(view, 0, TAG) < limit and (
                    place_try(view, worker, 0, TAG, limit))):
            ticket_publish(waited, published, worker, 0)
            return True
        sched_yield()
    return False


cdef uint64_t held_together(const uint64_t *held, uint32_t workers) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t worker
    for worker in range(workers):
        total += load_relaxed(&held[worker])
    return total


def hammer(Segment segment, uint32_t worker, uint64_t limit, uint64_t rounds, uint64_t[::1] held):
    """Serve so many sessions: (times that too many were served at once, waits, waits in vain)."""
    cdef const View *view = &segment.view
    cdef uint64_t *own = &held[worker]
    cdef uint32_t workers = view.header.workers
    cdef uint64_t over = 0, waits = 0, lost = 0, number
    with nogil:
        gauge_begin(view, worker, 0)
        for number in range(rounds):
            if waiting_for_any(view, 0, 0).ticket != 0 or (
                    not place_try(view, worker, 0, TAG, limit)):
                waits += 1
                if not wait_for_place(view, worker, limit):
                    lost += 1
                    break
            hint_step(view, worker, 0, 1)
            store_relaxed(own, 1)
            fence_full()
            over += held_together(&held[0], workers) > limit
            sched_yield()
            store_relaxed(own, 0)
            fence_full()
            place_leave(view, worker, 0, TAG)
            hint_step(view, worker, 0, -1)
            fence_full()
    return over, waits, lost


def dash(Segment segment, uint32_t worker, uint64_t limit, uint64_t rounds, uint64_t[::1] held):
    """Try so often, without tickets and without a pause: (times too many were served, served)."""
    cdef const View *view = &segment.view
    cdef uint64_t *own = &held[worker]
    cdef uint32_t workers = view.header.workers
    cdef uint64_t over = 0, served = 0, number
    cdef uint32_t look
    with nogil:
        gauge_begin(view, worker, 0)
        for number in range(rounds):
            if not place_try(view, worker, 0, TAG, limit):
                continue
            served += 1
            store_relaxed(own, 1)
            fence_full()
            for look in range(LOOKS_WHILE_HELD):
                if held_together(&held[0], workers) > limit:
                    over += 1
                    break
            store_relaxed(own, 0)
            fence_full()
            place_leave(view, worker, 0, TAG)
    return over, served


def hint(Segment segment, uint32_t worker, int sessions):
    """Take one step in the hint of the server."""
    hint_step(&segment.view, worker, 0, sessions)


def take(Segment segment, uint32_t worker, uint32_t slot, uint64_t limit):
    """Whether this worker got a place at a server."""
    gauge_begin(&segment.view, worker, slot)
    return bool(place_try(&segment.view, worker, slot, TAG, limit))


def served(Segment segment, uint32_t slot):
    """How many places of a server are taken, over all generations."""
    return served_by(&segment.view, slot, TAG)
