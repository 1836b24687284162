# cython: language_level=3, boundscheck=False
"""Workers of the tests that share one limited rate, by the relays' own functions.

`words` are those of the rate: writable memory of two words.
"""

from libc.stdint cimport int64_t, uint64_t

from shm.atomics cimport fetch_add, load_acquire, store_relaxed
from shm.rates cimport rate_add, rate_give, rate_now, rate_take

cdef extern from "<signal.h>" nogil:
    int SIGSTOP
    int stop_myself "raise"(int number)

cdef extern from "<sched.h>" nogil:
    int sched_yield()


def take(uint64_t[::1] words, uint64_t limit, int64_t now_ms, uint64_t[::1] said=None):
    """How many came then (0: it is over the limit), and the second in which this one counts.

    With `said` its process stops right before; there the answer is left, and 1 behind all of it.
    """
    cdef uint64_t where = 0, total
    cdef uint64_t *told = &said[0] if said is not None else NULL
    with nogil:
        if told != NULL:
            stop_myself(SIGSTOP)
        total = rate_take(&words[0], limit, now_ms, &where)
        if told != NULL:
            store_relaxed(&told[1], total)
            store_relaxed(&told[2], where)
            store_relaxed(&told[0], 1)
    return total, where


def give(uint64_t[::1] words, uint64_t second):
    """What was counted in this second is taken back."""
    rate_give(&words[0], second)


def now(uint64_t[::1] words, int64_t now_ms):
    """The rate at this time."""
    return rate_now(&words[0], now_ms)


def add(uint64_t[::1] words, uint64_t[::1] others, int64_t now_ms):
    """Count what others have counted, too."""
    rate_add(&words[0], &others[0], now_ms)


def hammer(
        uint64_t[::1] words, uint64_t limit, uint64_t[::1] clock, int64_t until_ms,
        uint64_t tries_each_ms, uint64_t[:, ::1] found):
    """Take until the common clock, which all move on, says so; how many were taken.

    Workers begin together: `clock` has how many there will be beside it, then how many are there.
    Each worker's own clock is read anew only at times, as that of a relay is. Into `found` goes
    each that was taken: how many came then, the second, and the part of it that had passed.
    """
    cdef uint64_t taken = 0, total, where = 0, tries = 0
    cdef int64_t now_ms = <int64_t>load_acquire(&clock[0])
    with nogil:
        fetch_add(&clock[2], 1)
        while load_acquire(&clock[2]) < clock[1]:
            sched_yield()
        while now_ms < until_ms and taken < <uint64_t>found.shape[0]:
            total = rate_take(&words[0], limit, now_ms, &where)
            if total != 0:
                found[taken][0] = total
                found[taken][1] = where
                found[taken][2] = <uint64_t>(
                    now_ms % 1000 if <uint64_t>(now_ms // 1000 + 1) == where else 0)
                taken += 1
            tries += 1
            if tries % tries_each_ms == 0:
                fetch_add(&clock[0], 1)
            if tries % 16 == 0:
                now_ms = <int64_t>load_acquire(&clock[0])
                sched_yield()
    return taken
