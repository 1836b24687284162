# What control writes into an image (image.pxd): heads, groups, cells. Others look up meanwhile.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from proxy.lists.fill cimport blocks_in, enter_record, has_cells, place_of, words_in
from proxy.lists.heap cimport text_hash
from proxy.lists.changing.image cimport (
    CHANGED_HEAD_BYTES, NO_VALUE, Group, ImageHead, Shape, first_record, head_in, next_record,
    record_size)
from proxy.lists.layout cimport (
    ALIVE, CHANGING, LIFE_AT, LIST_RANGES, LIST_TEXTS, PREFIX_WORDS, TEXT_BYTES_MAX,
    VALUE_HEAD_BYTES, Cell, Life, ListHead, Range, Record, died_of, key_of, range_of_key,
    record_at)
from shm.atomics cimport load32_relaxed, store32_release

cdef enum:
    CELLS_LEAST = 512  # a page of them

cdef struct Search:  # for groups with a text, or for one by its order
    const char *text
    size_t length
    int64_t order
    uint32_t step
    uint32_t hashed
    uint64_t at

cdef struct Entry:  # one record of what a packer has collected
    const char *key
    uint16_t length


cdef inline uint64_t bits_bytes(uint16_t kind) noexcept nogil:
    """Of the bits that say which lengths there are."""
    if not has_cells(kind):
        return 0
    return 8 * (TEXT_BYTES_MAX // 64 + 1 if kind == LIST_TEXTS else PREFIX_WORDS)


cdef inline uint64_t table_size(uint16_t kind, uint64_t wanted) noexcept nogil:
    """Cells for so many records, and for as many again."""
    cdef uint64_t size = CELLS_LEAST
    if not has_cells(kind):
        return max(2 * wanted, size)
    while size < 3 * wanted:
        size *= 2
    return size


cdef inline bint table_fits(const ListHead *head, uint64_t more) noexcept nogil:
    """Whether a table has cells for more records, and stays short to walk."""
    if has_cells(head.kind):
        return 3 * (head.count + more) <= 2 * <uint64_t>head.cells
    return head.records_count + more <= head.cells


cdef inline uint64_t cells_taken(const ListHead *head, const Record *record) noexcept nogil:
    """How many cells a record takes."""
    cdef Range numbers
    if head.kind != LIST_RANGES:
        return 1
    numbers = range_of_key(head, record)
    return blocks_in(numbers.low, numbers.high)


cdef inline Life *life_of(const Record *record) noexcept nogil:
    return <Life *>(<char *>record + LIFE_AT)


cdef inline bint is_alive(const Group *group) noexcept nogil:
    """Whether no step has removed a group, nor is about to."""
    return load32_relaxed(died_of(first_record(group))) == ALIVE


cdef inline void die(const Group *group, uint32_t lists, uint32_t step) noexcept nogil:
    """A group is there no more from a step on, in none of the lists."""
    cdef const Record *record = first_record(group)
    for _ in range(lists + 1):
        store32_release(<uint32_t *>died_of(record), step)
        record = next_record(record)


cdef inline void search_begin(
        Search *search, const char *text, size_t length, int64_t order,
        uint32_t step) noexcept nogil:
    """Look for the groups with a text; with an order that is not negative, for that one."""
    search.text, search.length = text, length
    search.order, search.step = order, step
    search.hashed = text_hash(text, length)
    search.at = 0


cdef inline bint searched(const Search *search, const Group *group) noexcept nogil:
    return is_alive(group) and life_of(first_record(group)).born <= search.step


cdef inline Group *next_ordered(char *image, Search *search) noexcept nogil:
    cdef const ImageHead *head = <const ImageHead *>image
    cdef Group *group
    while search.at < head.used:
        group = <Group *>(image + head.heap + search.at)
        search.at += group.bytes
        if life_of(first_record(group)).order == search.order and searched(search, group):
            return group
    return NULL


cdef inline Group *search_next(char *image, Search *search) noexcept nogil:
    """The next one that was there before this step; NULL: there is none."""
    cdef const ListHead *head = head_in(image, 0)
    cdef const Cell *cells = <const Cell *>(<const char *>head + head.table)
    cdef const Cell *cell = &cells[(search.hashed + search.at) & (head.cells - 1)]
    cdef const Record *record
    cdef Group *group
    if search.order >= 0:
        return next_ordered(image, search)
    while cell.place != 0:
        record = record_at(head, cell.place)
        group = <Group *>(<char *>record - life_of(record).back)
        search.at += 1
        if cell.hash == search.hashed and record.key_length == search.length and memcmp(
                key_of(head, record), search.text, search.length) == 0 and searched(search, group):
            return group
        cell = &cells[(search.hashed + search.at) & (head.cells - 1)]
    return NULL


cdef inline uint64_t group_size(
        const Entry *entries, uint32_t lists, bint valued, size_t value_length) noexcept nogil:
    cdef uint64_t size = sizeof(Group)
    cdef uint32_t at
    for at in range(lists + 1):
        size += record_size(entries[at].length)
    if valued:
        size += VALUE_HEAD_BYTES + value_length
    return (size + 7) & ~<uint64_t>7


cdef inline Group *lay_group(
        char *image, const Entry *entries, uint32_t version, uint32_t order, uint32_t born,
        bint valued, const char *value, uint16_t value_length) noexcept nogil:
    """Write a group behind the others, where nothing looks yet."""
    cdef ImageHead *head = <ImageHead *>image
    cdef char *out = image + head.heap + head.used
    cdef Group *group = <Group *>out
    cdef uint32_t at, place = NO_VALUE
    cdef Record *record
    cdef Life *life
    group.bytes = <uint32_t>group_size(entries, head.lists, valued, value_length)
    if valued:
        place = <uint32_t>head.used + group.bytes - ((VALUE_HEAD_BYTES + value_length + 3) & ~3)
        memcpy(image + head.heap + place, &value_length, VALUE_HEAD_BYTES)
        memcpy(image + head.heap + place + VALUE_HEAD_BYTES, value, value_length)
    group.version, group.value = version, place
    out += sizeof(Group)
    for at in range(head.lists + 1):
        record = <Record *>out
        record.key_length, record.value = entries[at].length, place
        life = life_of(record)
        life.born, life.died, life.order = born, ALIVE, order
        life.back = <uint32_t>(out - <char *>group)
        memcpy(out + CHANGED_HEAD_BYTES, entries[at].key, entries[at].length)
        out += record_size(entries[at].length)
    return group


cdef inline void enter_changed(
        ListHead *head, const Shape *shape, const Record *record) noexcept nogil:
    """Let look-ups find a record, all of which is there."""
    cdef Cell *cells
    if not has_cells(head.kind):
        cells = <Cell *>(<char *>head + head.table)
        cells[head.records_count].place = place_of(head, record)
        store32_release(&head.records_count, head.records_count + 1)
        return
    if head.kind == LIST_TEXTS:
        store32_release(&head.longest, max(head.longest, <uint32_t>record.key_length))
        store32_release(&head.words, max(
            head.words, words_in(key_of(head, record), record.key_length, shape.of_names)))
    enter_record(head, record, shape.from_end)


cdef inline void enter_group(
        char *image, const Shape *shapes, const Group *group) noexcept nogil:
    """Its text is found by control, the rest by all if it is of the image's version."""
    cdef const ImageHead *head = <const ImageHead *>image
    cdef const Record *record = first_record(group)
    cdef uint32_t place
    for place in range(head.lists + 1):
        if place == 0 or group.version == head.version:
            enter_changed(head_in(image, place), &shapes[place], record)
        record = next_record(record)


cdef inline void begin_list(
        char *image, uint32_t place, const Shape *shape, uint64_t at, uint64_t heap,
        uint64_t cells) noexcept nogil:
    """The head of an empty list, whose bits and cells are at this offset of the image."""
    cdef ListHead *head = head_in(image, place)
    cdef uint64_t own = <uint64_t>(<char *>head - image)
    head.kind, head.insensitive = shape.kind, shape.insensitive
    head.changing = CHANGING
    head.record_bytes = CHANGED_HEAD_BYTES
    head.cells = <uint32_t>cells
    if has_cells(shape.kind) and shape.kind != LIST_TEXTS:
        head.longest = 64 * PREFIX_WORDS - 1
    head.lengths = at - own
    head.table = head.lengths + bits_bytes(shape.kind)
    head.records = head.values = heap - own
    head.end = head.records
