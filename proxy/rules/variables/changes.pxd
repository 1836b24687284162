# Converters that change a variable of a session, and leave the sample as it is: `set-var` and
# `unset-var` (manual section 7.3.1). Who only tells of a client has no room for it, and changes
# nothing.

from libc.stdint cimport uint32_t

from proxy.rules.codes cimport CONVERT_SET_VARIABLE
from proxy.rules.types cimport Context, Sample, Step
from proxy.rules.variables.memory cimport variable_set, variable_unset


cdef inline bint changed(
        const Context *context, const Step *step, const Sample *sample) noexcept nogil:
    cdef uint32_t number = <uint32_t>step.numbers[2]
    if context.room == NULL or context.kept == NULL or step.numbers[2] < 0:
        return True
    if step.convert == CONVERT_SET_VARIABLE:
        variable_set(context.room, context.kept, number, sample, <uint32_t>step.numbers[0])
    else:
        variable_unset(context.room, context.kept[0], number)
    return True
