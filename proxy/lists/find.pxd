# Which pattern of a packed list a sample has (layout.pxd): the finest network, the longest
# beginning, otherwise the first of the file, as HAProxy has it. Case counts: no map ignores it. The
# time follows from the sample, but for LIST_PARTS and LIST_REGEXES.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t

from proxy.lists.blocks cimport bits_equal, block_hash, network_hash, ordered
from proxy.lists.layout cimport (
    HASH_START, PREFIXES_4, PREFIXES_6, Cell, ListHead, Range, Record, delimits, has_length,
    hash_on, key_of, range_of_key, record_after, record_at)
from proxy.lists.lookup cimport cell_record, part_in
from proxy.lists.regex cimport RegexView, regex_matches


cdef inline const Record *earlier(const Record *one, const Record *other) noexcept nogil:
    """The one that is first in the file, of those that are there."""
    if one == NULL or (other != NULL and other < one):
        return other
    return one


cdef inline const Record *text_found(
        const ListHead *head, uint64_t hashed, const char *text, size_t length) noexcept nogil:
    if not has_length(head, length):
        return NULL
    return cell_record(head, hashed, text, length, False)


cdef inline const Record *whole_text(
        const ListHead *head, const char *text, size_t length) noexcept nogil:
    cdef uint64_t hashed = HASH_START
    cdef size_t at
    if not has_length(head, length):
        return NULL
    for at in range(length):
        hashed = hash_on(hashed, text[at])
    return text_found(head, hashed, text, length)


cdef inline const Record *beginning(
        const ListHead *head, const char *text, size_t length) noexcept nogil:
    """The longest that the text begins with."""
    cdef const Record *best = NULL
    cdef const Record *found
    cdef uint64_t hashed = HASH_START
    cdef size_t at
    for at in range(min(length, <size_t>head.longest)):
        hashed = hash_on(hashed, text[at])
        found = text_found(head, hashed, text, at + 1)
        if found != NULL:
            best = found
    return best


cdef inline const Record *ending(
        const ListHead *head, const char *text, size_t length) noexcept nogil:
    cdef const Record *best = NULL
    cdef uint64_t hashed = HASH_START
    cdef size_t many
    cdef char letter
    for many in range(1, min(length, <size_t>head.longest) + 1):
        letter = text[length - many]
        hashed = hash_on(hashed, letter)
        best = earlier(best, text_found(
            head, hashed, text + length - many, many))
    return best


cdef inline const Record *word_here(
        const ListHead *head, const char *text, size_t length, bint of_names) noexcept nogil:
    """The first that is at the beginning, with a delimiter or the end behind it."""
    cdef const Record *best = NULL
    cdef uint64_t hashed = HASH_START
    cdef uint32_t words = 0
    cdef size_t at
    for at in range(min(length, <size_t>head.longest)):
        hashed = hash_on(hashed, text[at])
        if at + 1 != length and not delimits(text[at + 1], of_names):
            continue
        best = earlier(best, text_found(head, hashed, text, at + 1))
        words += 1
        if words == head.words:
            break
    return best


cdef inline const Record *word(
        const ListHead *head, const char *text, size_t length, bint of_names) noexcept nogil:
    """The first that stands in the text between delimiters."""
    cdef const Record *best = NULL
    cdef bint begins = True
    cdef size_t at
    for at in range(length):
        if delimits(text[at], of_names):
            begins = True
            continue
        if begins:
            best = earlier(best, word_here(
                head, text + at, length - at, of_names))
        begins = False
    return best


cdef inline const Record *part(
        const ListHead *head, const char *text, size_t length) noexcept nogil:
    """The first that is somewhere in the text."""
    cdef const Record *record = record_at(head, 1)
    for _ in range(head.records_count):
        if part_in(
                text, length, key_of(head, record), record.key_length, False):
            return record
        record = record_after(head, record)
    return NULL


cdef inline const Record *expression(
        const ListHead *head, RegexView *view, const char *text,
        size_t length) noexcept nogil:
    """The first that is found in the text."""
    cdef const Record *record = record_at(head, 1)
    cdef uint32_t number
    for number in range(head.records_count):
        if regex_matches(view, number, text, length):
            return record
        record = record_after(head, record)
    return NULL


cdef inline const Record *range_with(
        const ListHead *head, long long number) noexcept nogil:
    """The first range that has a number."""
    cdef const Cell *cells = <const Cell *>(<const char *>head + head.table)
    cdef const Record *best = NULL
    cdef const Record *found
    cdef Range numbers
    cdef uint32_t hashed, at
    cdef int bits
    for bits in range(65):
        if not has_length(head, bits):
            continue
        hashed = block_hash(ordered(number), bits)
        at = hashed & (head.cells - 1)
        while cells[at].place != 0:
            if cells[at].hash == hashed:
                found = record_at(head, cells[at].place)
                numbers = range_of_key(head, found)
                if numbers.low <= number <= numbers.high:
                    best = earlier(best, found)
            at = at + 1 & (head.cells - 1)
    return best


cdef inline const Record *network_with(
        const ListHead *head, const uint8_t *address,
        int bytes) noexcept nogil:
    """The finest network that has an address, of 4 or of 16 bytes."""
    cdef const Cell *cells = <const Cell *>(<const char *>head + head.table)
    cdef const Record *found
    cdef const uint8_t *key
    cdef uint32_t hashed, at
    cdef int bits
    for bits in range(8 * bytes, -1, -1):
        if not has_length(head, (PREFIXES_4 if bytes == 4 else PREFIXES_6) + bits):
            continue
        hashed = network_hash(address, bytes, bits)
        at = hashed & (head.cells - 1)
        while cells[at].place != 0:
            if cells[at].hash == hashed:
                found = record_at(head, cells[at].place)
                key = <const uint8_t *>key_of(head, found)
                if found.key_length == bytes + 1 and key[0] == bits and bits_equal(
                        key + 1, address, bits):
                    return found
            at = at + 1 & (head.cells - 1)
    return NULL
