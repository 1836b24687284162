# The key of a stick table that the expression of a rule gives.

from proxy.rules.evaluate cimport value_of
from proxy.rules.tables.key cimport TableKey, sample_key
from proxy.rules.types cimport UNDECIDED, HOLDS, HOLDS_NOT, Call, Context, Sample
from shm.tables.layout cimport Table


cdef inline int table_key(
        const Context *context, const Call *call, const Table *table,
        TableKey *made) noexcept nogil:
    """HOLDS: there is one; HOLDS_NOT: none of the table's type; UNDECIDED: more bytes may say.

    Its bytes may lie in the context's scratch.
    """
    cdef Sample sample
    cdef bint found = value_of(context, call, &sample)
    if sample.unsettled and not context.final:
        return UNDECIDED
    return HOLDS if found and sample_key(&sample, context.scratch, table, made) else HOLDS_NOT
