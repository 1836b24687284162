"""By how much a run comes early: a random part of its period, so that many names spread (M5).

Compiled, because each repeated run draws one. The numbers are no secret.
"""

import os

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef class Jitter:
    """Runs come early by at most a `part` of their period, at multiples of `turn_ms` if allowed.

    Those that begin together need one wake-up.
    """

    def __cinit__(self, int64_t part, int64_t turn_ms):
        self.part = part
        self.turn_ms = turn_ms
        self.state = int.from_bytes(os.urandom(8), "little") | 1

    cpdef int64_t early_ms(self, int64_t period_ms) except -1:
        """A random time up to that part of the period, rounded up to a whole turn if allowed."""
        cdef int64_t most_ms = period_ms // self.part
        cdef int64_t early_ms, past_turn_ms
        self.state ^= self.state >> 12  # xorshift64*
        self.state ^= self.state << 25
        self.state ^= self.state >> 27
        early_ms = <int64_t>(
            ((self.state * <uint64_t>0x2545F4914F6CDD1D) >> 33) % <uint64_t>(most_ms + 1))
        past_turn_ms = (monotonic_ms() + period_ms - early_ms) % self.turn_ms
        return early_ms + past_turn_ms if early_ms + past_turn_ms <= most_ms else early_ms


cdef int64_t monotonic_ms() except -1:
    """CLOCK_MONOTONIC in milliseconds, the clock of all times of resolverd."""
    cdef timespec now
    if clock_gettime(CLOCK_MONOTONIC, &now) < 0:
        raise OSError("clock_gettime")
    return <int64_t>now.tv_sec * 1_000 + now.tv_nsec // 1_000_000
