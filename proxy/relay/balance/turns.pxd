# Turns: in which order servers come, each as often as its weight says. Pure.
#
# `spread_turns` puts the turns of a server at even distances; servers of equal weight share the
# gaps evenly among themselves, so that equal weights give the order of the file. Counting sort by
# position: linear in the entries.
#
# `map_turns` is the order that HAProxy was seen to give `static-rr` and `balance source`: at each
# turn every server earns its weight, and the first one in the order of the file that is owed the
# most whole rounds pays one round for the turn. Members times entries.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from proxy.relay.state.server_types cimport Schedule

cdef enum:
    SCHEDULE_WEIGHT_MAX = 256


cdef inline uint64_t turn_position(
        uint64_t entries, uint32_t weight, uint32_t turn, uint32_t rank,
        uint32_t peers) noexcept nogil:
    """Where the `turn`-th turn of a server belongs; `rank` of `peers` servers of its weight."""
    return (2 * <uint64_t>peers * turn + 2 * rank + 1) * entries // (2 * <uint64_t>peers * weight)


cdef inline void spread_turns(
        Schedule *schedule, uint32_t *counts, uint32_t *peers) noexcept nogil:
    """Fill `slots` in the order of the turns' positions; `counts` and `peers` come zeroed."""
    cdef uint32_t ranks[SCHEDULE_WEIGHT_MAX + 1]
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


cdef inline void map_turns(Schedule *schedule, int64_t *earned) noexcept nogil:
    """Fill `slots` in the order of HAProxy's map; `earned` comes zeroed, one word a member."""
    cdef int64_t rounds, owed
    cdef int64_t entries = schedule.entries
    cdef uint32_t entry, member, best
    for entry in range(schedule.entries):
        best = 0
        owed = -1
        for member in range(schedule.members):
            earned[member] += schedule.member_weights[member]
            # never below minus one round, so this is a floor; two comparisons, no division
            rounds = (earned[member] >= 0) + (earned[member] >= entries)
            if rounds > owed:
                owed = rounds
                best = member
        schedule.slots[entry] = schedule.member_slots[best]
        earned[best] -= entries
