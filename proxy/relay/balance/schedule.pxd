# The schedule of a backend: its usable servers, laid out where a rota does not have their order
# (proxy/members/laid_out.py says where). Pure but for its allocation.
#
# Every worker builds the same schedule from the same slots, so one shared ticket counter makes the
# round robin exact over all of them: within `entries` tickets each server has its turns, as many
# as its weight says after division by the greatest common divisor (turns.pxd). The weights of
# static-rr and of a map of hashes are the configured ones. What a rota names turn by turn it has,
# too (`SCHEDULE_TURNS`): the tests hold the one against the other.
#
# Building reads the segment only and may run in any thread. A schedule never changes afterwards.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from proxy.relay.balance.turns cimport SCHEDULE_WEIGHT_MAX, map_turns, spread_turns
from proxy.relay.state.server_types cimport Schedule
from proxy.relay.state.types cimport SCHEDULE_MAP, SCHEDULE_ORDER
from shm.atomics cimport load32_acquire, load_acquire
from shm.eligibility cimport ServerView, server_view
from shm.segment cimport View

cdef enum:
    # 10,000 servers of weights 1..256 still get their proportions within 3 %; 1 MiB a schedule
    SCHEDULE_ENTRIES_MAX = 262144
    MAP_STEPS_MAX = 67108864  # members x entries: 0.1 s; beyond it a map has spread turns

cdef enum:  # which servers a schedule holds
    HOLD_ACTIVE = 0
    HOLD_FIRST_BACKUP = 1
    HOLD_BACKUPS = 2


cdef inline uint32_t greatest_divisor(uint32_t first, uint32_t second) noexcept nogil:
    cdef uint32_t rest
    while second != 0:
        rest = first % second
        first = second
        second = rest
    return first


cdef inline void collect_members(
        Schedule *schedule, const View *view, uint32_t backend, int kind,
        int hold) noexcept nogil:
    """Note the eligible servers of one kind, with their weights."""
    cdef ServerView server
    cdef uint32_t first = view.backends[backend].first_slot
    cdef uint32_t slot
    for slot in range(first, first + schedule.span):
        if not server_view(view, slot, &server):
            continue
        if not server.eligible or server.backup != (hold != HOLD_ACTIVE):
            continue
        schedule.member_slots[schedule.members] = slot
        schedule.member_weights[schedule.members] = (
            view.statics[slot].weight if kind == SCHEDULE_MAP else server.weight)
        schedule.members += 1
        if hold == HOLD_FIRST_BACKUP:
            return


cdef inline uint64_t weigh(Schedule *schedule) noexcept nogil:
    """The sum of the members' weights."""
    cdef uint64_t total = 0
    cdef uint32_t member
    for member in range(schedule.members):
        total += schedule.member_weights[member]
    return total


cdef inline void reduce_weights(Schedule *schedule) noexcept nogil:
    """Divide the weights by what they have in common."""
    cdef uint32_t divisor = 0
    cdef uint32_t member
    for member in range(schedule.members):
        divisor = greatest_divisor(schedule.member_weights[member], divisor)
    for member in range(schedule.members):
        schedule.member_weights[member] //= divisor


cdef inline void limit_weights(Schedule *schedule, uint64_t total_max) noexcept nogil:
    """Scale the weights down to a sum that is not much larger than `total_max`."""
    cdef uint64_t total = weigh(schedule)
    cdef uint32_t member, weight
    if total <= total_max:
        return
    for member in range(schedule.members):
        weight = <uint32_t>(schedule.member_weights[member] * total_max // total)
        schedule.member_weights[member] = max(weight, <uint32_t>1)


cdef inline bint lay_turns(Schedule *schedule, int kind) noexcept nogil:
    """Allocate and fill `slots` with turns; False without memory."""
    cdef uint32_t peers[SCHEDULE_WEIGHT_MAX + 1]
    cdef uint32_t *counts
    cdef int64_t *earned
    schedule.entries = <uint32_t>weigh(schedule)
    schedule.slots = <uint32_t *>malloc(schedule.entries * sizeof(uint32_t))
    counts = <uint32_t *>calloc(schedule.entries, sizeof(uint32_t))
    earned = <int64_t *>calloc(schedule.members, sizeof(int64_t))
    if schedule.slots == NULL or counts == NULL or earned == NULL:
        free(counts)
        free(earned)
        return False
    if kind == SCHEDULE_MAP and (
            <uint64_t>schedule.members * schedule.entries <= MAP_STEPS_MAX
            and schedule.entries != schedule.members):
        map_turns(schedule, earned)
    else:
        memset(peers, 0, sizeof(peers))
        spread_turns(schedule, counts, peers)
    free(counts)
    free(earned)
    return True


cdef inline void sort_words(uint64_t *words, uint64_t *spare, uint32_t count) noexcept nogil:
    """Sort by the upper 32 bits; equal ones stay in their order. `spare` is as long as `words`."""
    cdef uint32_t starts[256]
    cdef uint64_t *source = words
    cdef uint64_t *target = spare
    cdef uint32_t index, before, here
    cdef int shift, digit
    for shift in range(32, 64, 8):
        memset(starts, 0, sizeof(starts))
        for index in range(count):
            starts[source[index] >> shift & 255] += 1
        before = 0
        for digit in range(256):
            here = starts[digit]
            starts[digit] = before
            before += here
        for index in range(count):
            digit = source[index] >> shift & 255
            target[starts[digit]] = source[index]
            starts[digit] += 1
        source, target = target, source  # four passes: the last one ends in `words`


cdef inline bint lay_order(Schedule *schedule, const View *view) noexcept nogil:
    """Sort the members by their id; False without memory."""
    cdef uint64_t *words = <uint64_t *>malloc(2 * <size_t>schedule.members * sizeof(uint64_t))
    cdef uint32_t member, slot
    if words == NULL:
        return False
    for member in range(schedule.members):
        slot = schedule.member_slots[member]
        words[member] = <uint64_t>view.statics[slot].id << 32 | slot
    sort_words(words, words + schedule.members, schedule.members)
    for member in range(schedule.members):
        schedule.member_slots[member] = <uint32_t>words[member]
    free(words)
    return True


cdef inline bint lay_out(Schedule *schedule, const View *view, int kind) noexcept nogil:
    """What the members are laid out in for this kind; False without memory."""
    if kind == SCHEDULE_ORDER:
        return lay_order(schedule, view)
    reduce_weights(schedule)
    limit_weights(schedule, SCHEDULE_ENTRIES_MAX)
    return lay_turns(schedule, kind)


cdef inline Schedule *schedule_build(
        const View *view, uint32_t backend, int kind, uint8_t allbackups) noexcept nogil:
    """A schedule of the servers that are eligible now; NULL without memory."""
    cdef Schedule *schedule = <Schedule *>calloc(1, sizeof(Schedule))
    cdef uint32_t room
    if schedule == NULL:
        return NULL
    schedule.generation = load_acquire(&view.backends[backend].generation)
    schedule.span = load32_acquire(&view.backends[backend].slots)
    room = schedule.span + 1
    schedule.member_slots = <uint32_t *>malloc(room * sizeof(uint32_t))
    schedule.member_weights = <uint32_t *>malloc(room * sizeof(uint32_t))
    if schedule.member_slots == NULL or schedule.member_weights == NULL:
        schedule_free(schedule)
        return NULL
    collect_members(schedule, view, backend, kind, HOLD_ACTIVE)
    if schedule.members == 0:
        collect_members(
            schedule, view, backend, kind, HOLD_BACKUPS if allbackups else HOLD_FIRST_BACKUP)
    if schedule.members != 0 and not lay_out(schedule, view, kind):
        schedule_free(schedule)
        return NULL
    return schedule


cdef inline void schedule_free(Schedule *schedule) noexcept nogil:
    if schedule == NULL:
        return
    free(schedule.slots)
    free(schedule.member_slots)
    free(schedule.member_weights)
    free(schedule)
