# A list of patterns as it lies in memory: one piece, made once, without pointers, never written;
# image.pxd has what a list becomes when it is changed.
#
# The piece is a bytes object of the settings, which the processes inherit: its pages are shared. A
# head is followed by what its kind has for those who only ask whether there is a pattern:
#
#   LIST_RANGES    pairs of int64 (low, high), apart from one another, in order
#   LIST_NETWORKS  pairs of uint32 (first, last address of IPv4), then pairs of 16 bytes (of IPv6,
#                  in network order), apart from one another, in order
#
# Other lists, and all maps, have bits that say which lengths of keys there are; cells of a hash
# table, at most two thirds of them taken, each with a hash and the place of a record; the records,
# one for each pattern, in the order of the file; and the values of a map, equal ones once. Of the
# records with the same key the first alone is in the table. LIST_PARTS and LIST_REGEXES have no
# cells: each record is looked at.
#
# A key is what is looked up:
#
#   LIST_RANGES    low and high, int64; of one number that alone. The table has the blocks of 2^N
#                  numbers that a range is made of: a number is in 65 blocks at most, and found in
#                  those that there are
#   LIST_NETWORKS  how many bits count, and the address, of 4 or of 16 bytes
#   LIST_TEXTS     the text. Those that are compared without regard to case are in lower case; of
#                  those that are looked for at the end of a sample, hashes begin at the end

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from shm.atomics cimport load32_acquire, load32_relaxed, load_relaxed

cdef enum:
    LIST_RANGES
    LIST_NETWORKS
    LIST_TEXTS
    LIST_PARTS
    LIST_REGEXES

cdef enum:
    TEXT_BYTES_MAX = 16382  # of one pattern: HAProxy reads lines of so many
    VALUE_HEAD_BYTES = 2
    PREFIXES_4 = 0  # where the bits of lengths of IPv4 begin
    PREFIXES_6 = 64
    PREFIX_WORDS = 4  # of bits of lengths, where keys are numbers
    LIFE_AT = 6  # where the life of a record begins
    CHANGING = 1  # what is first is found first
    REORDERED = 2  # what is first may have been written later

cdef struct ListHead:
    uint16_t kind
    uint16_t insensitive  # to case
    uint32_t count  # of ranges, or networks of IPv4, that are apart
    uint32_t count_6  # of networks of IPv6
    uint32_t cells  # a power of 2
    uint32_t longest  # bytes of a text
    uint32_t words  # of the text that has most of them, between delimiters
    uint32_t records_count
    uint32_t record_bytes  # of a record before its key
    uint32_t changing  # 0, or it lies in an image: records have a life, equal keys are all there
    uint32_t spare
    uint64_t lengths  # where the bits of lengths begin; from the start of the piece
    uint64_t table  # where the cells begin
    uint64_t records  # where the records begin
    uint64_t values  # where the values begin
    uint64_t end

cdef packed struct Record:  # the key follows
    uint16_t key_length
    uint32_t value  # its place; only in maps

cdef packed struct Life:  # what follows the record's head in an image; its words are aligned
    uint16_t spare
    uint32_t born  # the first step that has it
    uint32_t died  # the first step that has it no more, or ALIVE
    uint32_t order  # of its pattern among all of the reference
    uint32_t back  # bytes back to the group that it is in

cdef struct Reading:  # a list as one look-up has it
    const ListHead *head
    uint32_t step  # of the image

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
    uint32_t place  # of the record, from the first one on, and 1; 0: the cell is free

cdef extern from * nogil:
    """
    #define HASH_START 14695981039346656037ULL
    #define HASH_FACTOR 1099511628211ULL
    #define ALIVE 0xFFFFFFFFU
    """
    const uint64_t HASH_START
    const uint64_t HASH_FACTOR
    const uint32_t ALIVE


cdef inline char lowered(char letter) noexcept nogil:
    """ASCII only, as HAProxy compares."""
    return letter + 32 if c"A" <= letter <= c"Z" else letter


cdef inline uint64_t hash_on(uint64_t hashed, char letter) noexcept nogil:
    """FNV-1a, which goes on from letter to letter."""
    return (hashed ^ <unsigned char>letter) * HASH_FACTOR


cdef inline uint32_t hash_end(uint64_t hashed) noexcept nogil:
    return <uint32_t>(hashed ^ hashed >> 32)


cdef inline uint32_t hash_prefix(uint32_t length, uint64_t high, uint64_t low) noexcept nogil:
    """Of the first bits of a number; `length` says how many, and of which kind."""
    cdef uint64_t hashed = (high ^ length * HASH_START) * 0x9E3779B97F4A7C15ULL
    return hash_end((hashed ^ hashed >> 32 ^ low) * 0xC2B2AE3D27D4EB4FULL)


cdef inline uint64_t first_bits(uint64_t number, int bits) noexcept nogil:
    return number & (~<uint64_t>0 << (64 - bits)) if bits > 0 else 0


cdef inline const Record *record_at(const ListHead *head, uint32_t place) noexcept nogil:
    """The record whose place, and 1, this is."""
    return <const Record *>(<const char *>head + head.records + place - 1)


cdef inline const char *key_of(const ListHead *head, const Record *record) noexcept nogil:
    return <const char *>record + head.record_bytes


cdef inline Range range_of_key(const ListHead *head, const Record *record) noexcept nogil:
    cdef Range found
    memcpy(&found.low, key_of(head, record), sizeof(found.low))
    found.high = found.low
    if record.key_length == sizeof(found):
        memcpy(&found, key_of(head, record), sizeof(found))
    return found


cdef inline const Record *record_after(const ListHead *head, const Record *record) noexcept nogil:
    """The next one in the order of the file."""
    return <const Record *>(key_of(head, record) + record.key_length)


cdef inline const Record *record_numbered(
        Reading reading, uint32_t number, const Record *former) noexcept nogil:
    """One record after another, of a list whose records are all looked at."""
    cdef const ListHead *head = reading.head
    if head.changing:
        return record_at(head, (<const Cell *>(<const char *>head + head.table))[number].place)
    return record_at(head, 1) if former == NULL else record_after(head, former)


cdef inline const char *value_at(
        const ListHead *head, const Record *record, size_t *length) noexcept nogil:
    """The value that a map has for a record."""
    cdef const char *found = <const char *>head + head.values + record.value
    cdef uint16_t size
    memcpy(&size, found, VALUE_HEAD_BYTES)
    length[0] = size
    return found + VALUE_HEAD_BYTES


cdef inline const uint32_t *died_of(const Record *record) noexcept nogil:
    """A word of its own for atomic access: the struct is packed."""
    return <const uint32_t *>(<const char *>record + LIFE_AT + 6)


cdef inline bint visible(Reading reading, const Record *record) noexcept nogil:
    """Whether a record is there for a look-up."""
    cdef const Life *life = <const Life *>(<const char *>record + LIFE_AT)
    if not reading.head.changing:
        return True
    return life.born <= reading.step < load32_relaxed(died_of(record))


cdef inline uint32_t order_of(const Record *record) noexcept nogil:
    return (<const Life *>(<const char *>record + LIFE_AT)).order


cdef inline bint in_order(const ListHead *head) noexcept nogil:
    """Whether the record that is found first is before those that are found later."""
    return load32_relaxed(&head.changing) != REORDERED


cdef inline const Record *earlier(
        Reading reading, const Record *one, const Record *other) noexcept nogil:
    """The one that is first in the list, of those that are there."""
    if one == NULL or other == NULL:
        return other if one == NULL else one
    if reading.head.changing:
        return other if order_of(other) < order_of(one) else one
    return other if other < one else one


cdef inline uint32_t cell_place(const Cell *cell) noexcept nogil:
    """Where its record is; what that is, is written before."""
    return load32_acquire(&cell.place)


cdef inline bint has_length(const ListHead *head, size_t length) noexcept nogil:
    """Whether a text of the list has so many bytes, or a number so many first bits."""
    cdef const uint64_t *bits = <const uint64_t *>(<const char *>head + head.lengths)
    return length <= load32_relaxed(&head.longest) and (
        load_relaxed(&bits[length // 64]) >> (length % 64) & 1)


cdef inline bint delimits(char letter, bint of_names) noexcept nogil:
    """Whether a letter stands between the words of a path, or of a host name."""
    if letter == c"/" or letter == c"?":
        return True
    return of_names and (letter == c"." or letter == c":")
