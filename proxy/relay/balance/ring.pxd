# The ring of consistent hashing: where the nodes of each server stand, and which one is nearest.
#
# As HAProxy was seen to do it: a server has sixteen nodes for each unit of weight, the n-th at the
# avalanche of 4096 x id + n, and a client belongs to the node nearest to its number, the one
# before it on a tie. So servers keep their clients while others come, go or change their weight,
# and two programs with the same ids agree. Pure; memory is the caller's.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from proxy.rules.coding.hashes cimport avalanche
from proxy.relay.state.server_types cimport Schedule
from shm.segment cimport View

cdef enum:
    RING_NODES_MAX = 1048576  # 8 MiB; above it the weights are scaled down, at least a node each
    NODES_EACH_MAX = 4096  # 256 units of weight


cdef inline void place_nodes(Schedule *schedule, const View *view, uint64_t *nodes) noexcept nogil:
    """Write key and slot of each node, in no order; a member's weight counts its nodes."""
    cdef uint32_t member, node, id
    cdef uint32_t entry = 0
    for member in range(schedule.members):
        id = view.statics[schedule.member_slots[member]].id
        for node in range(schedule.member_weights[member]):
            nodes[entry] = <uint64_t>avalanche(id * <uint32_t>NODES_EACH_MAX + node) << 32 | (
                schedule.member_slots[member])
            entry += 1


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


cdef inline uint32_t node_at_or_after(const Schedule *schedule, uint32_t key) noexcept nogil:
    """The first node whose key is not below `key`; the first of all behind the last."""
    cdef uint32_t low = 0
    cdef uint32_t high = schedule.entries
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if schedule.keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return 0 if low == schedule.entries else low


cdef inline bint nearer_before(
        const Schedule *schedule, uint32_t before, uint32_t after, uint32_t key) noexcept nogil:
    """Whether the node before a key is the nearest one, around the ring's end if need be."""
    return <uint32_t>(key - schedule.keys[before]) <= <uint32_t>(schedule.keys[after] - key)
