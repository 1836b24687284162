# Sums over all workers that may be a moment old: those that a line of the log tells, and by which
# limits move that have no fixed number.
#
# Few workers are added up each time. Of many, whoever finds the sum older than SUM_MS adds up and
# leaves it, with the time, in a shared word for all: so the rows are read so often in a second,
# whatever the number of workers and of sessions. A worker that is killed leaves the former sum.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport load_relaxed, store_relaxed
from shm.segment cimport (
    View, backend_counters, frontend_counters, server_counters, worker_counters)

cdef enum:
    SUM_WORKERS = 8  # so many are few
    SUM_MS = 10


cdef inline uint64_t row_word(
        const View *view, const uint64_t *first, uint32_t row) noexcept nogil:
    """A word of a row; `first` is that of the first row."""
    return load_relaxed(<const uint64_t *>(<const char *>first + row * view.header.row_bytes))


cdef inline uint64_t sum_of_rows(const View *view, const uint64_t *first) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t row
    for row in range(view.header.workers):
        total += row_word(view, first, row)
    return total


cdef inline uint64_t sum_seen(
        const View *view, uint64_t *seen, const uint64_t *first, uint32_t worker,
        int64_t now_ms) noexcept nogil:
    """The sum of a word of all rows, SUM_MS old at most; not below that of this worker."""
    cdef uint64_t word, total
    if view.header.workers <= SUM_WORKERS:
        return sum_of_rows(view, first)
    word = load_relaxed(seen)
    if word != 0 and <uint32_t>now_ms - <uint32_t>(word >> 32) < SUM_MS:
        return max(<uint64_t><uint32_t>word, row_word(view, first, worker))
    total = sum_of_rows(view, first)
    store_relaxed(seen, <uint64_t><uint32_t>now_ms << 32 | total)
    return total


cdef inline uint64_t process_sessions(
        const View *view, uint32_t worker, int64_t now_ms) noexcept nogil:
    return sum_seen(
        view, &view.frontends_shared[0].sessions_seen, &worker_counters(view, 0).sessions, worker,
        now_ms)


cdef inline uint64_t frontend_sessions(
        const View *view, uint32_t frontend, uint32_t worker, int64_t now_ms) noexcept nogil:
    return sum_seen(
        view, &view.frontends_shared[1 + frontend].sessions_seen,
        &frontend_counters(view, 0, frontend).sessions, worker, now_ms)


cdef inline uint64_t backend_sessions(
        const View *view, uint32_t backend, uint32_t worker, int64_t now_ms) noexcept nogil:
    """Sessions of a backend, those that wait included."""
    return sum_seen(
        view, &view.backends[backend].sessions_seen, &backend_counters(view, 0, backend).sessions,
        worker, now_ms)


cdef inline uint64_t server_sessions(
        const View *view, uint32_t slot, uint32_t worker, int64_t now_ms) noexcept nogil:
    return sum_seen(
        view, &view.servers_shared[slot].sessions_seen, &server_counters(view, 0, slot).sessions,
        worker, now_ms)
