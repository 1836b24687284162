# The schedule of a backend: its usable servers, laid out for how the backend balances. Pure but for
# its allocation.
#
# Every worker builds the same schedule from the same slots, so one shared ticket counter makes the
# round robin exact over all of them: within `entries` tickets each server has its turns, as many
# as its weight says after division by the greatest common divisor (turns.pxd; ring.pxd for
# consistent hashing). The weights of static-rr and of a map of hashes are the configured ones.
#
# Building reads the segment only and may run in any thread. A schedule never changes afterwards.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from proxy.relay.balance.ring cimport RING_NODES_MAX, place_nodes, sort_words
from proxy.relay.balance.turns cimport SCHEDULE_WEIGHT_MAX, map_turns, spread_turns
from proxy.relay.state.server_types cimport Schedule
from proxy.relay.state.types cimport (
    SCHEDULE_MAP, SCHEDULE_ORDER, SCHEDULE_RING, SCHEDULE_TURNS)
from shm.atomics cimport load32_acquire, load_acquire
from shm.eligibility cimport WARM_STEP_MS, WARM_STEPS, ServerView, server_view, warmth
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


cdef inline uint32_t warm_weight(
        Schedule *schedule, const ServerView *server, uint32_t slowstart_ms,
        int64_t now_ms) noexcept nogil:
    """The sixteenths of weight that a server has now; notes when they will be more."""
    cdef uint32_t warm = warmth(server.warm_from_ms, slowstart_ms, now_ms)
    cdef int64_t next_ms = now_ms + WARM_STEP_MS
    if warm < WARM_STEPS:
        next_ms -= (now_ms - server.warm_from_ms) % WARM_STEP_MS
        if schedule.warm_next_ms == 0 or next_ms < schedule.warm_next_ms:
            schedule.warm_next_ms = next_ms
    return server.weight * warm


cdef inline void collect_members(
        Schedule *schedule, const View *view, uint32_t backend, int kind, int hold,
        int64_t now_ms) noexcept nogil:
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
            WARM_STEPS * view.statics[slot].weight if kind == SCHEDULE_MAP
            else warm_weight(schedule, &server, view.statics[slot].slowstart_ms, now_ms))
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


cdef inline void note_weights(Schedule *schedule, uint32_t first_slot) noexcept nogil:
    """Keep the members' weights by their position in the backend."""
    cdef uint32_t member, position
    for member in range(schedule.members):
        position = schedule.member_slots[member] - first_slot
        schedule.weights[position] = schedule.member_weights[member]
        schedule.weights_before[position] = schedule.weight_total
        schedule.weight_total += schedule.member_weights[member]


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


cdef inline bint lay_ring(Schedule *schedule, const View *view) noexcept nogil:
    """Allocate and fill `keys` and `slots` with nodes; False without memory."""
    cdef uint64_t *nodes
    cdef uint32_t entry
    cdef bint done = False
    schedule.entries = <uint32_t>weigh(schedule)
    schedule.slots = <uint32_t *>malloc(schedule.entries * sizeof(uint32_t))
    schedule.keys = <uint32_t *>malloc(schedule.entries * sizeof(uint32_t))
    nodes = <uint64_t *>malloc(2 * <size_t>schedule.entries * sizeof(uint64_t))
    if schedule.slots != NULL and schedule.keys != NULL and nodes != NULL:
        place_nodes(schedule, view, nodes)
        sort_words(nodes, nodes + schedule.entries, schedule.entries)
        for entry in range(schedule.entries):
            schedule.keys[entry] = <uint32_t>(nodes[entry] >> 32)
            schedule.slots[entry] = <uint32_t>nodes[entry]
        done = True
    free(nodes)
    return done


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


cdef inline bint lay_out(
        Schedule *schedule, const View *view, uint32_t first_slot, int kind) noexcept nogil:
    """What the members' weights become for this kind; False without memory."""
    cdef bint done = True
    if kind == SCHEDULE_RING:
        limit_weights(schedule, RING_NODES_MAX)
        done = lay_ring(schedule, view)
    else:
        reduce_weights(schedule)
    if kind == SCHEDULE_TURNS or kind == SCHEDULE_MAP:
        limit_weights(schedule, SCHEDULE_ENTRIES_MAX)
        done = lay_turns(schedule, kind)
    elif kind == SCHEDULE_ORDER:
        done = lay_order(schedule, view)
    note_weights(schedule, first_slot)
    return done


cdef inline Schedule *schedule_build(
        const View *view, uint32_t backend, int kind, uint8_t allbackups,
        int64_t now_ms) noexcept nogil:
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
    schedule.weights = <uint32_t *>calloc(room, sizeof(uint32_t))
    schedule.weights_before = <uint64_t *>calloc(room, sizeof(uint64_t))
    if schedule.member_slots == NULL or schedule.member_weights == NULL or (
            schedule.weights == NULL or schedule.weights_before == NULL):
        schedule_free(schedule)
        return NULL
    collect_members(schedule, view, backend, kind, HOLD_ACTIVE, now_ms)
    if schedule.members == 0:
        collect_members(
            schedule, view, backend, kind, HOLD_BACKUPS if allbackups else HOLD_FIRST_BACKUP,
            now_ms)
    if schedule.members != 0 and not lay_out(
            schedule, view, view.backends[backend].first_slot, kind):
        schedule_free(schedule)
        return NULL
    return schedule


cdef inline void schedule_free(Schedule *schedule) noexcept nogil:
    if schedule == NULL:
        return
    free(schedule.slots)
    free(schedule.keys)
    free(schedule.member_slots)
    free(schedule.member_weights)
    free(schedule.weights)
    free(schedule.weights_before)
    free(schedule)
