# Which converter of whole messages, or of fine times, a step is.

from proxy.rules.codes cimport CONVERT_FINE_TIME, CONVERT_FIX_VALID
from proxy.rules.converting.fine_times cimport fine_time
from proxy.rules.converting.fix cimport fix_converted
from proxy.rules.converting.mqtt cimport mqtt_converted
from proxy.rules.sample cimport as_bytes
from proxy.rules.types cimport Sample, Scratch, Step


cdef inline bint message_converted(
        const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    if step.convert == CONVERT_FINE_TIME:
        return fine_time(sample, step, scratch)
    if scratch == NULL or not as_bytes(sample, scratch):
        return False
    if step.convert >= CONVERT_FIX_VALID:
        return fix_converted(step, sample)
    return mqtt_converted(step, scratch, sample)
