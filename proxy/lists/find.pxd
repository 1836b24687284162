# Which pattern of a list a sample has (layout.pxd): the finest network, the longest beginning,
# otherwise the first of the file, as HAProxy has it. Case counts: no map ignores it. The time
# follows from the sample, but for LIST_PARTS and LIST_REGEXES.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t

from proxy.lists.blocks cimport bits_equal, block_hash, network_hash, ordered
from proxy.lists.layout cimport (
    HASH_START, PREFIXES_4, PREFIXES_6, Cell, ListHead, Range, Reading, Record, cell_place,
    delimits, earlier, has_length, hash_on, in_order, key_of, order_of, range_of_key, record_at,
    record_numbered, visible)
from proxy.lists.lookup cimport cell_record, part_in
from proxy.lists.regex cimport RegexView, regex_matches
from shm.atomics cimport load32_acquire, load32_relaxed


cdef inline const Record *text_found(
        Reading reading, uint64_t hashed, const char *text, size_t length) noexcept nogil:
    if not has_length(reading.head, length):
        return NULL
    return cell_record(reading, hashed, text, length, False)


cdef inline const Record *whole_text(
        Reading reading, const char *text, size_t length) noexcept nogil:
    cdef uint64_t hashed = HASH_START
    cdef size_t at
    if not has_length(reading.head, length):
        return NULL
    for at in range(length):
        hashed = hash_on(hashed, text[at])
    return text_found(reading, hashed, text, length)


cdef inline const Record *beginning(
        Reading reading, const char *text, size_t length) noexcept nogil:
    """The longest that the text begins with."""
    cdef const Record *best = NULL
    cdef const Record *found
    cdef uint64_t hashed = HASH_START
    cdef size_t at
    for at in range(min(length, <size_t>load32_relaxed(&reading.head.longest))):
        hashed = hash_on(hashed, text[at])
        found = text_found(reading, hashed, text, at + 1)
        if found != NULL:
            best = found
    return best


cdef inline const Record *ending(
        Reading reading, const char *text, size_t length) noexcept nogil:
    cdef const Record *best = NULL
    cdef uint64_t hashed = HASH_START
    cdef size_t many
    cdef char letter
    for many in range(1, min(length, <size_t>load32_relaxed(&reading.head.longest)) + 1):
        letter = text[length - many]
        hashed = hash_on(hashed, letter)
        best = earlier(reading, best, text_found(
            reading, hashed, text + length - many, many))
    return best


cdef inline const Record *word_here(
        Reading reading, const char *text, size_t length, bint of_names) noexcept nogil:
    """The first that is at the beginning, with a delimiter or the end behind it."""
    cdef const Record *best = NULL
    cdef uint64_t hashed = HASH_START
    cdef uint32_t words = 0
    cdef size_t at
    for at in range(min(length, <size_t>load32_relaxed(&reading.head.longest))):
        hashed = hash_on(hashed, text[at])
        if at + 1 != length and not delimits(text[at + 1], of_names):
            continue
        best = earlier(reading, best, text_found(reading, hashed, text, at + 1))
        words += 1
        if words == load32_relaxed(&reading.head.words):
            break
    return best


cdef inline const Record *word(
        Reading reading, const char *text, size_t length, bint of_names) noexcept nogil:
    """The first that stands in the text between delimiters."""
    cdef const Record *best = NULL
    cdef bint begins = True
    cdef size_t at
    for at in range(length):
        if delimits(text[at], of_names):
            begins = True
            continue
        if begins:
            best = earlier(reading, best, word_here(
                reading, text + at, length - at, of_names))
        begins = False
    return best


cdef inline bint worth(
        Reading reading, const Record *best, const Record *record) noexcept nogil:
    """Whether a record is there, and before the best one."""
    return visible(reading, record) and earlier(reading, best, record) == record


cdef inline const Record *part(
        Reading reading, const char *text, size_t length) noexcept nogil:
    """The first that is somewhere in the text."""
    cdef const Record *best = NULL
    cdef const Record *record = NULL
    cdef uint32_t number
    for number in range(load32_acquire(&reading.head.records_count)):
        record = record_numbered(reading, number, record)
        if worth(reading, best, record) and part_in(
                text, length, key_of(reading.head, record), record.key_length, False):
            best = record
            if in_order(reading.head):
                break
    return best


cdef inline const Record *expression(
        Reading reading, RegexView *view, const char *text, size_t length) noexcept nogil:
    """The first that is found in the text; in an image its order says which one it is."""
    cdef const Record *best = NULL
    cdef const Record *record = NULL
    cdef uint32_t number, code
    for number in range(load32_acquire(&reading.head.records_count)):
        record = record_numbered(reading, number, record)
        if not worth(reading, best, record):
            continue
        code = order_of(record) if reading.head.changing else number
        if code < view.room and regex_matches(view, code, text, length):
            best = record
            view.last = code
            if in_order(reading.head):
                break
    return best


cdef inline const Record *range_with(Reading reading, long long number) noexcept nogil:
    """The first range that has a number."""
    cdef const ListHead *head = reading.head
    cdef const Cell *cells = <const Cell *>(<const char *>head + head.table)
    cdef const Record *best = NULL
    cdef const Record *found
    cdef Range numbers
    cdef uint32_t hashed, at, place
    cdef int bits
    for bits in range(65):
        if not has_length(head, bits):
            continue
        hashed = block_hash(ordered(number), bits)
        at = hashed & (head.cells - 1)
        place = cell_place(&cells[at])
        while place != 0:
            if cells[at].hash == hashed:
                found = record_at(head, place)
                numbers = range_of_key(head, found)
                if numbers.low <= number <= numbers.high and visible(reading, found):
                    best = earlier(reading, best, found)
            at = at + 1 & (head.cells - 1)
            place = cell_place(&cells[at])
    return best


cdef inline const Record *network_of_bits(
        Reading reading, const uint8_t *address, int bytes, int bits) noexcept nogil:
    """The first network of so many bits that has an address."""
    cdef const ListHead *head = reading.head
    cdef const Cell *cells = <const Cell *>(<const char *>head + head.table)
    cdef const Record *best = NULL
    cdef const Record *found
    cdef const uint8_t *key
    cdef uint32_t hashed = network_hash(address, bytes, bits)
    cdef uint32_t at = hashed & (head.cells - 1), place = cell_place(&cells[at])
    while place != 0:
        if cells[at].hash == hashed:
            found = record_at(head, place)
            key = <const uint8_t *>key_of(head, found)
            if found.key_length == bytes + 1 and key[0] == bits and bits_equal(
                    key + 1, address, bits) and visible(reading, found):
                if in_order(head):
                    return found
                best = earlier(reading, best, found)
        at = at + 1 & (head.cells - 1)
        place = cell_place(&cells[at])
    return best


cdef inline const Record *network_with(
        Reading reading, const uint8_t *address, int bytes) noexcept nogil:
    """The finest network that has an address, of 4 or of 16 bytes."""
    cdef const Record *found
    cdef int bits
    for bits in range(8 * bytes, -1, -1):
        if has_length(reading.head, (PREFIXES_4 if bytes == 4 else PREFIXES_6) + bits):
            found = network_of_bits(reading, address, bytes, bits)
            if found != NULL:
                return found
    return NULL
