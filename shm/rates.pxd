# Windows of a rate: what was counted in this second and in the one before it, and a sliding second.
#
# The word of a second names it, so that a reader of another process's never takes an old number for
# a new one. The rate of a moment is what was counted in this second, and of the one before it the
# part that is less than a second ago: as in HAProxy, in whole sessions rounded down.

from libc.stdint cimport int64_t, uint64_t

from shm.atomics cimport load_relaxed, store_relaxed
from shm.rows cimport RateWindow

cdef enum:
    SECOND_MS = 1000
    COUNT_MASK = 0xFFFFFFFF


cdef inline uint64_t counted_in(const RateWindow *window, uint64_t second) noexcept nogil:
    cdef uint64_t word = load_relaxed(&window.seconds[second & 1])
    return word & COUNT_MASK if word >> 32 == second else 0


cdef inline void rate_count(RateWindow *window, int64_t now_ms) noexcept nogil:
    """One more in the present second."""
    cdef uint64_t second = <uint64_t>now_ms // SECOND_MS
    store_relaxed(&window.seconds[second & 1], (second << 32) + counted_in(window, second) + 1)


cdef inline uint64_t rate_sliding(
        uint64_t current, uint64_t former, int64_t now_ms) noexcept nogil:
    """The rate of a moment, of the numbers of its second and of the one before."""
    cdef uint64_t passed_ms = <uint64_t>now_ms % SECOND_MS
    return current + former * (SECOND_MS - passed_ms) // SECOND_MS
