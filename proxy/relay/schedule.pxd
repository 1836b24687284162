# The weight schedule of a backend: which server's turn each ticket is. Pure but for its allocation.
#
# Every worker builds the same schedule from the same slots, so one shared ticket counter makes the
# round robin exact over all of them: within `entries` tickets each server has its turns, as many
# as its weight says after division by the greatest common divisor. The turns of a server are
# spread evenly; servers of equal weight share the gaps evenly among themselves, so that equal
# weights give the order of the file. Counting sort by position: linear in the entries.
#
# Building reads the segment only and may run in any thread. A schedule never changes afterwards.

from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from proxy.relay.types cimport Schedule
from shm.atomics cimport load_acquire
from shm.eligibility cimport ServerView, server_view
from shm.segment cimport View

cdef enum:
    # 10,000 servers of weights 1..256 still get their proportions within 3 %; 1 MiB a schedule
    SCHEDULE_ENTRIES_MAX = 262144
    WEIGHT_MAX = 256

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
        Schedule *schedule, const View *view, uint32_t backend, int hold) noexcept nogil:
    """Note the eligible servers of one kind, with their weights."""
    cdef ServerView server
    cdef uint32_t first = view.backends[backend].first_slot
    cdef uint32_t slot
    for slot in range(first, first + view.backends[backend].slots):
        if not server_view(view, slot, &server):
            continue
        if not server.eligible or server.backup != (hold != HOLD_ACTIVE):
            continue
        schedule.member_slots[schedule.members] = slot
        schedule.member_weights[schedule.members] = server.weight
        schedule.members += 1
        if hold == HOLD_FIRST_BACKUP:
            return


cdef inline uint64_t reduce_weights(Schedule *schedule) noexcept nogil:
    """Divide the weights by what they have in common, scale them below the limit; their sum."""
    cdef uint32_t divisor = 0
    cdef uint64_t total = 0
    cdef uint64_t reduced = 0
    cdef uint32_t member, weight
    for member in range(schedule.members):
        divisor = greatest_divisor(schedule.member_weights[member], divisor)
    for member in range(schedule.members):
        schedule.member_weights[member] //= divisor
        total += schedule.member_weights[member]
    schedule.member_weight = schedule.member_weights[0]
    for member in range(schedule.members):
        weight = schedule.member_weights[member]
        if total > SCHEDULE_ENTRIES_MAX:
            weight = <uint32_t>(<uint64_t>weight * SCHEDULE_ENTRIES_MAX // total)
            weight = max(weight, <uint32_t>1)
            schedule.member_weights[member] = weight
        reduced += weight
        schedule.weight_max = max(schedule.weight_max, weight)
        if weight != schedule.member_weight:
            schedule.member_weight = 0
    return reduced


cdef inline uint64_t turn_position(
        uint64_t entries, uint32_t weight, uint32_t turn, uint32_t rank,
        uint32_t peers) noexcept nogil:
    """Where the `turn`-th turn of a server belongs; `rank` of `peers` servers of its weight."""
    return (2 * <uint64_t>peers * turn + 2 * rank + 1) * entries // (2 * <uint64_t>peers * weight)


cdef inline void spread_turns(
        Schedule *schedule, uint32_t *counts, uint32_t *peers) noexcept nogil:
    """Fill `slots` in the order of the turns' positions; `counts` and `peers` come zeroed."""
    cdef uint32_t ranks[WEIGHT_MAX + 1]
    cdef uint32_t member, weight, turn, before, here
    cdef uint64_t position
    cdef int placing
    for member in range(schedule.members):
        peers[schedule.member_weights[member]] += 1
    for placing in range(2):  # first count the turns of each position, then put them there
        memset(ranks, 0, sizeof(ranks))
        for member in range(schedule.members):
            weight = schedule.member_weights[member]
            for turn in range(weight):
                position = turn_position(
                    schedule.entries, weight, turn, ranks[weight], peers[weight])
                if placing:
                    schedule.slots[counts[position]] = schedule.member_slots[member]
                counts[position] += 1
            ranks[weight] += 1
        if not placing:
            before = 0
            for member in range(schedule.entries):
                here = counts[member]
                counts[member] = before
                before += here


cdef inline Schedule *schedule_build(
        const View *view, uint32_t backend, uint8_t allbackups) noexcept nogil:
    """A schedule of the servers that are eligible now; NULL without memory."""
    cdef Schedule *schedule = <Schedule *>calloc(1, sizeof(Schedule))
    cdef uint32_t room = view.backends[backend].slots + 1
    cdef uint32_t *counts
    cdef uint32_t peers[WEIGHT_MAX + 1]
    if schedule == NULL:
        return NULL
    schedule.generation = load_acquire(&view.backends[backend].generation)
    schedule.member_slots = <uint32_t *>malloc(room * sizeof(uint32_t))
    schedule.member_weights = <uint32_t *>malloc(room * sizeof(uint32_t))
    if schedule.member_slots == NULL or schedule.member_weights == NULL:
        schedule_free(schedule)
        return NULL
    collect_members(schedule, view, backend, HOLD_ACTIVE)
    if schedule.members == 0:
        collect_members(schedule, view, backend, HOLD_BACKUPS if allbackups else HOLD_FIRST_BACKUP)
    if schedule.members == 0:
        return schedule
    schedule.entries = <uint32_t>reduce_weights(schedule)
    schedule.slots = <uint32_t *>malloc(schedule.entries * sizeof(uint32_t))
    counts = <uint32_t *>calloc(schedule.entries, sizeof(uint32_t))
    if schedule.slots == NULL or counts == NULL:
        free(counts)
        schedule_free(schedule)
        return NULL
    memset(peers, 0, sizeof(peers))
    spread_turns(schedule, counts, peers)
    free(counts)
    return schedule


cdef inline void schedule_free(Schedule *schedule) noexcept nogil:
    if schedule == NULL:
        return
    free(schedule.slots)
    free(schedule.member_slots)
    free(schedule.member_weights)
    free(schedule)
