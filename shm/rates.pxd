# Rates of sessions, which all workers count together: one line, whatever their number.
#
# What came is counted by second in two words, this second's and that of the one before, each with
# its second in the high half. The rate of a moment is what was counted in this second, and of the
# one before it the part that is less than a second ago: as in HAProxy, in whole sessions rounded
# down.
#
# A count goes up by one compare and exchange, which fails if the word has moved since it was
# judged. So that the other word holds still meanwhile, the first worker in a second closes the one
# before: none counts there any more. A worker whose clock is behind, because it was just stopped,
# counts in the second in which others do already, as at its beginning. So no interleaving lets one
# too many in where the rate is limited, and a worker that is killed anywhere leaves at most one
# that was counted and did not come, for as long as its second counts. What was counted for nothing
# is taken back where it was counted, also from a second that is closed: that may let others wait a
# moment longer, never in.

from libc.stdint cimport int64_t, uint64_t

from shm.atomics cimport load_acquire, swap_word

cdef enum:
    SECOND_MS = 1000
    CLOSED = 0x80000000  # none counts in this second any more
    COUNT = 0x7FFFFFFF  # how many came; the limits that a configuration takes go up to it


cdef inline uint64_t second_of(int64_t now_ms) noexcept nogil:
    """The number of a second; 0: none yet."""
    return <uint64_t>now_ms // SECOND_MS + 1


cdef inline uint64_t came_in(uint64_t word, uint64_t second) noexcept nogil:
    return word & COUNT if word >> 32 == second else 0


cdef inline uint64_t sliding(uint64_t current, uint64_t former, int64_t now_ms) noexcept nogil:
    """The rate of a moment, of the numbers of its second and of the one before."""
    cdef uint64_t passed_ms = <uint64_t>now_ms % SECOND_MS
    return current + former * (SECOND_MS - passed_ms) // SECOND_MS


cdef inline uint64_t second_begin(uint64_t *seconds, uint64_t second) noexcept nogil:
    """Close the second before; the one to count in: this, or a later one that has begun."""
    cdef uint64_t word
    while True:
        word = load_acquire(&seconds[(second - 1) & 1])
        if word >> 32 >= second:
            second = word >> 32
            continue
        if word >> 32 == second - 1 and word & <uint64_t>CLOSED != 0:
            return second
        if swap_word(
                &seconds[(second - 1) & 1], word,
                (second - 1) << 32 | <uint64_t>CLOSED | came_in(word, second - 1)):
            return second


cdef inline uint64_t rate_now(const uint64_t *seconds, int64_t now_ms) noexcept nogil:
    """How many came within the second that ends now."""
    cdef uint64_t second = second_of(now_ms)
    cdef uint64_t newest = max(
        load_acquire(&seconds[0]) >> 32, load_acquire(&seconds[1]) >> 32)
    if newest > second:  # others' clocks are ahead
        second = newest
        now_ms = 0
    return sliding(
        came_in(load_acquire(&seconds[second & 1]), second),
        came_in(load_acquire(&seconds[(second - 1) & 1]), second - 1), now_ms)


cdef inline uint64_t rate_take(
        uint64_t *seconds, uint64_t limit, int64_t now_ms, uint64_t *where) noexcept nogil:
    """Count one more: how many came then within a second; `where`: in which it was counted.

    0, and nothing is counted, where that is over the limit.
    """
    cdef uint64_t asked = second_of(now_ms)
    cdef uint64_t second = asked, word, former, total
    while True:
        second = second_begin(seconds, second)
        former = load_acquire(&seconds[(second - 1) & 1])
        word = load_acquire(&seconds[second & 1])
        if former >> 32 != second - 1 or word >> 32 > second or (
                word >> 32 == second and word & <uint64_t>CLOSED != 0):
            second += 1
            continue
        total = sliding(
            came_in(word, second) + 1, former & COUNT, now_ms if second == asked else 0)
        if total > min(limit, <uint64_t>COUNT):
            return 0
        if swap_word(
                &seconds[second & 1], word, second << 32 | (came_in(word, second) + 1)):
            where[0] = second
            return total


cdef inline void rate_count(uint64_t *seconds, int64_t now_ms) noexcept nogil:
    """One more, where nothing is limited."""
    cdef uint64_t where
    rate_take(seconds, COUNT, now_ms, &where)


cdef inline void rate_give(uint64_t *seconds, uint64_t second) noexcept nogil:
    """One that was counted in this second did not come."""
    cdef uint64_t word = load_acquire(&seconds[second & 1])
    while came_in(word, second) != 0 and not swap_word(
            &seconds[second & 1], word, word - 1):
        word = load_acquire(&seconds[second & 1])


cdef inline void second_add(uint64_t *seconds, uint64_t second, uint64_t more) noexcept nogil:
    """Count so many in a second, closed or not, if it is still one of the two."""
    cdef uint64_t word = load_acquire(&seconds[second & 1])
    while word >> 32 <= second and not swap_word(
            &seconds[second & 1], word, (
                word & ~<uint64_t>COUNT if word >> 32 == second else second << 32)
            | min(came_in(word, second) + more, <uint64_t>COUNT)):
        word = load_acquire(&seconds[second & 1])


cdef inline void rate_add(
        uint64_t *seconds, const uint64_t *others, int64_t now_ms) noexcept nogil:
    """Count also those of the last two seconds that others have counted by themselves."""
    cdef uint64_t second = second_begin(seconds, second_of(now_ms))
    second_add(seconds, second - 1, came_in(load_acquire(&others[(second - 1) & 1]), second - 1))
    second_add(seconds, second, came_in(load_acquire(&others[second & 1]), second))
