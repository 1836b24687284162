# Times with parts of a second as text: `ms_ltime`, `us_utime` and the like (manual of HAProxy 3.0,
# section 7.3.1).

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.rules.moment cimport gmtime_r, localtime_r, strftime, time_t, tm
from proxy.rules.sample cimport as_number, set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step
from shm.text cimport Text, put_character, put_padded, text_over

cdef enum:
    FINE_TIME_BITS = 0x7FFFFFFFFFFFFF  # as of the other converters of times
    FRACTION_DIGITS = 9  # of nanoseconds


cdef inline void put_fraction(Text *text, uint64_t nanoseconds, int digits) noexcept nogil:
    """The first digits of what is behind the second."""
    cdef int at
    for at in range(FRACTION_DIGITS - digits):
        nanoseconds //= 10
    put_padded(text, <int64_t>nanoseconds, digits)


cdef inline void form_filled(const Step *step, uint64_t nanoseconds, Text *text) noexcept nogil:
    """The form for strftime(3), with digits instead of `%N`, which may say how many: `%3N`."""
    cdef size_t at = 0
    cdef int digits
    cdef bint counted
    while at < step.length:
        if step.text[at] != c"%" or at + 1 == step.length:
            put_character(text, step.text[at])
            at += 1
            continue
        counted = c"1" <= step.text[at + 1] <= c"9" and at + 2 < step.length
        digits = step.text[at + 1] - c"0" if counted else FRACTION_DIGITS
        if step.text[at + 1 + counted] == c"N":
            put_fraction(text, nanoseconds, digits)
            at += 2 + counted
            continue
        put_character(text, c"%")
        put_character(text, step.text[at + 1])
        at += 2


cdef inline bint fine_time(Sample *sample, const Step *step, Scratch *scratch) noexcept nogil:
    """Of a number of thousandths or millionths since 1970, and an offset in the same unit."""
    cdef uint64_t unit = <uint64_t>step.numbers[1], number
    cdef time_t second
    cdef tm parts
    cdef Text form
    cdef char *text
    if scratch == NULL or not as_number(sample):
        return False
    number = (<uint64_t>sample.number & FINE_TIME_BITS) + <uint64_t>step.numbers[0]
    second = <time_t>(number // unit)
    if (gmtime_r(&second, &parts) if step.numbers[2] else localtime_r(&second, &parts)) == NULL:
        return False
    form = text_over(take_scratch(scratch), SCRATCH_BYTES - 1)
    form_filled(step, number % unit * (1_000_000_000 // unit), &form)
    form.at[0] = 0
    text = take_scratch(scratch)
    set_text(sample, text, strftime(text, SCRATCH_BYTES, form.start, &parts))
    return True
