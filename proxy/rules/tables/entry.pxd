# What an entry of a stick table says: read from a copy that is whole, or changed under a hold.
#
# An entry that is not there counts as zeros; data that the table does not store gives no sample.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.rules.sample cimport set_number
from proxy.rules.types cimport Context, Sample
from shm.atomics cimport load_relaxed, swap_word
from shm.tables.cells cimport (
    entry_give, entry_peek, entry_take, entry_touch, entry_was_there, sessions_at)
from shm.tables.keys cimport Key
from shm.tables.layout cimport BRIEF_HOLD, DATA_CONN_CNT, NO_CELL, Table, cell_at, data_of
from shm.tables.values cimport Data, counter_add, data_add, data_find, data_read

cdef enum:
    ELEMENT_BITS = 8  # of the number that stands for data: the element, below the type
    READS_MAX = 100  # while others take the entry away and make it again

cdef enum Asked:
    ASKED_VALUE = 0
    ASKED_KILOBYTES = 1
    ASKED_TRACKERS = 2

cdef enum Change:
    CHANGE_COUNT = 0
    CHANGE_CLEAR = 1
    CHANGE_CONNECTION = 2


cdef inline void data_of_number(int64_t number, Data *data) noexcept nogil:
    data.type = <int>(number >> ELEMENT_BITS)
    data.element = <uint32_t>(number & (1 << ELEMENT_BITS) - 1)


cdef inline uint64_t cell_value(
        const Table *table, uint32_t cell, const Data *data, int asked,
        int64_t now_ms) noexcept nogil:
    cdef uint64_t value
    if asked == ASKED_TRACKERS:
        return sessions_at(table, cell)
    value = data_read(table, cell, data, now_ms)
    return value >> 10 if asked == ASKED_KILOBYTES else value


cdef inline bint held_value(
        const Context *context, const Table *table, uint32_t cell, int64_t what, int asked,
        Sample *sample) noexcept nogil:
    """Of an entry that the session holds."""
    cdef Data data
    data_of_number(what, &data)
    if asked != ASKED_TRACKERS and not data_find(table, &data):
        return False
    return set_number(
        sample, <int64_t>cell_value(table, cell, &data, asked, context.now_ms))


cdef inline bint entry_value(
        const Context *context, const Table *table, const Key *key, int64_t what, int asked,
        Sample *sample, bint *there) noexcept nogil:
    """Of the entry of a key; `there` says whether there is one."""
    cdef Data data
    cdef uint64_t meta, value
    cdef uint32_t cell
    cdef int attempt
    there[0] = False
    data_of_number(what, &data)
    if asked != ASKED_TRACKERS and not data_find(table, &data):
        return False
    for attempt in range(READS_MAX):
        cell = entry_peek(table, key, context.now_ms, &meta)
        if cell == NO_CELL:
            break
        value = cell_value(table, cell, &data, asked, context.now_ms)
        if entry_was_there(table, cell, meta):
            there[0] = True
            return set_number(sample, <int64_t>value)
    return set_number(sample, 0)


cdef inline bint entry_is_there(
        const Context *context, const Table *table, const Key *key) noexcept nogil:
    cdef uint64_t meta
    return entry_peek(table, key, context.now_ms, &meta) != NO_CELL


cdef inline int64_t entry_left_ms(
        const Context *context, const Table *table, const Key *key) noexcept nogil:
    """How long an entry has to live; 0 where entries do not expire, -1: there is none."""
    cdef uint64_t meta
    cdef uint32_t cell = entry_peek(table, key, context.now_ms, &meta)
    if cell == NO_CELL:
        return -1
    if table.expire_ms == 0:
        return 0
    return max(
        <int64_t>load_relaxed(&cell_at(table, cell).expires_ms) - context.now_ms, <int64_t>0)


cdef inline uint64_t counter_clear(
        const Table *table, uint32_t cell, const Data *counter, int64_t now_ms) noexcept nogil:
    """Begin a counter anew; what it was."""
    cdef Data data = counter[0]
    cdef uint64_t *word
    cdef uint64_t found = 0
    entry_touch(table, cell, now_ms)
    if not data_find(table, &data):
        return 0
    word = data_of(table, cell, data.type) + data.element
    while True:
        found = load_relaxed(word)
        if swap_word(word, found, 0):
            return found & <uint64_t>0xFFFFFFFF


cdef inline uint64_t cell_change(
        const Context *context, const Table *table, uint32_t cell, int64_t what,
        int change) noexcept nogil:
    """Change an entry that is held; the counter afterwards, or before it was cleared."""
    cdef Data data
    data_of_number(what, &data)
    if change == CHANGE_CLEAR:
        return counter_clear(table, cell, &data, context.now_ms)
    if change == CHANGE_COUNT:
        return counter_add(table, cell, &data, context.now_ms)
    entry_touch(table, cell, context.now_ms)
    return data_add(table, cell, DATA_CONN_CNT, 0, 1, context.now_ms)


cdef inline bint entry_change(
        const Context *context, const Table *table, const Key *key, int64_t what, int change,
        bint make, Sample *sample) noexcept nogil:
    """The same of the entry of a key, which may have to be made; 0 without one."""
    cdef uint64_t value = 0
    cdef uint32_t cell = entry_take(
        table, context.table_writer, key, context.now_ms, BRIEF_HOLD, make)
    if cell != NO_CELL:
        value = cell_change(context, table, cell, what, change)
        entry_give(table, context.table_writer, cell, BRIEF_HOLD)
    return set_number(sample, <int64_t>value)
