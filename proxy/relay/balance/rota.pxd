# The rota of a backend: whose turn it is, found for each turn and laid out nowhere. Pure but for
# its allocation.
#
# The order is that of `spread_turns` (turns.pxd), so all workers that know the same servers name
# the same one for a ticket. The members of one weight, a class, take turns at even distances: the
# j-th of its n turns in a round of `entries` belongs at (2j + 1) x entries / 2n. So how many turns
# of all classes lie before a position is a sum over the classes, by which the position of any turn
# is found, and which member of a class has it is a look into a tree of counts.
#
# A server that comes, goes or has another weight costs in proportion to the number of weights and
# to the logarithm of the number of servers.

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from proxy.relay.balance.bit_tree cimport (
    NO_POSITION, tree_below, tree_flip, tree_free, tree_make, tree_next, tree_nth)
from proxy.relay.balance.ring cimport TAIL_CELLS, ring_free, ring_lay, ring_make, ring_shift
from proxy.relay.state.server_types cimport Ring, Rota, RotaGroup, WeightClass

cdef enum:
    HELD_BACKUP = 0x8000  # in `Rota.held`; the rest is the weight
    WEIGHTS_MAX = 4096  # different ones: 256, in sixteenths while servers warm up


cdef inline Rota *rota_make(uint32_t positions, bint first_only) noexcept nogil:
    """A rota without members, for so many servers; NULL without memory."""
    cdef Rota *rota = <Rota *>calloc(1, sizeof(Rota))
    if rota == NULL:
        return NULL
    rota.positions = positions
    rota.first_only = first_only
    rota.held = <uint16_t *>calloc(positions + 1, sizeof(uint16_t))
    if rota.held == NULL:
        free(rota)
        return NULL
    return rota


cdef inline void rota_free(Rota *rota) noexcept nogil:
    cdef uint32_t index
    cdef int kind
    if rota == NULL:
        return
    for kind in range(2):
        for index in range(rota.groups[kind].count):
            tree_free(&rota.groups[kind].classes[index].tree)
        free(rota.groups[kind].classes)
    if rota.rings != NULL:
        ring_free(&rota.rings[0])
        ring_free(&rota.rings[1])
    free(rota.rings)
    free(rota.held)
    free(rota)


cdef inline bint rota_add_rings(Rota *rota, uint64_t weight) noexcept nogil:
    """Its servers, of this weight by the file in sixteenths, get nodes; False without memory."""
    cdef int kind
    rota.ring_weight = weight
    rota.rings = <Ring *>calloc(2, sizeof(Ring))
    if rota.rings == NULL:
        return False
    for kind in range(2):
        if not ring_make(&rota.rings[kind], rota.positions):
            return False
        rota.rings[kind].shift = ring_shift(weight, 0)
    return ring_lay(
        &rota.rings[0], <uint32_t>(2 * (weight >> rota.rings[0].shift)), TAIL_CELLS) >= 0


cdef inline WeightClass *class_of(
        Rota *rota, RotaGroup *group, uint32_t weight) noexcept nogil:
    """The members of a weight, none at first; NULL without memory."""
    cdef WeightClass *found
    cdef uint32_t index
    for index in range(group.count):
        if group.classes[index].weight == weight:
            return &group.classes[index]
    found = <WeightClass *>realloc(group.classes, (group.count + 1) * sizeof(WeightClass))
    if found == NULL:
        return NULL
    group.classes = found
    found = &group.classes[group.count]
    found.weight = weight
    if not tree_make(&found.tree, rota.positions):
        return NULL
    group.count += 1
    return found


cdef inline void class_drop(RotaGroup *group, WeightClass *former) noexcept nogil:
    """A class lost its last member."""
    tree_free(&former.tree)
    group.count -= 1
    former[0] = group.classes[group.count]


cdef inline void group_sum(RotaGroup *group) noexcept nogil:
    """Count the turns of a round: of each member its weight, by what all weights have in common."""
    cdef uint32_t divisor = 0
    cdef uint32_t index, first, second
    cdef uint64_t total = 0
    group.members = 0
    for index in range(group.count):
        first = group.classes[index].weight
        group.members += group.classes[index].tree.members
        total += <uint64_t>first * group.classes[index].tree.members
        second = divisor
        while second != 0:
            first, second = second, first % second
        divisor = first
    group.divisor = divisor
    group.entries = 0 if divisor == 0 else total // divisor


cdef inline bint group_move(
        Rota *rota, RotaGroup *group, uint32_t position, uint32_t weight,
        int32_t change) noexcept nogil:
    """A member of this weight comes or goes; False without memory."""
    cdef WeightClass *members = class_of(rota, group, weight)
    if members == NULL:
        return False
    tree_flip(&members.tree, position, change)
    if members.tree.members == 0:
        class_drop(group, members)
    group_sum(group)
    return True


cdef inline bint rota_set(
        Rota *rota, uint32_t position, uint32_t weight, bint backup) noexcept nogil:
    """A server has this weight, 0: it takes no sessions. False without memory: it gets no turns."""
    cdef uint16_t former = rota.held[position]
    cdef uint16_t wanted = <uint16_t>(weight | HELD_BACKUP if backup else weight) if weight else 0
    if former == wanted:
        return True
    if former != 0:
        rota.held[position] = 0
        group_move(
            rota, &rota.groups[former & HELD_BACKUP != 0], position, former & ~HELD_BACKUP, -1)
    if wanted != 0:
        if not group_move(rota, &rota.groups[backup], position, weight, 1):
            return False
        rota.held[position] = wanted
    return True


cdef inline const RotaGroup *group_in_use(const Rota *rota) noexcept nogil:
    """The active servers; the backups only without any."""
    return &rota.groups[rota.groups[0].members == 0]


cdef inline bint only_first(const Rota *rota, const RotaGroup *group) noexcept nogil:
    """Whether one backup alone takes the sessions."""
    return rota.first_only and group == &rota.groups[1] and group.members != 0


cdef inline uint64_t rota_entries(const Rota *rota) noexcept nogil:
    """The turns of a round; 0: no server takes sessions."""
    cdef const RotaGroup *group = group_in_use(rota)
    return min(group.entries, <uint64_t>1) if only_first(rota, group) else group.entries


cdef inline uint32_t rota_members(const Rota *rota) noexcept nogil:
    """How many servers have turns."""
    cdef const RotaGroup *group = group_in_use(rota)
    return min(group.members, <uint32_t>1) if only_first(rota, group) else group.members


cdef inline uint64_t group_weight(const RotaGroup *group) noexcept nogil:
    """The weight of all members."""
    return group.entries * group.divisor


cdef inline uint32_t weight_held(const Rota *rota, uint32_t position, int kind) noexcept nogil:
    """The weight of a server as one of the active ones (0) or of the backups (1)."""
    cdef uint16_t held = rota.held[position]
    return held & ~HELD_BACKUP if (held & HELD_BACKUP != 0) == kind else 0


cdef inline uint32_t group_next(const RotaGroup *group, uint32_t position) noexcept nogil:
    """The first member at a position or behind it, in the order of the file; NO_POSITION: none."""
    cdef uint32_t first = NO_POSITION
    cdef uint32_t index
    for index in range(group.count):
        first = min(first, tree_next(&group.classes[index].tree, position))
    return first


cdef inline uint32_t first_member(const RotaGroup *group) noexcept nogil:
    """The first member in the order of the file."""
    return group_next(group, 0)


cdef inline uint32_t rota_next(const Rota *rota, uint32_t position) noexcept nogil:
    """The first server with turns at a position or behind it; NO_POSITION: none."""
    cdef const RotaGroup *group = group_in_use(rota)
    if only_first(rota, group) and position != 0:
        return NO_POSITION
    return group_next(group, position)


cdef inline uint32_t rota_only(const Rota *rota) noexcept nogil:
    """The one backup that takes all sessions; NO_POSITION: it is not so."""
    cdef const RotaGroup *group = group_in_use(rota)
    return first_member(group) if only_first(rota, group) else NO_POSITION


cdef inline uint32_t rota_weight(const Rota *rota, uint32_t position) noexcept nogil:
    """The weight of a server that has turns; 0 of any other."""
    cdef const RotaGroup *group = group_in_use(rota)
    if only_first(rota, group) and position != first_member(group):
        return 0
    return weight_held(rota, position, group == &rota.groups[1])


cdef inline uint64_t rota_weight_before(const Rota *rota, uint32_t position) noexcept nogil:
    """The weight of all servers with turns that precede one of them in the file."""
    cdef const RotaGroup *group = group_in_use(rota)
    cdef const WeightClass *each
    cdef uint64_t found = 0
    cdef uint32_t index
    if only_first(rota, group):
        return 0
    for index in range(group.count):
        each = &group.classes[index]
        found += <uint64_t>each.weight * tree_below(&each.tree, position)
    return found


cdef inline uint64_t rota_weight_total(const Rota *rota) noexcept nogil:
    """The weight of all servers with turns."""
    cdef const RotaGroup *group = group_in_use(rota)
    return rota_weight(rota, first_member(group)) if only_first(rota, group) else (
        group_weight(group))


cdef inline const Ring *ring_in_use(const Rota *rota) noexcept nogil:
    """The nodes of the servers with turns; NULL where one backup alone has them, or none."""
    cdef const RotaGroup *group = group_in_use(rota)
    cdef const Ring *ring = &rota.rings[group == &rota.groups[1]]
    if only_first(rota, group) or ring.taken.members == 0:
        return NULL
    return ring


cdef inline uint64_t class_turns(
        const RotaGroup *group, const WeightClass *members) noexcept nogil:
    """How many turns of a round a class has."""
    return <uint64_t>members.tree.members * (members.weight // group.divisor)


cdef inline uint64_t class_before(
        const RotaGroup *group, const WeightClass *members, uint64_t place) noexcept nogil:
    """How many of them belong before a place in the round."""
    return (2 * class_turns(group, members) * place + group.entries - 1) // (2 * group.entries)


cdef inline uint64_t group_before(const RotaGroup *group, uint64_t place) noexcept nogil:
    """How many turns of all classes belong before a place in the round."""
    cdef uint64_t found = 0
    cdef uint32_t index
    for index in range(group.count):
        found += class_before(group, &group.classes[index], place)
    return found


cdef inline uint64_t place_of(const RotaGroup *group, uint64_t turn) noexcept nogil:
    """Where a turn belongs: the last place that no more turns than so many lie before.

    Each class is at most half a turn from its share, so only places that near are looked at.
    """
    cdef uint64_t away = group.count // 2
    cdef uint64_t low = turn - away - 1 if turn > away else 0
    cdef uint64_t high = min(group.entries, turn + away + 2)
    cdef uint64_t middle
    while high - low > 1:
        middle = (low + high) // 2
        if group_before(group, middle) <= turn:
            low = middle
        else:
            high = middle
    return low


cdef inline uint32_t class_at(const WeightClass *members, uint64_t turn) noexcept nogil:
    """The position of the member that has a turn of its class: they follow each other in rounds."""
    return tree_nth(&members.tree, <uint32_t>(turn % members.tree.members))


cdef inline uint32_t nth_at(
        const RotaGroup *group, uint64_t place, uint64_t number) noexcept nogil:
    """Of the servers that belong at one place, one of each class at most, the `number`-th."""
    cdef uint32_t found[WEIGHTS_MAX]
    cdef uint32_t index, at, position
    cdef uint32_t count = 0
    cdef uint64_t turn
    for index in range(group.count):
        turn = class_before(group, &group.classes[index], place)
        if class_before(group, &group.classes[index], place + 1) == turn:
            continue
        position = class_at(&group.classes[index], turn)
        at = count
        while at > 0 and found[at - 1] > position:
            found[at] = found[at - 1]
            at -= 1
        found[at] = position
        count += 1
    return found[number]


cdef inline uint32_t rota_turn(const Rota *rota, uint64_t turn) noexcept nogil:
    """The position in the backend of the server whose turn it is, of `rota_entries` turns."""
    cdef const RotaGroup *group = group_in_use(rota)
    cdef uint64_t place
    if only_first(rota, group):
        return first_member(group)
    if group.count == 1:
        return class_at(group.classes, turn)
    place = place_of(group, turn)
    return nth_at(group, place, turn - group_before(group, place))
