# A timer wheel for many timers that seldom fire: knows timers and milliseconds, nothing else.
#
# Four levels of 64 positions; a position of level 0 is one tick (4 ms), of each further level 64
# times as much: 256 ms, 16 s, 17 min, 18 h. A timer lies at the position of its due time in the
# lowest level that reaches so far, and is handed out when the clock reaches that position: never
# late by more than a tick, but from a higher level early. The owner then works out the deadline
# again and inserts it anew. So activity costs nothing: a session that moved bytes keeps its place
# and is looked at once when its old deadline comes.
#
# The positions that the clock has reached are set aside (`due`), and their timers are taken one by
# one, over several turns if need be; the clock of the wheel stands still until all have been taken.
# A timer that is set aside can be removed or moved as any other.
#
# `occupied` has a bit for each position that may hold timers; removal leaves it set, and the next
# visit clears it.

from libc.stdint cimport INT64_MAX, int64_t, uint64_t

cdef extern from * nogil:
    """
    static inline int lowest_bit(unsigned long long word) { return __builtin_ctzll(word); }
    """
    int lowest_bit(uint64_t word)

cdef enum:
    WHEEL_LEVELS = 4
    WHEEL_POSITIONS = 64
    WHEEL_TICK_SHIFT = 2  # a tick is 4 ms
    WHEEL_LEVEL_SHIFT = 6

cdef struct Timer:
    Timer *next
    Timer **link  # the pointer that points here; NULL: not in the wheel
    int64_t due_ms

cdef struct Wheel:
    int64_t tick  # all positions up to here have been set aside
    uint64_t occupied[WHEEL_LEVELS]
    uint64_t due[WHEEL_LEVELS]  # a bit for each position of `due_heads` that may hold timers
    Timer *heads[WHEEL_LEVELS][WHEEL_POSITIONS]
    Timer *due_heads[WHEEL_LEVELS][WHEEL_POSITIONS]


cdef inline void wheel_remove(Timer *timer) noexcept nogil:
    """Take a timer out; one that is not in is left alone."""
    if timer.link == NULL:
        return
    timer.link[0] = timer.next
    if timer.next != NULL:
        timer.next.link = timer.link
    timer.link = NULL


cdef inline void wheel_insert(Wheel *wheel, Timer *timer, int64_t due_ms) noexcept nogil:
    """Put a timer in (or move it) so that it is handed out at `due_ms` or somewhat before."""
    cdef int64_t due = (due_ms + (1 << WHEEL_TICK_SHIFT) - 1) >> WHEEL_TICK_SHIFT
    cdef int64_t ahead
    cdef int level = 0
    cdef int64_t position
    cdef Timer **head
    wheel_remove(timer)
    timer.due_ms = due_ms
    if due <= wheel.tick:
        due = wheel.tick + 1
    ahead = due - wheel.tick
    while level < WHEEL_LEVELS - 1 and ahead >= (<int64_t>1 << ((level + 1) * WHEEL_LEVEL_SHIFT)):
        level += 1
    position = due >> (level * WHEEL_LEVEL_SHIFT)
    if position - (wheel.tick >> (level * WHEEL_LEVEL_SHIFT)) > WHEEL_POSITIONS:
        position = (wheel.tick >> (level * WHEEL_LEVEL_SHIFT)) + WHEEL_POSITIONS
    position &= WHEEL_POSITIONS - 1
    head = &wheel.heads[level][position]
    timer.next = head[0]
    timer.link = head
    if timer.next != NULL:
        timer.next.link = &timer.next
    head[0] = timer
    wheel.occupied[level] |= <uint64_t>1 << position


cdef inline uint64_t positions_passed(int64_t former, int64_t current) noexcept nogil:
    """A bit for each position after `former` up to `current`."""
    cdef int64_t count = current - former
    cdef int start = <int>((former + 1) & (WHEEL_POSITIONS - 1))
    cdef uint64_t bits
    if count <= 0:
        return 0
    if count >= WHEEL_POSITIONS:
        return ~<uint64_t>0
    bits = (<uint64_t>1 << count) - 1
    if start == 0:
        return bits
    return (bits << start) | (bits >> (WHEEL_POSITIONS - start))


cdef inline bint wheel_behind(const Wheel *wheel) noexcept nogil:
    """Whether timers that are due have not been taken yet."""
    return wheel.due[0] | wheel.due[1] | wheel.due[2] | wheel.due[3] != 0


cdef inline void wheel_advance(Wheel *wheel, int64_t now_ms) noexcept nogil:
    """Set aside every position that the clock has reached, if no timer of the last ones is left."""
    cdef int64_t tick = now_ms >> WHEEL_TICK_SHIFT
    cdef int64_t former = wheel.tick
    cdef uint64_t due
    cdef int level, position
    cdef Timer *first
    if tick <= former or wheel_behind(wheel):
        return
    for level in range(WHEEL_LEVELS):
        due = wheel.occupied[level] & positions_passed(
            former >> (level * WHEEL_LEVEL_SHIFT), tick >> (level * WHEEL_LEVEL_SHIFT))
        wheel.occupied[level] &= ~due
        wheel.due[level] = due
        while due != 0:
            position = lowest_bit(due)
            due &= due - 1
            first = wheel.heads[level][position]
            wheel.heads[level][position] = NULL
            wheel.due_heads[level][position] = first
            if first != NULL:
                first.link = &wheel.due_heads[level][position]
    wheel.tick = tick


cdef inline Timer *wheel_take(Wheel *wheel) noexcept nogil:
    """The next timer that was set aside; NULL after the last one."""
    cdef Timer *found
    cdef int level, position
    for level in range(WHEEL_LEVELS):
        while wheel.due[level] != 0:
            position = lowest_bit(wheel.due[level])
            found = wheel.due_heads[level][position]
            if found != NULL:
                wheel_remove(found)
                return found
            wheel.due[level] &= wheel.due[level] - 1
    return NULL


cdef inline int64_t wheel_next_ms(const Wheel *wheel) noexcept nogil:
    """When the next position that may hold timers is reached; INT64_MAX without any."""
    cdef int64_t nearest = INT64_MAX
    cdef int64_t position, reached
    cdef uint64_t bits
    cdef int level, start
    if wheel_behind(wheel):
        return wheel.tick << WHEEL_TICK_SHIFT
    for level in range(WHEEL_LEVELS):
        bits = wheel.occupied[level]
        if bits == 0:
            continue
        position = (wheel.tick >> (level * WHEEL_LEVEL_SHIFT)) + 1
        start = <int>(position & (WHEEL_POSITIONS - 1))
        if start != 0:
            bits = (bits >> start) | (bits << (WHEEL_POSITIONS - start))
        reached = (position + lowest_bit(bits)) << (level * WHEEL_LEVEL_SHIFT + WHEEL_TICK_SHIFT)
        nearest = min(nearest, reached)
    return nearest


cdef inline void wheel_start(Wheel *wheel, int64_t now_ms) noexcept nogil:
    """Set an empty wheel to the present."""
    wheel.tick = now_ms >> WHEEL_TICK_SHIFT
