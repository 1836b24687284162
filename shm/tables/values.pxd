# The data of an entry by its type: found, read and counted (manual section 4.2, `stick-table`).
#
# What is asked of a single counter or tag (gpc0, gpc1, gpt0) is asked of the first elements of the
# array where a table stores that instead, as in HAProxy.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport fetch_add, load_relaxed, store_relaxed
from shm.tables.cells cimport entry_touch, sessions_at
from shm.tables.layout cimport (
    DATA_BYTES_IN_CNT, DATA_BYTES_OUT_CNT, DATA_CONN_CUR, DATA_GPC, DATA_GPC0, DATA_GPC0_RATE,
    DATA_GPC1, DATA_GPC1_RATE, DATA_GPC_RATE, DATA_GPT, DATA_GPT0, DATA_SERVER, StoredWords, Table,
    data_of)
from shm.tables.rates cimport rate_add, rate_read

cdef enum:
    NARROW_MASK = 0xFFFFFFFF  # all data but sums of bytes are of 32 bits

cdef struct Data:  # one element of one type
    int type  # DataNumber
    uint32_t element


cdef inline bint data_find(const Table *table, Data *data) noexcept nogil:
    """Say where the table has it; False: it is not stored."""
    if table.stored[data.type].elements == 0:
        if data.type == DATA_GPC0 or data.type == DATA_GPC1:
            data.element = data.type == DATA_GPC1
            data.type = DATA_GPC
        elif data.type == DATA_GPC0_RATE or data.type == DATA_GPC1_RATE:
            data.element = data.type == DATA_GPC1_RATE
            data.type = DATA_GPC_RATE
        elif data.type == DATA_GPT0:
            data.type = DATA_GPT
    return data.element < table.stored[data.type].elements


cdef inline uint64_t data_read(
        const Table *table, uint32_t number, const Data *data, int64_t now_ms) noexcept nogil:
    """The value of what `data_find` has found; of a server its id."""
    cdef const StoredWords *stored = &table.stored[data.type]
    cdef uint64_t *words
    if data.type == DATA_CONN_CUR:
        return sessions_at(table, number)
    words = data_of(table, number, data.type)
    if stored.period_ms != 0:
        return rate_read(words + 2 * data.element, stored.period_ms, now_ms)
    if data.type == DATA_BYTES_IN_CNT or data.type == DATA_BYTES_OUT_CNT:
        return load_relaxed(words)
    if data.type == DATA_SERVER:
        return load_relaxed(words + 1) & <uint64_t>NARROW_MASK
    return load_relaxed(words + data.element) & <uint64_t>NARROW_MASK


cdef inline uint64_t data_add(
        const Table *table, uint32_t number, int type, uint32_t element, uint64_t amount,
        int64_t now_ms) noexcept nogil:
    """Count events of an entry that is held, where they are stored; a counter's new value, or 0."""
    cdef Data data
    cdef uint64_t *words
    cdef uint64_t mask = NARROW_MASK
    data.type, data.element = type, element
    if not data_find(table, &data):
        return 0
    words = data_of(table, number, data.type)
    if table.stored[data.type].period_ms != 0:
        rate_add(
            words + 2 * data.element, table.stored[data.type].period_ms, now_ms, <uint32_t>amount)
        return 0
    return fetch_add(words + data.element, amount) + amount & mask


cdef inline void tag_set(
        const Table *table, uint32_t number, const Data *tag, uint64_t value,
        int64_t now_ms) noexcept nogil:
    """Set a tag of an entry that is held, which lives on; nothing where it is not stored."""
    cdef Data data = tag[0]
    if data_find(table, &data):
        store_relaxed(data_of(table, number, data.type) + data.element, value & NARROW_MASK)
        entry_touch(table, number, now_ms)


cdef inline int rate_of_counter(int counter) noexcept nogil:
    """The rate that moves with a general counter."""
    if counter == DATA_GPC0:
        return DATA_GPC0_RATE
    return DATA_GPC1_RATE if counter == DATA_GPC1 else DATA_GPC_RATE


cdef inline uint64_t counter_add(
        const Table *table, uint32_t number, const Data *counter, int64_t now_ms) noexcept nogil:
    """Count one event by a general counter and its rate; the counter, or 0 without one."""
    cdef Data rate = counter[0], found = counter[0]
    rate.type = rate_of_counter(counter.type)
    if not data_find(table, &rate) and not data_find(table, &found):
        return 0
    entry_touch(table, number, now_ms)
    data_add(table, number, rate_of_counter(counter.type), counter.element, 1, now_ms)
    return data_add(table, number, counter.type, counter.element, 1, now_ms)
