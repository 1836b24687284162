# Converters that ask stick tables by the sample (manual section 7.3.1, `in_table` and `table_...`).

from libc.stdint cimport int64_t

from proxy.rules.codes cimport *
from proxy.rules.sample cimport set_number, set_truth
from proxy.rules.tables.entry cimport (
    ASKED_KILOBYTES, ASKED_TRACKERS, ASKED_VALUE, entry_is_there, entry_left_ms, entry_value)
from proxy.rules.tables.key cimport TableKey, sample_key
from proxy.rules.types cimport Context, Sample, Step
from shm.tables.keys cimport Key
from shm.tables.layout cimport Table


cdef inline bint time_sample(
        const Context *context, const Step *step, const Table *table, const Key *key,
        Sample *sample) noexcept nogil:
    """How long an entry has to live, or was not touched, in ms; without it what the step says."""
    cdef int64_t left = entry_left_ms(context, table, key)
    if left < 0:
        return set_number(sample, step.numbers[2]) and step.numbers[1] != 0
    if step.convert == CONVERT_ENTRY_IDLE:
        left = table.expire_ms - left
    return set_number(sample, left)


cdef inline bint table_converted(
        const Context *context, const Step *step, Sample *sample) noexcept nogil:
    """What a table says of the sample; none where it can be no key of it."""
    cdef const Table *table
    cdef TableKey key
    cdef int asked = ASKED_VALUE
    cdef bint there
    if context.tables == NULL:
        return False
    table = &context.tables[step.numbers[0]]
    if not sample_key(sample, context.scratch, table, &key):
        return False
    if step.convert == CONVERT_IN_TABLE:
        return set_truth(sample, entry_is_there(context, table, &key.key))
    if step.convert >= CONVERT_ENTRY_EXPIRY:
        return time_sample(context, step, table, &key.key, sample)
    if step.convert == CONVERT_ENTRY_KILOBYTES:
        asked = ASKED_KILOBYTES
    elif step.convert == CONVERT_ENTRY_TRACKERS:
        asked = ASKED_TRACKERS
    if not entry_value(context, table, &key.key, step.numbers[1], asked, sample, &there):
        return False
    if asked == ASKED_TRACKERS and there:
        sample.number += 1  # as HAProxy, whose look-up counts as one
    return True
