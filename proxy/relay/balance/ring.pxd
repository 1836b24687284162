# The ring of consistent hashing: where the nodes of each server stand, and which one is nearest.
# Pure but for its allocation.
#
# As HAProxy was seen to do it: a server has sixteen nodes for each unit of weight, the n-th at the
# avalanche of 4096 x id + n, and a client belongs to the node nearest to its number, the one
# before it on a tie. So servers keep their clients while others come, go or change their weight,
# and two programs with the same ids agree.
#
# The nodes are in order, with gaps: each is at the cell that its key leads to, or behind it with no
# gap between (linear probing, which keeps an order where keys lead to cells in their order). So a
# server that comes, goes or has another weight costs in proportion to its own nodes. Bits tell
# which cells have one. Only where four fifths of the cells do is all laid out anew, in more.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from proxy.relay.balance.bit_tree cimport (
    NO_POSITION, tree_flip, tree_free, tree_has, tree_make, tree_next, tree_nth, tree_previous)
from proxy.relay.state.server_types cimport Ring
from proxy.rules.coding.hashes cimport avalanche

cdef enum:
    RING_NODES_MAX = 1048576  # of all; above it weights are scaled down, to a node at least
    NODES_EACH_MAX = 4096  # 256 units of weight
    HOMES_MIN = 64
    TAIL_CELLS = 64  # behind the last one that keys lead to, at first


cdef inline bint ring_make(Ring *ring, uint32_t positions) noexcept nogil:
    """A ring without nodes, for so many servers; False without memory."""
    memset(ring, 0, sizeof(Ring))
    ring.positions = positions
    ring.nodes = <uint16_t *>calloc(positions + 1, sizeof(uint16_t))
    ring.ids = <uint32_t *>calloc(positions + 1, sizeof(uint32_t))
    return ring.nodes != NULL and ring.ids != NULL


cdef inline void ring_free(Ring *ring) noexcept nogil:
    free(ring.nodes)
    free(ring.ids)
    free(ring.cells)
    tree_free(&ring.taken)


cdef inline uint32_t ring_shift(uint64_t configured, uint64_t total) noexcept nogil:
    """By how many bits weights are scaled down: those of the file, and their sum at this time.

    The latter counts only beyond twice the limit, so that what comes and goes rarely moves all.
    """
    cdef uint32_t shift = 0
    while configured >> shift > RING_NODES_MAX or total >> shift > 2 * RING_NODES_MAX:
        shift += 1
    return shift


cdef inline uint64_t node_word(uint32_t id, uint32_t node, uint32_t position) noexcept nogil:
    """A node as its cell has it: in the order of the keys, then of the servers."""
    return <uint64_t>avalanche(id * <uint32_t>NODES_EACH_MAX + node) << 32 | position


cdef inline uint32_t home_of(const Ring *ring, uint64_t word) noexcept nogil:
    """The cell that a node's key leads to."""
    return <uint32_t>((word >> 32) * ring.homes >> 32)


cdef inline int64_t node_add(Ring *ring, uint64_t word) noexcept nogil:
    """Put a node in; how many cells were looked at, -1: there is no gap behind it."""
    cdef uint32_t cell = home_of(ring, word)
    cdef uint32_t begin = cell
    cdef uint32_t end
    while tree_has(&ring.taken, cell) and ring.cells[cell] < word:
        cell += 1
        if cell == ring.length:
            return -1
    end = cell
    while tree_has(&ring.taken, end):
        end += 1
        if end == ring.length:
            return -1
    tree_flip(&ring.taken, end, 1)
    begin = end - begin
    while end > cell:
        ring.cells[end] = ring.cells[end - 1]
        end -= 1
    ring.cells[cell] = word
    return begin + 1


cdef inline int64_t node_drop(Ring *ring, uint64_t word) noexcept nogil:
    """Take a node out, if it is there; how many cells were looked at."""
    cdef uint32_t cell = home_of(ring, word)
    cdef uint32_t begin = cell
    while cell < ring.length and tree_has(&ring.taken, cell) and ring.cells[cell] != word:
        cell += 1
    if cell == ring.length or not tree_has(&ring.taken, cell):
        return cell - begin
    while cell + 1 < ring.length and tree_has(&ring.taken, cell + 1) and (
            home_of(ring, ring.cells[cell + 1]) <= cell):
        ring.cells[cell] = ring.cells[cell + 1]
        cell += 1
    tree_flip(&ring.taken, cell, -1)
    return cell - begin + 1


cdef inline int64_t ring_fill(Ring *ring) noexcept nogil:
    """Put in the nodes of all servers; how many cells were looked at, -1: the tail is too short."""
    cdef uint32_t position, node
    cdef int64_t looked
    cdef int64_t total = 0
    for position in range(ring.positions):
        for node in range(ring.nodes[position]):
            looked = node_add(ring, node_word(ring.ids[position], node, position))
            if looked < 0:
                return -1
            total += looked
    return total


cdef inline int64_t ring_lay(Ring *ring, uint32_t homes, uint32_t tail) noexcept nogil:
    """Lay out all nodes anew; how many cells were looked at, -1 without memory."""
    cdef Ring fresh = ring[0]
    cdef int64_t looked = -1
    fresh.homes = max(homes, <uint32_t>HOMES_MIN)
    while looked < 0:
        fresh.length = fresh.homes + tail
        fresh.cells = <uint64_t *>malloc(fresh.length * sizeof(uint64_t))
        if not tree_make(&fresh.taken, fresh.length) or fresh.cells == NULL:
            free(fresh.cells)
            tree_free(&fresh.taken)
            return -1
        looked = ring_fill(&fresh)
        if looked < 0:
            free(fresh.cells)
            tree_free(&fresh.taken)
            tail *= 2
    free(ring.cells)
    tree_free(&ring.taken)
    ring[0] = fresh
    return looked


cdef inline int64_t nodes_drop(Ring *ring, uint32_t position, uint32_t rest) noexcept nogil:
    """Take out a server's nodes but for the first ones; how many cells were looked at."""
    cdef int64_t looked = 0
    while ring.nodes[position] > rest:
        ring.nodes[position] -= 1
        looked += node_drop(
            ring, node_word(ring.ids[position], ring.nodes[position], position))
    return looked


cdef inline int64_t nodes_add(Ring *ring, uint32_t position, uint32_t nodes) noexcept nogil:
    """Give a server more nodes; how many cells were looked at, -1 without memory: it has none."""
    cdef uint32_t former = ring.nodes[position]
    cdef uint32_t all_nodes = ring.taken.members + nodes - former
    cdef int64_t looked = -1
    cdef int64_t total = 0
    cdef uint32_t tail = max(2 * (ring.length - ring.homes), <uint32_t>TAIL_CELLS)
    cdef uint32_t node
    if ring.homes != 0 and all_nodes <= ring.homes // 5 * 4:
        for node in range(former, nodes):
            looked = node_add(ring, node_word(ring.ids[position], node, position))
            if looked < 0:
                break
            total += looked
            ring.nodes[position] += 1
        if looked >= 0:
            return total
    former = ring.nodes[position]
    ring.nodes[position] = <uint16_t>nodes
    looked = ring_lay(ring, 2 * all_nodes, tail)
    if looked < 0:
        ring.nodes[position] = <uint16_t>former
        nodes_drop(ring, position, 0)
    return looked


cdef inline int64_t ring_set(
        Ring *ring, uint32_t position, uint32_t id, uint32_t weight) noexcept nogil:
    """A server has this id and weight in sixteenths, 0: it takes no sessions.

    How many cells were looked at; -1 without memory: it has no nodes.
    """
    cdef uint32_t nodes = max(weight >> ring.shift, <uint32_t>1) if weight else 0
    cdef int64_t looked = 0
    if ring.ids[position] != id:
        looked = nodes_drop(ring, position, 0)
        ring.ids[position] = id
    if nodes < ring.nodes[position]:
        return looked + nodes_drop(ring, position, nodes)
    if nodes == ring.nodes[position]:
        return looked
    return nodes_add(ring, position, nodes)


cdef inline uint32_t node_after(const Ring *ring, uint32_t cell) noexcept nogil:
    """The next node at a cell or behind it, around the ring's end if need be."""
    cdef uint32_t found = tree_next(&ring.taken, cell)
    return tree_next(&ring.taken, 0) if found == NO_POSITION else found


cdef inline uint32_t node_before(const Ring *ring, uint32_t cell) noexcept nogil:
    """The last node before a cell, around the ring's beginning if need be."""
    cdef uint32_t found = tree_previous(&ring.taken, cell)
    return tree_previous(&ring.taken, ring.length) if found == NO_POSITION else found


cdef inline uint32_t key_at(const Ring *ring, uint32_t cell) noexcept nogil:
    return <uint32_t>(ring.cells[cell] >> 32)


cdef inline uint32_t position_at(const Ring *ring, uint32_t cell) noexcept nogil:
    """Whose node it is."""
    return <uint32_t>ring.cells[cell]


cdef inline uint32_t node_at_or_after(const Ring *ring, uint32_t key) noexcept nogil:
    """The first node whose key is not below `key`; the first of all behind the last."""
    cdef uint32_t cell = tree_next(&ring.taken, home_of(ring, <uint64_t>key << 32))
    while cell != NO_POSITION and key_at(ring, cell) < key:
        cell = tree_next(&ring.taken, cell + 1)
    return node_after(ring, 0) if cell == NO_POSITION else cell


cdef inline bint nearer_before(
        const Ring *ring, uint32_t before, uint32_t after, uint32_t key) noexcept nogil:
    """Whether the node before a key is the nearest one, around the ring's end if need be."""
    return <uint32_t>(key - key_at(ring, before)) <= <uint32_t>(key_at(ring, after) - key)


cdef inline uint32_t nth_owner(const Ring *ring, uint32_t turn) noexcept nogil:
    """Whose the n-th node is."""
    return position_at(ring, tree_nth(&ring.taken, turn))
