# Samples of stick tables: entries that a session follows, or that of its client (manual 7.3.3).
#
# Arguments are who is asked (an entry that is followed, or OF_SOURCE), the number of the table, and
# the data. Of an entry that is followed another table may be asked by the same key; a table
# whose keys are of another type has no such entry.

from libc.stdint cimport int64_t, uint32_t

from proxy.rules.codes cimport *
from proxy.rules.sample cimport set_address, set_number, set_truth
from proxy.rules.tables.entry cimport (
    ASKED_KILOBYTES, ASKED_TRACKERS, ASKED_VALUE, CHANGE_CLEAR, CHANGE_CONNECTION, CHANGE_COUNT,
    cell_change, data_of_number, entry_change, entry_value, held_value)
from proxy.rules.tables.key cimport TableKey, sample_key
from proxy.rules.types cimport TRACKED_MAX, Call, Context, Sample, Tracked
from shm.tables.keys cimport Key, key_set
from shm.tables.layout cimport Table, cell_at
from shm.tables.values cimport Data, data_find

cdef enum:
    OF_SOURCE = 3  # behind those that are followed
    OWN_TABLE = -1  # that of the entry itself


cdef inline bint changes(const Call *call) noexcept nogil:
    return call.fetch >= FETCH_ENTRY_COUNT


cdef inline int asked_by(const Call *call) noexcept nogil:
    if call.fetch == FETCH_ENTRY_KILOBYTES:
        return ASKED_KILOBYTES
    return ASKED_TRACKERS if call.fetch == FETCH_ENTRY_TRACKERS else ASKED_VALUE


cdef inline int change_by(const Call *call) noexcept nogil:
    if call.fetch == FETCH_ENTRY_CLEAR:
        return CHANGE_CLEAR
    return CHANGE_CONNECTION if call.fetch == FETCH_ENTRY_CONNECTION else CHANGE_COUNT


cdef inline bint tells(const Table *table, const Call *call) noexcept nogil:
    """Whether a change gives a sample: as in HAProxy a count of what is not stored is 0."""
    cdef Data data
    data_of_number(call.numbers[2], &data)
    return call.fetch == FETCH_ENTRY_COUNT or data_find(table, &data)


cdef inline bint key_fetch(
        const Context *context, const Call *call, const Table *table, const Key *key, bint make,
        Sample *sample) noexcept nogil:
    cdef bint there
    if changes(call):
        return entry_change(
            context, table, key, call.numbers[2], change_by(call), make, sample) and (
            tells(table, call))
    return entry_value(
        context, table, key, call.numbers[2], asked_by(call), sample, &there)


cdef inline bint source_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """Of the client's address; what changes an entry makes it."""
    cdef const Table *table = &context.tables[call.numbers[1]]
    cdef TableKey key
    if not set_address(sample, context.client_family, context.client) or (
            not sample_key(sample, context.scratch, table, &key)):
        return False
    return key_fetch(context, call, table, &key.key, True, sample)


cdef inline bint tracked_fetch(
        const Context *context, const Call *call, const Tracked *tracked,
        Sample *sample) noexcept nogil:
    """Of an entry that the session follows, or of the one with its key in another table."""
    cdef const Table *own = &context.tables[tracked.table - 1]
    cdef const Table *other
    cdef Key key
    if call.fetch == FETCH_ENTRY_TRACKED:
        return set_truth(sample, True)
    if call.numbers[1] == OWN_TABLE or call.numbers[1] == tracked.table - 1:
        if changes(call):
            return set_number(sample, <int64_t>cell_change(
                context, own, tracked.cell, call.numbers[2], change_by(call))) and (
                tells(own, call))
        return held_value(context, own, tracked.cell, call.numbers[2], asked_by(call), sample)
    other = &context.tables[call.numbers[1]]
    if other.kind != own.kind:
        return set_number(sample, 0)
    key_set(other, <const char *>&cell_at(own, tracked.cell).words[0], own.key_bytes, &key)
    return key_fetch(context, call, other, &key, False, sample)


cdef inline bint table_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """The sample of a fetch that asks tables; none where the session follows no such entry."""
    cdef const Tracked *tracked
    if context.tables == NULL:
        return False
    if call.numbers[0] == OF_SOURCE:
        return source_fetch(context, call, sample)
    if context.tracks != NULL and 0 <= call.numbers[0] < TRACKED_MAX:
        tracked = &context.tracks.entries[call.numbers[0]]
        if tracked.table != 0:
            return tracked_fetch(context, call, tracked, sample)
    return call.fetch == FETCH_ENTRY_TRACKED and set_truth(sample, False)
