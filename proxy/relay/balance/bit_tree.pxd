# A set of numbers below a limit, as bits: which is the n-th, and which is the next one behind
# another? Pure but for its allocation.
#
# Beside each word of bits stands a count, and the counts are a tree (Fenwick): the w-th has all
# bits of as many words up to w as w's lowest bit says. So a number that comes or goes costs in
# proportion to the logarithm of the limit, and so does the n-th.

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from proxy.relay.state.server_types cimport BitTree

cdef extern from *:
    int lowest_bit "__builtin_ctzll"(unsigned long long word) noexcept nogil
    int leading_zeros "__builtin_clzll"(unsigned long long word) noexcept nogil
    int bit_count "__builtin_popcountll"(unsigned long long word) noexcept nogil

cdef enum:
    WORD_BITS = 64
    NO_POSITION = 0xFFFFFFFF


cdef inline bint tree_make(BitTree *tree, uint32_t limit) noexcept nogil:
    """The empty set of numbers below a limit; False without memory."""
    tree.words = (limit + WORD_BITS - 1) // WORD_BITS
    tree.members = 0
    tree.bits = <uint64_t *>calloc(tree.words + 1, sizeof(uint64_t) + sizeof(uint32_t))
    tree.sums = <uint32_t *>(tree.bits + tree.words)
    return tree.bits != NULL


cdef inline void tree_free(BitTree *tree) noexcept nogil:
    free(tree.bits)
    tree.bits = NULL


cdef inline bint tree_has(const BitTree *tree, uint32_t position) noexcept nogil:
    """Whether a number is in the set."""
    return tree.bits[position // WORD_BITS] >> position % WORD_BITS & 1


cdef inline void tree_flip(BitTree *tree, uint32_t position, int32_t change) noexcept nogil:
    """Add a number (1), or take it away (-1)."""
    cdef uint32_t word = position // WORD_BITS + 1
    tree.bits[word - 1] ^= <uint64_t>1 << position % WORD_BITS
    tree.members += change
    while word <= tree.words:
        tree.sums[word - 1] += change
        word += word & (~word + 1)


cdef inline uint32_t tree_nth(const BitTree *tree, uint32_t rank) noexcept nogil:
    """The number of the set that so many others of it are below."""
    cdef uint32_t step = 1
    cdef uint32_t word = 0
    cdef uint64_t bits
    while step * 2 <= tree.words:
        step *= 2
    while step != 0:
        if word + step <= tree.words and tree.sums[word + step - 1] <= rank:
            word += step
            rank -= tree.sums[word - 1]
        step //= 2
    bits = tree.bits[word]
    while rank != 0:
        bits &= bits - 1
        rank -= 1
    return word * WORD_BITS + lowest_bit(bits)


cdef inline uint32_t tree_next(const BitTree *tree, uint32_t position) noexcept nogil:
    """The lowest number of the set that is not below `position`; NO_POSITION: none."""
    cdef uint32_t word = position // WORD_BITS
    cdef uint64_t bits
    if word >= tree.words:
        return NO_POSITION
    bits = tree.bits[word] & ~<uint64_t>0 << position % WORD_BITS
    while bits == 0:
        word += 1
        if word == tree.words:
            return NO_POSITION
        bits = tree.bits[word]
    return word * WORD_BITS + lowest_bit(bits)


cdef inline uint32_t tree_previous(const BitTree *tree, uint32_t position) noexcept nogil:
    """The highest number of the set that is below `position`; NO_POSITION: none."""
    cdef uint32_t word = position // WORD_BITS
    cdef uint64_t bits = 0
    if position % WORD_BITS != 0:
        bits = tree.bits[word] & (<uint64_t>1 << position % WORD_BITS) - 1
    while bits == 0:
        if word == 0:
            return NO_POSITION
        word -= 1
        bits = tree.bits[word]
    return word * WORD_BITS + WORD_BITS - 1 - leading_zeros(bits)


cdef inline uint32_t tree_below(const BitTree *tree, uint32_t position) noexcept nogil:
    """How many numbers of the set are below `position`."""
    cdef uint32_t word = position // WORD_BITS
    cdef uint32_t found = 0
    if position % WORD_BITS != 0:
        found = bit_count(tree.bits[word] & (<uint64_t>1 << position % WORD_BITS) - 1)
    while word != 0:
        found += tree.sums[word - 1]
        word &= word - 1
    return found
