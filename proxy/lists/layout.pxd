# A list of patterns as it lies in memory: one piece, made once, without pointers, never written.
#
# The piece is a bytes object of the settings, which the processes inherit: its pages are shared. A
# head is followed by what its kind has:
#
#   LIST_RANGES    pairs of int64 (low, high), apart from one another, in order
#   LIST_NETWORKS  pairs of uint32 (first, last address of IPv4), then pairs of 16 bytes (of IPv6,
#                  in network order), apart from one another, in order
#   LIST_TEXTS     a bit for each length that a text has; cells of a hash table, at most half of
#                  them taken, each with the hash and the place of a text; the texts
#   LIST_PARTS     the texts alone, one after the other
#   LIST_REGEXES   the same: regular expressions, which each process compiles (regex.pyx)
#
# A text is its length in two bytes and itself. Texts that are compared without regard to case are
# in lower case. Of those that are looked for at the end of a sample, hashes begin at the end.

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

cdef enum:
    LIST_RANGES
    LIST_NETWORKS
    LIST_TEXTS
    LIST_PARTS
    LIST_REGEXES

cdef enum:
    TEXT_BYTES_MAX = 16382  # of one pattern: HAProxy reads lines of so many
    TEXT_HEAD_BYTES = 2

cdef struct ListHead:
    uint16_t kind
    uint16_t insensitive  # to case
    uint32_t count  # of ranges, networks of IPv4, or texts
    uint32_t count_6  # of networks of IPv6
    uint32_t cells  # a power of 2
    uint32_t longest  # bytes of a text
    uint32_t words  # of the text that has most of them, between delimiters
    uint64_t lengths  # where the bits of lengths begin; from the start of the piece
    uint64_t table  # where the cells begin
    uint64_t texts  # where the texts begin
    uint64_t end

cdef struct Range:
    long long low
    long long high

cdef struct Network4:
    uint32_t first
    uint32_t last

cdef struct Network6:
    uint8_t first[16]
    uint8_t last[16]

cdef struct Cell:
    uint32_t hash
    uint32_t place  # of the text, from the first one on, and 1; 0: the cell is free

cdef extern from * nogil:
    """
    #define HASH_START 14695981039346656037ULL
    #define HASH_FACTOR 1099511628211ULL
    """
    const uint64_t HASH_START
    const uint64_t HASH_FACTOR


cdef inline char lowered(char letter) noexcept nogil:
    """ASCII only, as HAProxy compares."""
    return letter + 32 if c"A" <= letter <= c"Z" else letter


cdef inline uint64_t hash_on(uint64_t hashed, char letter) noexcept nogil:
    """FNV-1a, which goes on from letter to letter."""
    return (hashed ^ <unsigned char>letter) * HASH_FACTOR


cdef inline uint32_t hash_end(uint64_t hashed) noexcept nogil:
    return <uint32_t>(hashed ^ hashed >> 32)


cdef inline size_t text_length(const char *text) noexcept nogil:
    """Bytes of the text whose head is there."""
    cdef uint16_t length
    memcpy(&length, text, TEXT_HEAD_BYTES)
    return length


cdef inline bint delimits(char letter, bint of_names) noexcept nogil:
    """Whether a letter stands between the words of a path, or of a host name."""
    if letter == c"/" or letter == c"?":
        return True
    return of_names and (letter == c"." or letter == c":")
