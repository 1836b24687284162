# The keys of numbers: ranges as blocks of 2^N numbers, networks as first bits. Pure.

from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from proxy.lists.layout cimport first_bits, hash_prefix

cdef extern from * nogil:
    int __builtin_ctzll(unsigned long long number)
    uint64_t __builtin_bswap64(uint64_t number)

cdef enum:
    KIND_RANGE = 0x100  # what is hashed beside the number of bits
    KIND_4 = 0x200
    KIND_6 = 0x300

cdef struct Block:  # numbers whose first bits are the same
    uint64_t start
    int bits


cdef inline uint64_t ordered(long long number) noexcept nogil:
    """A number without sign, in the same order."""
    return <uint64_t>number ^ 0x8000000000000000ULL


cdef inline bint block_next(uint64_t *low, uint64_t high, bint *ended, Block *out) noexcept nogil:
    """Take the largest block from the lower end of a range; False: nothing is left of it."""
    cdef int size
    if ended[0] or low[0] > high:
        return False
    size = __builtin_ctzll(low[0]) if low[0] != 0 else 64
    while size == 64 and high != ~<uint64_t>0 or size < 64 and (
            (<uint64_t>1 << size) - 1 > high - low[0]):
        size -= 1
    out.start = low[0]
    out.bits = 64 - size
    ended[0] = size == 64 or low[0] + (<uint64_t>1 << size) == 0
    if not ended[0]:
        low[0] += <uint64_t>1 << size
    return True


cdef inline uint64_t block_end(const Block *block) noexcept nogil:
    """The last number of a block."""
    return block.start | (~<uint64_t>0 >> block.bits if block.bits < 64 else 0)


cdef inline uint32_t block_hash(uint64_t number, int bits) noexcept nogil:
    return hash_prefix(KIND_RANGE + bits, first_bits(number, bits), 0)


cdef inline uint32_t network_hash(const uint8_t *address, int bytes, int bits) noexcept nogil:
    """Of the first bits of an address of 4 or of 16 bytes."""
    cdef uint64_t high = 0, low = 0
    memcpy(&high, address, 4 if bytes == 4 else 8)
    high = first_bits(__builtin_bswap64(high), min(bits, 64))
    if bytes == 4:
        return hash_prefix(KIND_4 + bits, high, 0)
    memcpy(&low, address + 8, 8)
    return hash_prefix(KIND_6 + bits, high, first_bits(__builtin_bswap64(low), bits - 64))


cdef inline bint bits_equal(const uint8_t *one, const uint8_t *other, int bits) noexcept nogil:
    """Whether two addresses have the same first bits."""
    cdef int at
    for at in range(bits // 8):
        if one[at] != other[at]:
            return False
    return bits % 8 == 0 or ((one[bits // 8] ^ other[bits // 8]) >> (8 - bits % 8)) == 0
