# Places at a server: how many sessions it may have over all workers, and which is next.
#
# A server's sessions are the sum of its cells in the gauges (shm/gauges.pxd), each written by its
# worker alone; workers of former generations that finish their sessions have theirs there, too. To
# take a place a worker raises its own cell, fences, and sums up: over the limit it steps back. So
# the sum of places held never exceeds the limit, whichever worker is stopped or killed where.
#
# Sessions that lead to an address that the server has no longer take no place at the present one. A
# cell says of one address, known by a tag that follows from it, how many sessions lead there, and
# how many elsewhere; for any other address the latter count. So two generations that know of
# different addresses need not agree. balance/present.pxd counts.
#
# Where an operator limits a server that has no `maxconn` in the file, a worker has no cell before
# it has seen the order: until then all its sessions count. This is known within a generation only;
# a reload comes after the order was seen everywhere.
#
# Sessions that wait have tickets, drawn from one shared word of the backend. A worker publishes its
# oldest ticket in its row: one for those that wait for any server of the backend, one for those
# that must go to a certain server. A place is for the lowest ticket that wants it; a session that
# has none yet comes last. A worker that shows no life is passed over until it does: what it holds
# counts, what it waits for does not. balance/queue.pxd keeps the sessions, session/dequeue.pxd
# gives them places.
#
# So that nobody looks at the rows of workers without a ticket, a worker sets its bit in a shared
# word of the queue before it publishes one, and clears it after it has taken the last one back. A
# worker that is killed in between leaves a bit without a ticket, until it is settled.
#
# Knows rows and tickets, neither sessions nor bells.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport (
    bits_set, fence_full, fetch_add, load_acquire, load_relaxed, store_relaxed, store_release)
from shm.gauges cimport LINE_ROWS, cell_sessions, cell_step, cell_word
from shm.layout cimport Waited
from shm.rows cimport ServerCounters
from shm.segment cimport (
    Column, View, backend_counters, column_cell, gauges_column, gauges_own_cell, place_freed,
    server_counters, waited_bit, waits_no_more)

cdef extern from *:
    int lowest_bit "__builtin_ctzll"(unsigned long long word) noexcept nogil

cdef enum:
    NO_WORKER = 0xFFFFFFFF
    LIFELESS_MS = 300  # a worker in which a session waits shows life three times in this time

cdef struct Waiting:  # the lowest ticket of some
    uint64_t ticket  # 0: none waits
    uint32_t worker  # whose it is


cdef inline const uint64_t *in_row(
        const View *view, const uint64_t *first, uint32_t row) noexcept nogil:
    """The word of a row that in the first row is this one."""
    return <const uint64_t *>(<const char *>first + row * view.header.row_bytes)


cdef inline void gauge_begin(const View *view, uint32_t worker, uint32_t slot) noexcept nogil:
    """Let this worker's cell have its sessions at a server, of which none was counted yet."""
    cdef ServerCounters *own = server_counters(view, worker, slot)
    store_relaxed(
        gauges_own_cell(view, worker, slot), cell_word(0, 0, load_relaxed(&own.sessions)))
    store_release(&own.gauged, 1)
    place_freed(view, slot)  # who looked meanwhile has counted them twice


cdef inline uint64_t ungauged(const View *view, uint32_t slot) noexcept nogil:
    """Sessions at a server of those workers of this generation that have no cell for it.

    Call it before cells are read: a worker that begins now is counted twice then, not left out.
    """
    cdef const ServerCounters *counters
    cdef uint64_t total = 0
    cdef uint32_t row
    for row in range(view.header.workers):
        counters = server_counters(view, row, slot)
        if load_acquire(&counters.gauged) == 0:
            total += load_relaxed(&counters.sessions)
    return total


cdef inline uint64_t served_by(const View *view, uint32_t slot, uint32_t tag) noexcept nogil:
    """Sessions at a server that has the address of this tag, and those that are just trying."""
    return served_in(view, slot, gauges_column(view, slot), tag)


cdef inline uint64_t served_in(
        const View *view, uint32_t slot, Column column, uint32_t tag) noexcept nogil:
    """The same of a server that has this column."""
    cdef const uint64_t *line = column.line
    cdef uint64_t total = 0
    cdef uint64_t left, place
    if view.statics[slot].maxconn == 0:
        total = ungauged(view, slot)
    left = load_relaxed(&view.gauges.rows)
    while left > LINE_ROWS:
        for place in range(<uint64_t>LINE_ROWS):
            total += cell_sessions(load_relaxed(&line[place]), tag)
        line += column.stride
        left -= LINE_ROWS
    for place in range(left):
        total += cell_sessions(load_relaxed(&line[place]), tag)
    return total


cdef inline uint64_t waiting_everywhere(
        const View *view, uint32_t backend, uint32_t slot, bint at_server) noexcept nogil:
    """Sessions that wait for a certain server, or for any of the backend.

    Only rows of workers are read that have a ticket in the queue.
    """
    cdef const Waited *waited = &view.backends[backend].waited
    cdef const uint64_t *first = &backend_counters(view, 0, backend).queued
    cdef uint64_t bits, total = 0
    cdef uint32_t word
    if at_server:
        waited = &view.servers_shared[slot].waited
        first = &server_counters(view, 0, slot).queued
    for word in range((view.header.workers + 63) // 64):
        bits = load_acquire(&waited.workers[word])
        while bits != 0:
            total += load_relaxed(in_row(view, first, 64 * word + lowest_bit(bits)))
            bits &= bits - 1
    return total


cdef inline void place_raise(
        const View *view, uint32_t worker, uint32_t slot, uint32_t tag) noexcept nogil:
    """One more session of this worker at the address of this tag, limit or not."""
    raise_in(view, worker, slot, gauges_column(view, slot), tag)


cdef inline void raise_in(
        const View *view, uint32_t worker, uint32_t slot, Column column,
        uint32_t tag) noexcept nogil:
    cdef ServerCounters *own = server_counters(view, worker, slot)
    cdef uint64_t *cell = column_cell(column, view.processes[worker].gauges_row)
    cdef uint64_t word = load_relaxed(cell)
    store_relaxed(&own.sessions, load_relaxed(&own.sessions) + 1)
    store_relaxed(cell, word + cell_step(word, tag))


cdef inline uint64_t place_try(
        const View *view, uint32_t worker, uint32_t slot, uint32_t tag,
        uint64_t limit) noexcept nogil:
    """Take a place at a server, which has the address of this tag, for a session of this worker.

    How many sessions it has then; 0 when over all workers there was no place to take. The worker
    has its cell (`gauge_begin`).
    """
    cdef Column column = gauges_column(view, slot)
    cdef uint64_t total
    raise_in(view, worker, slot, column, tag)
    fence_full()
    total = served_in(view, slot, column, tag)
    if total <= limit:
        return total
    place_leave(view, worker, slot, tag)
    return 0


cdef inline void place_leave(
        const View *view, uint32_t worker, uint32_t slot, uint32_t tag) noexcept nogil:
    """Give a place for the address of this tag back.

    Look for the next waiter after a full fence, or the last one is missed.
    """
    cdef ServerCounters *own = server_counters(view, worker, slot)
    cdef uint64_t *cell
    cdef uint64_t word
    if load_relaxed(&own.gauged) != 0:
        cell = gauges_own_cell(view, worker, slot)
        word = load_relaxed(cell)
        store_relaxed(cell, word - cell_step(word, tag))
    store_relaxed(&own.sessions, load_relaxed(&own.sessions) - 1)
    place_freed(view, slot)


cdef inline uint64_t ticket_draw(const View *view, uint32_t backend) noexcept nogil:
    """The next ticket of a backend, from 1."""
    return fetch_add(&view.backends[backend].queue_tickets, 1) + 1


cdef inline bint lifeless(const View *view, uint32_t worker, int64_t now_ms) noexcept nogil:
    """Whether a worker is stopped, or so late that no session should wait for it."""
    return <int64_t>load_relaxed(&view.processes[worker].relay_beat_ms) + LIFELESS_MS < now_ms


cdef inline void lower_ticket(
        const View *view, Waiting *lowest, const uint64_t *word, uint32_t worker,
        int64_t now_ms) noexcept nogil:
    cdef uint64_t ticket = load_relaxed(word)
    if ticket != 0 and (lowest.ticket == 0 or ticket < lowest.ticket) and (
            not lifeless(view, worker, now_ms)):
        lowest.ticket = ticket
        lowest.worker = worker


cdef inline void ticket_publish(
        Waited *waited, uint64_t *word, uint32_t worker, uint64_t ticket) noexcept nogil:
    """Say which ticket of this worker is its lowest in a queue, 0: none; fence before a look."""
    if ticket == 0:
        store_relaxed(word, 0)
        waits_no_more(waited, worker)
        return
    if load_relaxed(&waited.workers[worker // 64]) & waited_bit(worker) == 0:
        bits_set(&waited.workers[worker // 64], waited_bit(worker))
    store_relaxed(word, ticket)


cdef inline Waiting lowest_waiting(
        const View *view, const Waited *waited, const uint64_t *first,
        int64_t now_ms) noexcept nogil:
    """The lowest ticket of a queue; `first` is the word of the first row that publishes it."""
    cdef Waiting lowest
    cdef uint64_t bits
    cdef uint32_t word, row
    lowest.ticket = 0
    lowest.worker = NO_WORKER
    for word in range((view.header.workers + 63) // 64):
        bits = load_acquire(&waited.workers[word])
        while bits != 0:
            row = 64 * word + lowest_bit(bits)
            bits &= bits - 1
            lower_ticket(view, &lowest, in_row(view, first, row), row, now_ms)
    return lowest


cdef inline Waiting waiting_for_any(
        const View *view, uint32_t backend, int64_t now_ms) noexcept nogil:
    """The lowest ticket of those that wait for any server of a backend."""
    return lowest_waiting(
        view, &view.backends[backend].waited,
        &backend_counters(view, 0, backend).queue_ticket, now_ms)


cdef inline Waiting waiting_for_server(
        const View *view, uint32_t slot, int64_t now_ms) noexcept nogil:
    """The lowest ticket of those that wait for a certain server."""
    return lowest_waiting(
        view, &view.servers_shared[slot].waited, &server_counters(view, 0, slot).queue_ticket,
        now_ms)


cdef inline Waiting next_for_place(
        const View *view, uint32_t backend, uint32_t slot, int64_t now_ms) noexcept nogil:
    """Whose turn it is when a place at a server is free."""
    cdef Waiting lowest = waiting_for_any(view, backend, now_ms)
    cdef Waiting at_server = waiting_for_server(view, slot, now_ms)
    if at_server.ticket != 0 and (lowest.ticket == 0 or at_server.ticket < lowest.ticket):
        return at_server
    return lowest
