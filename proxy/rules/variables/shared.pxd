# Variables of the program (`proc.*`), as samples; they lie in the segment (shm/variables.pxd).
#
# Their numbers begin behind those that sessions can have. A text is copied out, so that a sample
# stays what it was. Each of them exists since the configuration was read, as in HAProxy.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from proxy.rules.sample cimport take_scratch
from proxy.rules.types cimport (
    SAMPLE_NONE, SAMPLE_TEXT, Context, Sample, Scratch, Variable, VariableRoom, Variables)
from proxy.rules.variables.memory cimport (
    IF_NOT_EXISTS, NO_ROOM, VARIABLE_BYTES, WAS_KEPT, WAS_SET, may_set, variable_set,
    variable_unset)
from shm.segment cimport View
from shm.variable_records cimport VARIABLE_TEXT_BYTES, ProcessValue
from shm.variables cimport VARIABLE_TRIES, process_value, process_value_set

cdef enum:
    PROCESS_VARIABLES = 65536  # where their numbers begin; as in linking/rules/variables.py


cdef inline bint shared_sample(
        const View *view, Scratch *scratch, int64_t number, Sample *sample) noexcept nogil:
    """What a variable of the program has; False: nothing, or a text and no room for it."""
    cdef ProcessValue value
    cdef uint64_t seen
    cdef char *text = NULL if scratch == NULL else take_scratch(scratch)
    if view == NULL or not process_value(
            view, <uint32_t>(number - PROCESS_VARIABLES), &value, text, &seen):
        return False
    if value.type == SAMPLE_NONE or (value.type == SAMPLE_TEXT and text == NULL):
        return False
    sample.type, sample.family = value.type, value.family
    sample.truth, sample.binary = value.truth, value.binary
    sample.number = value.number
    memcpy(sample.address, value.address, 16)
    sample.text, sample.length = text, value.length
    return True


cdef inline int64_t bytes_taken(const View *view) noexcept nogil:
    """By all variables of the program that have a value."""
    cdef ProcessValue value
    cdef uint64_t seen
    cdef uint32_t number
    cdef int64_t taken = 0
    for number in range(view.header.variables):
        if process_value(view, number, &value, NULL, &seen) and value.type != SAMPLE_NONE:
            taken += VARIABLE_BYTES + value.length
    return taken


cdef inline bint value_fits(
        const View *view, const ProcessValue *former, const ProcessValue *value) noexcept nogil:
    """Whether `tune.vars.*` lets one value take the place of another."""
    cdef int64_t more = <int64_t>value.length - former.length
    if former.type == SAMPLE_NONE:
        more = VARIABLE_BYTES + value.length
    return view.variables.bytes_max == 0 or more <= 0 or (
        bytes_taken(view) + more <= <int64_t>view.variables.bytes_max)


cdef inline int shared_set(
        const View *view, uint32_t row, int64_t number, const Sample *sample,
        uint32_t when) noexcept nogil:
    """Set a variable of the program, if the conditions hold; what came of it.

    `row` is the one that this thread writes. The conditions are judged by the value that the new
    one takes the place of.
    """
    cdef uint32_t cell = <uint32_t>(number - PROCESS_VARIABLES)
    cdef ProcessValue former, value
    cdef Variable known
    cdef uint64_t seen
    cdef int attempt
    if when & IF_NOT_EXISTS:
        return WAS_KEPT
    memset(&value, 0, sizeof(value))
    value.type, value.family = sample.type, sample.family
    value.truth, value.binary = sample.truth, sample.binary
    value.number = sample.number
    memcpy(value.address, sample.address, 16)
    if sample.type == SAMPLE_TEXT:
        if sample.length > VARIABLE_TEXT_BYTES:
            return NO_ROOM
        value.length = <uint32_t>sample.length
    for attempt in range(VARIABLE_TRIES):
        if not process_value(view, cell, &former, NULL, &seen):
            memset(&former, 0, sizeof(former))
            former.type = SAMPLE_NONE
        known.type, known.number = former.type, former.number
        if not may_set(&known, sample, when):
            return WAS_KEPT
        if not value_fits(view, &former, &value):
            return NO_ROOM
        if process_value_set(view, row, cell, seen, &value, sample.text):
            return WAS_SET
    return NO_ROOM


cdef inline void shared_unset(const View *view, uint32_t row, int64_t number) noexcept nogil:
    """Let a variable of the program have no value."""
    cdef Sample nothing
    memset(&nothing, 0, sizeof(nothing))
    nothing.type = SAMPLE_NONE
    shared_set(view, row, number, &nothing, 0)


cdef inline int noted(
        const Context *context, VariableRoom *room, int64_t number, const Sample *sample,
        uint32_t when) noexcept nogil:
    """Set a variable, of the session or of the program; what came of it."""
    if number >= PROCESS_VARIABLES:
        return shared_set(context.view, room.row, number, sample, when)
    return variable_set(room, context.kept, <uint32_t>number, sample, when)


cdef inline void forgotten(
        const Context *context, VariableRoom *room, int64_t number) noexcept nogil:
    """Unset one."""
    if number >= PROCESS_VARIABLES:
        shared_unset(context.view, room.row, number)
    else:
        variable_unset(room, context.kept[0], <uint32_t>number)
