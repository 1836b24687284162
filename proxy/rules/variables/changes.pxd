# Converters that change a variable, of a session or of the program, and leave the sample as it
# is: `set-var` and `unset-var` (manual section 7.3.1); what was not set gives none, as in HAProxy.
# Who only tells of a client has no room for it, and changes nothing.

from libc.stdint cimport int64_t, uint32_t

from proxy.rules.codes cimport CONVERT_SET_VARIABLE
from proxy.rules.types cimport Context, Sample, Step
from proxy.rules.variables.memory cimport WAS_SET
from proxy.rules.variables.shared cimport PROCESS_VARIABLES, forgotten, noted


cdef inline bint changed(
        const Context *context, const Step *step, const Sample *sample) noexcept nogil:
    cdef int64_t number = step.numbers[2]
    if context.room == NULL or number < 0 or (
            context.kept == NULL and number < PROCESS_VARIABLES):
        return True
    if step.convert == CONVERT_SET_VARIABLE:
        return WAS_SET == noted(
            context, context.room, number, sample, <uint32_t>step.numbers[0])
    forgotten(context, context.room, number)
    return True
