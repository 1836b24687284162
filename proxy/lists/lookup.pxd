# Looking up in a list (layout.pxd): the time follows from the sample, not from the list.
#
# Ranges and networks are searched by halves. Of texts one hash is carried along the sample, and
# wherever a text of the list may end a cell is looked at. Only LIST_PARTS are taken one by one.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memcmp

from proxy.lists.layout cimport (
    HASH_START, Cell, ListHead, Network4, Network6, Range, Reading, Record, cell_place, delimits,
    earlier, has_length, hash_end, hash_on, in_order, key_of, lowered, record_at,
    record_numbered, visible)
from shm.atomics cimport load32_acquire, load32_relaxed

cdef extern from "<string.h>" nogil:
    void *memmem(const void *whole, size_t length, const void *part, size_t part_length)


cdef inline bint same(
        const char *one, const char *other, size_t length, bint insensitive) noexcept nogil:
    cdef size_t at
    if not insensitive:
        return memcmp(one, other, length) == 0
    for at in range(length):
        if lowered(one[at]) != lowered(other[at]):
            return False
    return True


cdef inline bint ranges_have(const ListHead *head, long long number) noexcept nogil:
    cdef const Range *ranges = <const Range *>(head + 1)
    cdef uint32_t low = 0, high = head.count, middle
    while low < high:
        middle = low + (high - low) // 2
        if ranges[middle].high < number:
            low = middle + 1
        else:
            high = middle
    return low < head.count and ranges[low].low <= number


cdef inline bint networks_have_4(const ListHead *head, const uint8_t *address) noexcept nogil:
    cdef const Network4 *networks = <const Network4 *>(head + 1)
    cdef uint32_t low = 0, high = head.count, middle
    cdef uint32_t number = (
        <uint32_t>address[0] << 24 | <uint32_t>address[1] << 16 | <uint32_t>address[2] << 8
        | address[3])
    while low < high:
        middle = low + (high - low) // 2
        if networks[middle].last < number:
            low = middle + 1
        else:
            high = middle
    return low < head.count and networks[low].first <= number


cdef inline bint networks_have_6(const ListHead *head, const uint8_t *address) noexcept nogil:
    cdef const Network6 *networks = <const Network6 *>(
        <const char *>(head + 1) + head.count * sizeof(Network4))
    cdef uint32_t low = 0, high = head.count_6, middle
    while low < high:
        middle = low + (high - low) // 2
        if memcmp(networks[middle].last, address, 16) < 0:
            low = middle + 1
        else:
            high = middle
    return low < head.count_6 and memcmp(networks[low].first, address, 16) <= 0


cdef inline const Record *cell_record(
        Reading reading, uint64_t hashed, const char *text, size_t length,
        bint insensitive) noexcept nogil:
    """The first record with this text, whose hash it is; NULL: there is none."""
    cdef const ListHead *head = reading.head
    cdef const Cell *cells = <const Cell *>(<const char *>head + head.table)
    cdef uint32_t wanted = hash_end(hashed), at = wanted & (head.cells - 1)
    cdef uint32_t place = cell_place(&cells[at])
    cdef const Record *best = NULL
    cdef const Record *found
    while place != 0:
        if cells[at].hash == wanted:
            found = record_at(head, place)
            if found.key_length == length and same(
                    key_of(head, found), text, length, insensitive) and visible(reading, found):
                if in_order(head):
                    return found
                best = earlier(reading, best, found)
        at = at + 1 & (head.cells - 1)
        place = cell_place(&cells[at])
    return best


cdef inline bint cell_has(
        Reading reading, uint64_t hashed, const char *text, size_t length,
        bint insensitive) noexcept nogil:
    """Whether a text with this hash is one of the list."""
    return cell_record(reading, hashed, text, length, insensitive) != NULL


cdef inline bint texts_have(
        Reading reading, const char *text, size_t length, bint insensitive) noexcept nogil:
    cdef uint64_t hashed = HASH_START
    cdef size_t at
    if not has_length(reading.head, length):
        return False
    for at in range(length):
        hashed = hash_on(hashed, lowered(text[at]) if insensitive else text[at])
    return cell_has(reading, hashed, text, length, insensitive)


cdef inline bint texts_begin(
        Reading reading, const char *text, size_t length, bint insensitive) noexcept nogil:
    """Whether the text begins with one of the list."""
    cdef uint64_t hashed = HASH_START
    cdef size_t at
    for at in range(min(length, <size_t>load32_relaxed(&reading.head.longest))):
        hashed = hash_on(hashed, lowered(text[at]) if insensitive else text[at])
        if has_length(reading.head, at + 1) and cell_has(
                reading, hashed, text, at + 1, insensitive):
            return True
    return False


cdef inline bint texts_end(
        Reading reading, const char *text, size_t length, bint insensitive) noexcept nogil:
    """Whether the text ends with one of the list."""
    cdef uint64_t hashed = HASH_START
    cdef size_t many
    cdef char letter
    for many in range(1, min(length, <size_t>load32_relaxed(&reading.head.longest)) + 1):
        letter = text[length - many]
        hashed = hash_on(hashed, lowered(letter) if insensitive else letter)
        if has_length(reading.head, many) and cell_has(
                reading, hashed, text + length - many, many, insensitive):
            return True
    return False


cdef inline bint begins_here(
        Reading reading, const char *text, size_t length, bint insensitive,
        bint of_names) noexcept nogil:
    """Whether one of the list is at the beginning, and a delimiter or the end behind it."""
    cdef uint64_t hashed = HASH_START
    cdef uint32_t words = 0
    cdef size_t at
    for at in range(min(length, <size_t>load32_relaxed(&reading.head.longest))):
        hashed = hash_on(hashed, lowered(text[at]) if insensitive else text[at])
        if at + 1 != length and not delimits(text[at + 1], of_names):
            continue
        if has_length(reading.head, at + 1) and cell_has(
                reading, hashed, text, at + 1, insensitive):
            return True
        words += 1
        if words == load32_relaxed(&reading.head.words):
            return False
    return False


cdef inline bint texts_word(
        Reading reading, const char *text, size_t length, bint insensitive,
        bint of_names) noexcept nogil:
    """Whether one of the list stands in the text between delimiters.

    A byte is looked at as often as the longest text has words.
    """
    cdef bint begins = True
    cdef size_t at
    for at in range(length):
        if delimits(text[at], of_names):
            begins = True
            continue
        if begins and begins_here(reading, text + at, length - at, insensitive, of_names):
            return True
        begins = False
    return False


cdef inline bint part_in(
        const char *text, size_t length, const char *part, size_t part_length,
        bint insensitive) noexcept nogil:
    cdef size_t at
    if part_length > length:
        return False
    if not insensitive:
        return memmem(text, length, part, part_length) != NULL
    for at in range(length - part_length + 1):
        if same(text + at, part, part_length, True):
            return True
    return False


cdef inline bint parts_in(
        Reading reading, const char *text, size_t length, bint insensitive) noexcept nogil:
    """Whether one of the list is somewhere in the text."""
    cdef const Record *record = NULL
    cdef uint32_t number
    for number in range(load32_acquire(&reading.head.records_count)):
        record = record_numbered(reading, number, record)
        if visible(reading, record) and part_in(
                text, length, key_of(reading.head, record), record.key_length, insensitive):
            return True
    return False
