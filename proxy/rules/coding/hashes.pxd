# Hashes of bytes, as HAProxy's converters name them (manual section 7.3.1). Pure.
#
# djb2 is Daniel Bernstein's, sdbm that of the database library of the name, wt6 Willy Tarreau's;
# crc32 is that of IEEE 802.3, crc32c Castagnoli's (RFC 3720, appendix B.4).

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

from proxy.rules.codes cimport *

cdef enum:
    DJB2_START = 5381
    # Bob Jenkins' mixing leaves the top bits of its result alone: the lower ones reach them so
    AVALANCHE_FACTOR = 0xC0000001


cdef inline uint32_t avalanche(uint32_t value) noexcept nogil:
    """Bob Jenkins' full avalanche of four bytes (burtleburtle.net/bob/hash/integer.html)."""
    value = (value + <uint32_t>0x7ED55D16) + (value << 12)
    value = (value ^ <uint32_t>0xC761C23C) ^ (value >> 19)
    value = (value + <uint32_t>0x165667B1) + (value << 5)
    value = (value + <uint32_t>0xD3A2646C) ^ (value << 9)
    value = (value + <uint32_t>0xFD7046C5) + (value << 3)
    value = (value ^ <uint32_t>0xB55A4F09) ^ (value >> 16)
    return value * <uint32_t>AVALANCHE_FACTOR


cdef inline uint32_t djb2(const unsigned char *bytes, size_t length) noexcept nogil:
    cdef uint32_t hashed = DJB2_START
    cdef size_t at
    for at in range(length):
        hashed = hashed * 33 + bytes[at]
    return hashed


cdef inline uint32_t sdbm(const unsigned char *bytes, size_t length) noexcept nogil:
    cdef uint32_t hashed = 0
    cdef size_t at
    for at in range(length):
        hashed = bytes[at] + (hashed << 6) + (hashed << 16) - hashed
    return hashed


cdef inline uint32_t turned(uint32_t value, uint32_t bits) noexcept nogil:
    """A rotation to the left, by 0 to 31 bits."""
    return value << bits | value >> (32 - bits & 31)


cdef inline uint32_t wt6(const unsigned char *bytes, size_t length) noexcept nogil:
    cdef uint32_t one = 0xA53C965A, other = 0x5CA6953A, left = 6, right = 18, mixed
    cdef size_t at
    for at in range(length):
        one = ~(one ^ bytes[at])
        other = ~(other + bytes[at])
        mixed = turned(other, left)
        other = turned(one, right)
        one = mixed
        mixed = (one >> 16 ^ other) & 0xFFFF
        left = mixed & 31
        right = mixed >> 11
    return one ^ other


cdef inline uint32_t crc(
        const unsigned char *bytes, size_t length, uint32_t polynomial) noexcept nogil:
    """Bits from the low end; `polynomial` is reversed."""
    cdef uint32_t hashed = 0xFFFFFFFF
    cdef size_t at
    for at in range(length):
        hashed ^= bytes[at]
        for _ in range(8):
            hashed = hashed >> 1 ^ (polynomial & (0 - (hashed & 1)))
    return ~hashed


cdef inline uint32_t short_hash(
        int what, const unsigned char *bytes, size_t length) noexcept nogil:
    """The hash of 32 bits that a converter names."""
    if what == CONVERT_DJB2:
        return djb2(bytes, length)
    if what == CONVERT_SDBM:
        return sdbm(bytes, length)
    if what == CONVERT_WT6:
        return wt6(bytes, length)
    return crc(bytes, length, 0xEDB88320 if what == CONVERT_CRC32 else 0x82F63B78)
