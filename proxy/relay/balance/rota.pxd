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

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc

from proxy.relay.state.server_types cimport Rota, RotaGroup, WeightClass

cdef extern from *:
    int lowest_bit "__builtin_ctzll"(unsigned long long word) noexcept nogil

cdef enum:
    WORD_BITS = 64
    HELD_BACKUP = 0x8000  # in `Rota.held`; the rest is the weight
    WEIGHTS_MAX = 256  # different ones: more than this no server has
    NO_POSITION = 0xFFFFFFFF


cdef inline Rota *rota_make(uint32_t positions, bint first_only) noexcept nogil:
    """A rota without members, for so many servers; NULL without memory."""
    cdef Rota *rota = <Rota *>calloc(1, sizeof(Rota))
    if rota == NULL:
        return NULL
    rota.words = (positions + WORD_BITS - 1) // WORD_BITS
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
            free(rota.groups[kind].classes[index].words)
        free(rota.groups[kind].classes)
    free(rota.held)
    free(rota)


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
    found.members = 0
    found.words = <uint64_t *>calloc(rota.words, sizeof(uint64_t) + sizeof(uint32_t))
    if found.words == NULL:
        return NULL
    found.sums = <uint32_t *>(found.words + rota.words)
    group.count += 1
    return found


cdef inline void class_drop(RotaGroup *group, WeightClass *former) noexcept nogil:
    """A class lost its last member."""
    free(former.words)
    group.count -= 1
    former[0] = group.classes[group.count]


cdef inline void class_count(
        Rota *rota, WeightClass *members, uint32_t position, int32_t change) noexcept nogil:
    """Add a member, or take it away."""
    cdef uint32_t word = position // WORD_BITS + 1
    members.words[word - 1] ^= <uint64_t>1 << position % WORD_BITS
    members.members += change
    while word <= rota.words:
        members.sums[word - 1] += change
        word += word & (~word + 1)


cdef inline uint32_t class_member(
        const Rota *rota, const WeightClass *members, uint32_t rank) noexcept nogil:
    """The position of the member that so many others of its class come before."""
    cdef uint32_t step = 1
    cdef uint32_t word = 0
    cdef uint64_t bits
    while step * 2 <= rota.words:
        step *= 2
    while step != 0:
        if word + step <= rota.words and members.sums[word + step - 1] <= rank:
            word += step
            rank -= members.sums[word - 1]
        step //= 2
    bits = members.words[word]
    while rank != 0:
        bits &= bits - 1
        rank -= 1
    return word * WORD_BITS + lowest_bit(bits)


cdef inline void group_sum(RotaGroup *group) noexcept nogil:
    """Count the turns of a round: of each member its weight, by what all weights have in common."""
    cdef uint32_t divisor = 0
    cdef uint32_t index, first, second
    cdef uint64_t total = 0
    group.members = 0
    for index in range(group.count):
        first = group.classes[index].weight
        group.members += group.classes[index].members
        total += <uint64_t>first * group.classes[index].members
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
    class_count(rota, members, position, change)
    if members.members == 0:
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
    return rota.first_only and group == &rota.groups[1]


cdef inline uint64_t rota_entries(const Rota *rota) noexcept nogil:
    """The turns of a round; 0: no server takes sessions."""
    cdef const RotaGroup *group = group_in_use(rota)
    return min(group.entries, <uint64_t>1) if only_first(rota, group) else group.entries


cdef inline uint32_t rota_members(const Rota *rota) noexcept nogil:
    """How many servers have turns."""
    cdef const RotaGroup *group = group_in_use(rota)
    return min(group.members, <uint32_t>1) if only_first(rota, group) else group.members


cdef inline uint32_t rota_weight(const Rota *rota, uint32_t position) noexcept nogil:
    """The weight of a server that has turns; 0 of any other."""
    cdef uint16_t held = rota.held[position]
    if (held & HELD_BACKUP != 0) != (rota.groups[0].members == 0):
        return 0
    return held & ~HELD_BACKUP


cdef inline uint64_t class_turns(
        const RotaGroup *group, const WeightClass *members) noexcept nogil:
    """How many turns of a round a class has."""
    return <uint64_t>members.members * (members.weight // group.divisor)


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


cdef inline uint32_t class_at(
        const Rota *rota, const WeightClass *members, uint64_t turn) noexcept nogil:
    """The position of the member that has a turn of its class: they follow each other in rounds."""
    return class_member(rota, members, <uint32_t>(turn % members.members))


cdef inline uint32_t nth_at(
        const Rota *rota, const RotaGroup *group, uint64_t place, uint64_t number) noexcept nogil:
    """Of the servers that belong at one place, one of each class at most, the `number`-th."""
    cdef uint32_t found[WEIGHTS_MAX]
    cdef uint32_t index, at, position
    cdef uint32_t count = 0
    cdef uint64_t turn
    for index in range(group.count):
        turn = class_before(group, &group.classes[index], place)
        if class_before(group, &group.classes[index], place + 1) == turn:
            continue
        position = class_at(rota, &group.classes[index], turn)
        at = count
        while at > 0 and found[at - 1] > position:
            found[at] = found[at - 1]
            at -= 1
        found[at] = position
        count += 1
    return found[number]


cdef inline uint32_t first_member(const Rota *rota, const RotaGroup *group) noexcept nogil:
    """The first member in the order of the file."""
    cdef uint32_t first = NO_POSITION
    cdef uint32_t index
    for index in range(group.count):
        first = min(first, class_member(rota, &group.classes[index], 0))
    return first


cdef inline uint32_t rota_turn(const Rota *rota, uint64_t turn) noexcept nogil:
    """The position in the backend of the server whose turn it is, of `rota_entries` turns."""
    cdef const RotaGroup *group = group_in_use(rota)
    cdef uint64_t place
    if only_first(rota, group):
        return first_member(rota, group)
    if group.count == 1:
        return class_at(rota, group.classes, turn)
    place = place_of(group, turn)
    return nth_at(rota, group, place, turn - group_before(group, place))
