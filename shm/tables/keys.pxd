# Keys of stick tables: their hash, and how they lie in a cell.
#
# The hash is SipHash-1-3 (Aumasson and Bernstein, 2012) with a seed of the table's own, so that no
# sender can aim at a bucket. A key lies in whole words, filled up with zeros; one of text ends at
# its first zero.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from shm.atomics cimport load_relaxed, store_relaxed
from shm.tables.layout cimport KEY_STRING, Cell, Table

cdef extern from "<string.h>" nogil:
    size_t strnlen(const char *text, size_t length)

cdef struct Key:
    const char *bytes
    size_t length
    uint32_t first  # bucket: the lower one
    uint32_t second
    uint64_t tag

cdef struct SipState:
    uint64_t v0
    uint64_t v1
    uint64_t v2
    uint64_t v3


cdef inline uint64_t rotated(uint64_t word, int bits) noexcept nogil:
    return word << bits | word >> 64 - bits


cdef inline void sip_round(SipState *state) noexcept nogil:
    state.v0 += state.v1
    state.v2 += state.v3
    state.v1 = rotated(state.v1, 13) ^ state.v0
    state.v3 = rotated(state.v3, 16) ^ state.v2
    state.v0 = rotated(state.v0, 32)
    state.v2 += state.v1
    state.v0 += state.v3
    state.v1 = rotated(state.v1, 17) ^ state.v2
    state.v3 = rotated(state.v3, 21) ^ state.v0
    state.v2 = rotated(state.v2, 32)


cdef inline uint64_t key_word(const char *bytes, size_t length, size_t at) noexcept nogil:
    """The word that begins at this byte of the key, filled up with zeros."""
    cdef uint64_t word = 0
    if at < length:
        memcpy(&word, bytes + at, min(length - at, sizeof(word)))
    return word


cdef inline uint64_t sip_hash(
        const uint64_t *seed, const char *bytes, size_t length) noexcept nogil:
    cdef SipState state
    cdef size_t at = 0
    cdef uint64_t word
    cdef int number
    state.v0 = seed[0] ^ 0x736F6D6570736575ULL
    state.v1 = seed[1] ^ 0x646F72616E646F6DULL
    state.v2 = seed[0] ^ 0x6C7967656E657261ULL
    state.v3 = seed[1] ^ 0x7465646279746573ULL
    while True:
        word = key_word(bytes, length, at)
        if length - at < sizeof(word):
            word |= <uint64_t>length << 56
        state.v3 ^= word
        sip_round(&state)
        state.v0 ^= word
        if length - at < sizeof(word):
            break
        at += sizeof(word)
    state.v2 ^= 0xFF
    for number in range(3):
        sip_round(&state)
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3


cdef inline void key_set(
        const Table *table, const char *bytes, size_t length, Key *key) noexcept nogil:
    """Cut to what the table keeps, and find the buckets; the bytes stay the caller's."""
    cdef uint64_t hashed
    cdef uint32_t one, other
    key.bytes = bytes
    key.length = min(length, <size_t>table.key_bytes)
    if table.kind == KEY_STRING:
        key.length = strnlen(bytes, key.length)
    while key.length != 0 and bytes[key.length - 1] == 0:
        key.length -= 1  # what is filled up with zeros is the same key
    hashed = sip_hash(table.seed, bytes, key.length)
    one = <uint32_t>((hashed >> 32) * table.bucket_count >> 32)
    other = <uint32_t>(<uint64_t><uint32_t>hashed * table.bucket_count >> 32)
    key.first, key.second = min(one, other), max(one, other)
    key.tag = hashed * 0x9E3779B97F4A7C15ULL >> 48


cdef inline bint key_equals(const Table *table, Cell *cell, const Key *key) noexcept nogil:
    cdef uint32_t word
    for word in range(table.key_words):
        if load_relaxed(&cell.words[word]) != key_word(key.bytes, key.length, 8 * word):
            return False
        if table.kind == KEY_STRING and 8 * word >= key.length:
            break  # nothing follows a zero
    return True


cdef inline void key_store(const Table *table, Cell *cell, const Key *key) noexcept nogil:
    cdef uint32_t word
    for word in range(table.key_words):
        store_relaxed(&cell.words[word], key_word(key.bytes, key.length, 8 * word))
