# Enters the records of a list into its table (layout.pxd): once when the list is packed, and each
# for itself in an image (image.pxd), where equal ones are all there, and others look up meanwhile.

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcmp

from proxy.lists.blocks cimport Block, block_end, block_hash, block_next, network_hash, ordered
from proxy.lists.layout cimport (
    HASH_START, LIST_NETWORKS, LIST_PARTS, LIST_RANGES, LIST_REGEXES, PREFIXES_4, PREFIXES_6, Cell,
    ListHead, Range, Record, delimits, hash_end, hash_on, key_of, range_of_key, record_after,
    record_at)
from shm.atomics cimport store32_release, store_relaxed


cdef inline void note_length(const ListHead *head, size_t length) noexcept nogil:
    cdef uint64_t *bits = <uint64_t *>(<char *>head + head.lengths)
    store_relaxed(&bits[length // 64], bits[length // 64] | <uint64_t>1 << (length % 64))


cdef inline uint32_t place_of(const ListHead *head, const Record *record) noexcept nogil:
    """The place of a record, and 1."""
    return <uint32_t>(<const char *>record - <const char *>record_at(head, 1)) + 1


cdef inline void take_cell(
        const ListHead *head, Cell *cell, uint32_t hashed, const Record *record) noexcept nogil:
    """Say where a record is, when all of it is there."""
    cdef ListHead *counted = <ListHead *>head
    counted.count += head.changing  # before the cell: a count that is too high costs room only
    cell.hash = hashed
    store32_release(&cell.place, place_of(head, record))


cdef inline void enter(const ListHead *head, uint32_t hashed, const Record *record) noexcept nogil:
    """Enter a record, unless there is one with its key already and for ever."""
    cdef Cell *cells = <Cell *>(<char *>head + head.table)
    cdef uint32_t at = hashed & (head.cells - 1)
    cdef const Record *other
    while cells[at].place != 0:
        other = record_at(head, cells[at].place)
        if not head.changing and cells[at].hash == hashed and (
                other.key_length == record.key_length and memcmp(
                    key_of(head, other), key_of(head, record), record.key_length) == 0):
            return
        at = at + 1 & (head.cells - 1)
    take_cell(head, &cells[at], hashed, record)


cdef inline void enter_block(
        const ListHead *head, const Block *block, const Record *record) noexcept nogil:
    """Enter a block of a range, unless a former range has all of it."""
    cdef Cell *cells = <Cell *>(<char *>head + head.table)
    cdef uint32_t hashed = block_hash(block.start, block.bits)
    cdef uint32_t at = hashed & (head.cells - 1)
    cdef Range former
    while cells[at].place != 0:
        if not head.changing and cells[at].hash == hashed:
            former = range_of_key(head, record_at(head, cells[at].place))
            if ordered(former.low) <= block.start and block_end(block) <= ordered(former.high):
                return
        at = at + 1 & (head.cells - 1)
    take_cell(head, &cells[at], hashed, record)


cdef inline void enter_range(const ListHead *head, const Record *record) noexcept nogil:
    cdef Range numbers = range_of_key(head, record)
    cdef Block block
    cdef uint64_t low = ordered(numbers.low)
    cdef bint ended = False
    while block_next(&low, ordered(numbers.high), &ended, &block):
        note_length(head, block.bits)
        enter_block(head, &block, record)


cdef inline void enter_network(const ListHead *head, const Record *record) noexcept nogil:
    cdef const uint8_t *key = <const uint8_t *>key_of(head, record)
    cdef int bytes = record.key_length - 1
    note_length(head, (PREFIXES_4 if bytes == 4 else PREFIXES_6) + key[0])
    enter(head, network_hash(key + 1, bytes, key[0]), record)


cdef inline void enter_text(
        const ListHead *head, const Record *record, bint from_end) noexcept nogil:
    cdef const char *key = key_of(head, record)
    cdef uint64_t hashed = HASH_START
    cdef size_t at, length = record.key_length
    note_length(head, length)
    for at in range(length):
        hashed = hash_on(hashed, key[length - 1 - at if from_end else at])
    enter(head, hash_end(hashed), record)


cdef inline void enter_record(
        const ListHead *head, const Record *record, bint from_end) noexcept nogil:
    if head.kind == LIST_RANGES:
        enter_range(head, record)
    elif head.kind == LIST_NETWORKS:
        enter_network(head, record)
    else:
        enter_text(head, record, from_end)


cdef inline void enter_all(const ListHead *head, bint from_end) noexcept nogil:
    """Enter the records into an empty table."""
    cdef const Record *record = record_at(head, 1)
    for _ in range(head.records_count):
        enter_record(head, record, from_end)
        record = record_after(head, record)


cdef inline uint32_t words_in(const char *text, size_t length, bint of_names) noexcept nogil:
    """How many delimiters a text has, and 1."""
    cdef uint32_t words = 1
    cdef size_t at
    for at in range(length):
        words += delimits(text[at], of_names)
    return words


cdef inline bint has_cells(uint16_t kind) noexcept nogil:
    """Whether records are found by their keys, not one by one."""
    return kind != LIST_PARTS and kind != LIST_REGEXES


cdef inline size_t blocks_in(long long low, long long high) noexcept nogil:
    """How many cells a range takes."""
    cdef Block block
    cdef uint64_t start = ordered(low)
    cdef bint ended = False
    cdef size_t count = 0
    while block_next(&start, ordered(high), &ended, &block):
        count += 1
    return count
