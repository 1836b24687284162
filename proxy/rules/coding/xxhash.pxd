# xxHash of 32 and of 64 bits, with a seed (github.com/Cyan4973/xxHash, doc/xxhash_spec.md). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from * nogil:
    """
    static const uint32_t XX32[] = {
        2654435761U, 2246822519U, 3266489917U, 668265263U, 374761393U};
    static const uint64_t XX64[] = {
        11400714785074694791ULL, 14029467366897019727ULL, 1609587929392839161ULL,
        9650029242287828579ULL, 2870177450012600261ULL};
    """
    const uint32_t XX32[5]
    const uint64_t XX64[5]


cdef inline uint32_t word_at(const unsigned char *bytes) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, bytes, 4)  # x86 has the order of bytes that the specification wants
    return word


cdef inline uint64_t long_at(const unsigned char *bytes) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, bytes, 8)
    return word


cdef inline uint32_t left32(uint32_t value, int bits) noexcept nogil:
    return value << bits | value >> (32 - bits)


cdef inline uint64_t left64(uint64_t value, int bits) noexcept nogil:
    return value << bits | value >> (64 - bits)


cdef inline uint32_t xxh32(
        const unsigned char *bytes, size_t length, uint32_t seed) noexcept nogil:
    cdef uint32_t lanes[4]
    cdef uint32_t hashed = seed + XX32[4]
    cdef size_t rest = length
    cdef int lane
    if length >= 16:
        lanes[0], lanes[1] = seed + XX32[0] + XX32[1], seed + XX32[1]
        lanes[2], lanes[3] = seed, seed - XX32[0]
        while rest >= 16:
            for lane in range(4):
                lanes[lane] = left32(lanes[lane] + word_at(bytes + 4 * lane) * XX32[1], 13)
                lanes[lane] *= XX32[0]
            bytes += 16
            rest -= 16
        hashed = (
            left32(lanes[0], 1) + left32(lanes[1], 7) + left32(lanes[2], 12)
            + left32(lanes[3], 18))
    hashed += <uint32_t>length
    while rest >= 4:
        hashed = left32(hashed + word_at(bytes) * XX32[2], 17) * XX32[3]
        bytes += 4
        rest -= 4
    while rest:
        hashed = left32(hashed + bytes[0] * XX32[4], 11) * XX32[0]
        bytes += 1
        rest -= 1
    hashed = (hashed ^ hashed >> 15) * XX32[1]
    hashed = (hashed ^ hashed >> 13) * XX32[2]
    return hashed ^ hashed >> 16


cdef inline uint64_t lane_round(uint64_t lane, uint64_t word) noexcept nogil:
    return left64(lane + word * XX64[1], 31) * XX64[0]


cdef inline uint64_t xxh64(
        const unsigned char *bytes, size_t length, uint64_t seed) noexcept nogil:
    cdef uint64_t lanes[4]
    cdef uint64_t hashed = seed + XX64[4]
    cdef size_t rest = length
    cdef int lane
    if length >= 32:
        lanes[0], lanes[1] = seed + XX64[0] + XX64[1], seed + XX64[1]
        lanes[2], lanes[3] = seed, seed - XX64[0]
        while rest >= 32:
            for lane in range(4):
                lanes[lane] = lane_round(lanes[lane], long_at(bytes + 8 * lane))
            bytes += 32
            rest -= 32
        hashed = (
            left64(lanes[0], 1) + left64(lanes[1], 7) + left64(lanes[2], 12)
            + left64(lanes[3], 18))
        for lane in range(4):
            hashed = (hashed ^ lane_round(0, lanes[lane])) * XX64[0] + XX64[3]
    hashed += length
    while rest >= 8:
        hashed = left64(hashed ^ lane_round(0, long_at(bytes)), 27) * XX64[0] + XX64[3]
        bytes += 8
        rest -= 8
    if rest >= 4:
        hashed = left64(hashed ^ word_at(bytes) * XX64[0], 23) * XX64[1] + XX64[2]
        bytes += 4
        rest -= 4
    while rest:
        hashed = left64(hashed ^ bytes[0] * XX64[4], 11) * XX64[0]
        bytes += 1
        rest -= 1
    hashed = (hashed ^ hashed >> 33) * XX64[1]
    hashed = (hashed ^ hashed >> 29) * XX64[2]
    return hashed ^ hashed >> 32
