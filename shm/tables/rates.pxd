# Counters of stick tables, and rates over a period as HAProxy has them.
#
# A rate is two words of {tick in ms, count}. The first is the period that runs, from its first
# event on; the second, of the same tick, is how many events the one before had. A period that is
# over becomes the one before; with a pause of a period between them, the next begins with its
# first event. The rate is the count of the running period and of the part of the one before that
# is less than a period ago. The second word is stored before the first one changes: a writer that
# dies in between has changed nothing that a reader looks at. A count of more than 32 bits stays at
# the highest.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport load_acquire, swap_word

cdef enum:
    EVENTS_LIMIT = 0xFFFFFFFF
    AHEAD_MS = 60_000  # a tick so far in the future is another process's, later than this one's now


cdef inline uint64_t rate_word(uint32_t tick, uint32_t events) noexcept nogil:
    return <uint64_t>tick << 32 | events


cdef inline void rate_add(
        uint64_t *words, uint32_t period_ms, int64_t now_ms, uint32_t events) noexcept nogil:
    """Count events; under a hold."""
    cdef uint32_t now = <uint32_t>now_ms, elapsed, tick
    cdef uint64_t running, before
    while True:
        running = load_acquire(&words[0])
        elapsed = now - <uint32_t>(running >> 32)
        if running != 0 and (elapsed < period_ms or 0 - elapsed < <uint32_t>AHEAD_MS):
            before = min(<uint32_t>running + <uint64_t>events, <uint64_t>EVENTS_LIMIT)
            if swap_word(&words[0], running, rate_word(running >> 32, <uint32_t>before)):
                return
            continue
        tick, before = now, 0
        if running != 0 and elapsed < 2 * <uint64_t>period_ms:
            tick, before = now - (elapsed - period_ms), <uint32_t>running
        while not swap_word(&words[1], load_acquire(&words[1]), rate_word(tick, <uint32_t>before)):
            pass
        if swap_word(&words[0], running, rate_word(tick, events)):
            return


cdef inline uint32_t rate_read(
        const uint64_t *words, uint32_t period_ms, int64_t now_ms) noexcept nogil:
    """Events of the last period."""
    cdef uint64_t running = load_acquire(&words[0]), before = load_acquire(&words[1])
    cdef uint64_t count = <uint32_t>running, past = 0
    cdef int64_t left = <int64_t>period_ms - <int>(<uint32_t>now_ms - <uint32_t>(running >> 32))
    if before >> 32 == running >> 32:
        past = <uint32_t>before
    if left <= 0:
        past, count, left = count, 0, left + period_ms
        if left < 0:
            return 0
    if past <= 1 and count == 0:
        return <uint32_t>past  # so that one event per period is not seen as none
    return <uint32_t>min(count + past * <uint64_t>left // period_ms, <uint64_t>EVENTS_LIMIT)
