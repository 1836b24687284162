# How many sessions a second are accepted: windows of the workers' rows, and a sliding second.
#
# Each worker counts what it accepts in the current second in a word of its own row; the word names
# its second, so that a reader of another worker's never takes an old number for a new one. The rate
# of a moment is what was counted in this second, and of the one before it the part that is less
# than a second ago: as in HAProxy, in whole sessions rounded down.
#
# As for places (state/server_places.pxd), a worker raises its own number, fences, sums up, and
# steps back from what is over the limit. Knows rows and times, neither sessions nor listeners.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport fence_full, load_relaxed, store_relaxed
from shm.rows cimport RateWindow
from shm.segment cimport View, rate_windows

cdef enum:
    SECOND_MS = 1000
    RATE_PROCESS = 0  # which window: that of the process; 1 and more: of the frontends
    COUNT_MASK = 0xFFFFFFFF


cdef inline uint64_t counted_in(const RateWindow *window, uint64_t second) noexcept nogil:
    cdef uint64_t word = load_relaxed(&window.seconds[second & 1])
    return word & COUNT_MASK if word >> 32 == second else 0


cdef inline void rate_count(RateWindow *window, int64_t now_ms) noexcept nogil:
    """One more in the present second."""
    cdef uint64_t second = <uint64_t>now_ms // SECOND_MS
    store_relaxed(&window.seconds[second & 1], (second << 32) + counted_in(window, second) + 1)


cdef inline void rate_give(RateWindow *window, int64_t now_ms) noexcept nogil:
    """What was counted at this very time came to nothing."""
    cdef uint64_t second = <uint64_t>now_ms // SECOND_MS
    store_relaxed(&window.seconds[second & 1], (second << 32) + counted_in(window, second) - 1)


cdef inline uint64_t rate_everywhere(
        const View *view, uint32_t index, int64_t now_ms) noexcept nogil:
    """Sessions of the second that ends now, over all workers."""
    cdef uint64_t second = <uint64_t>now_ms // SECOND_MS
    cdef uint64_t passed_ms = <uint64_t>now_ms % SECOND_MS
    cdef uint64_t current = 0, former = 0
    cdef uint32_t row
    for row in range(view.header.workers):
        current += counted_in(&rate_windows(view, row)[index], second)
        former += counted_in(&rate_windows(view, row)[index], second - 1)
    return current + former * (SECOND_MS - passed_ms) // SECOND_MS


cdef inline uint64_t rate_take(
        const View *view, uint32_t worker, uint32_t index, uint64_t limit,
        int64_t now_ms) noexcept nogil:
    """Count a session of this worker: how many there are then, over all workers.

    0, and nothing is counted, where that is over the limit.
    """
    cdef RateWindow *own = &rate_windows(view, worker)[index]
    cdef uint64_t total
    rate_count(own, now_ms)
    fence_full()
    total = rate_everywhere(view, index, now_ms)
    if total <= limit:
        return total
    rate_give(own, now_ms)
    return 0
