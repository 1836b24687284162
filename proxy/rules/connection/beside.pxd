# Samples of what was noted of a session, and of tables and servers as a whole (manual sections
# 7.3.2 to 7.3.4).

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport strlen

from proxy.rules.codes cimport *
from proxy.rules.connection.errors cimport error_text
from proxy.rules.sample cimport set_number, set_text
from proxy.rules.tables.occupied cimport entries_counted
from proxy.rules.types cimport Call, Connection, Context, HeaderFields, Sample
from shm.rates cimport rate_now
from shm.tables.layout cimport Table


cdef inline bint field_sample(
        const HeaderFields *fields, bint authority, Sample *sample) noexcept nogil:
    """A field of the PROXY header that the client came with."""
    if fields == NULL:
        return False
    if authority:
        set_text(sample, fields.bytes, max(fields.authority_length, 0))
        return fields.authority_length >= 0
    set_text(
        sample, fields.bytes + max(fields.authority_length, 0), max(fields.unique_id_length, 0))
    return fields.unique_id_length >= 0


cdef inline bint decided_sample(
        const Connection *connection, bint line, Sample *sample) noexcept nogil:
    """Where the rule stands that decided last."""
    if connection.decided_line == 0:
        return False
    if line:
        return set_number(sample, connection.decided_line)
    set_text(sample, connection.decided_file, connection.decided_length)
    return True


cdef inline bint beside_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    cdef uint16_t what = call.fetch
    cdef const Table *table
    cdef int64_t used
    if what == FETCH_TABLE_USED or what == FETCH_TABLE_FREE:
        if context.tables == NULL:
            return False
        table = &context.tables[call.numbers[1]]
        used = <int64_t>entries_counted(table, context.now_ms)
        return set_number(
            sample, used if what == FETCH_TABLE_USED
            else max(<int64_t>table.most_entries - used, <int64_t>0))
    if what == FETCH_SERVER_RATE:
        return context.view != NULL and set_number(sample, <int64_t>rate_now(
            &context.view.servers_shared[<uint32_t>call.numbers[0]].came[0], context.now_ms))
    if what == FETCH_HEADER_AUTHORITY or what == FETCH_HEADER_UNIQUE_ID:
        return field_sample(
            context.connection.fields, what == FETCH_HEADER_AUTHORITY, sample)
    if what == FETCH_ERROR:
        return set_number(sample, context.connection.error)
    if what == FETCH_ERROR_TEXT:
        set_text(
            sample, error_text(context.connection.error),
            strlen(error_text(context.connection.error)))
        return True
    if what == FETCH_UNIQUE_ID:
        set_text(sample, context.connection.unique_id, context.connection.unique_id_length)
        return context.connection.unique_id_length != 0
    return decided_sample(&context.connection, what == FETCH_RULE_LINE, sample)
