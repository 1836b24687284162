# How many sessions a second are accepted: windows of the workers' rows, and a sliding second.
#
# Each worker counts what it accepts in a window of its own row (shm/rates.pxd).
#
# As for places (state/server_places.pxd), a worker raises its own number, fences, sums up, and
# steps back from what is over the limit. Knows rows and times, neither sessions nor listeners.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport fence_full, store_relaxed
from shm.rates cimport SECOND_MS, counted_in, rate_count, rate_sliding
from shm.rows cimport RateWindow
from shm.segment cimport View, rate_windows

cdef enum:
    RATE_PROCESS = 0  # which window: that of the process; 1 and more: of the frontends


cdef inline void rate_give(RateWindow *window, int64_t now_ms) noexcept nogil:
    """What was counted at this very time came to nothing."""
    cdef uint64_t second = <uint64_t>now_ms // SECOND_MS
    store_relaxed(&window.seconds[second & 1], (second << 32) + counted_in(window, second) - 1)


cdef inline uint64_t rate_everywhere(
        const View *view, uint32_t index, int64_t now_ms) noexcept nogil:
    """Sessions of the second that ends now, over all workers."""
    cdef uint64_t second = <uint64_t>now_ms // SECOND_MS
    cdef uint64_t current = 0, former = 0
    cdef uint32_t row
    for row in range(view.header.workers):
        current += counted_in(&rate_windows(view, row)[index], second)
        former += counted_in(&rate_windows(view, row)[index], second - 1)
    return rate_sliding(current, former, now_ms)


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
