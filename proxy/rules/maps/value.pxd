# The converters that look up in a map (manual section 7.3.1, `map`). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from proxy.lists.changing.image cimport reading_of
from proxy.lists.layout cimport Reading, Record, in_order, value_at
from proxy.lists.regex cimport GROUPS_MAX, RegexView, regex_matches
from proxy.rules.codes cimport *
from proxy.rules.converting.substitute cimport put_replacement
from proxy.rules.maps.found cimport pattern_found
from proxy.rules.match cimport suits
from proxy.rules.sample cimport as_address, as_number, set_number, set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step
from shm.text cimport Text, text_over


cdef inline bint value_given(
        Sample *sample, const char *text, size_t length, int gives) noexcept nogil:
    """Make a sample of the text of a value."""
    cdef const char *bits
    set_text(sample, text, length)
    if gives == MAP_TEXT:
        return True
    if gives == MAP_NUMBER:
        return as_number(sample) or set_number(sample, 0)
    bits = <const char *>memchr(text, c"/", length) if length else NULL
    if bits != NULL:
        sample.length = <size_t>(bits - text)
    return as_address(sample)


cdef inline bint value_written(
        Sample *sample, Scratch *scratch, Reading reading, RegexView *regexes, const char *form,
        size_t length) noexcept nogil:
    """`map_regm`: the value, with what the groups of its expression have found in the sample."""
    cdef Text text
    if scratch == NULL:
        return False
    if not in_order(reading.head):  # another one may have been tried since
        regex_matches(regexes, regexes.last, sample.text, sample.length)
    text = text_over(take_scratch(scratch), SCRATCH_BYTES - 1)
    put_replacement(
        &text, form, length, regexes, regexes.groups or GROUPS_MAX, sample.text)  # 0: it has more
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint looked_up(const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """The value that a map has for the sample, or the default."""
    cdef const Record *found
    cdef const char *text
    cdef size_t length
    cdef Reading reading
    if not suits(sample, scratch, <uint8_t>step.numbers[0]):
        return False
    reading = reading_of(step.patterns.head, &step.patterns.changes)
    found = pattern_found(reading, step.patterns.regexes, <uint8_t>step.numbers[0], sample)
    if found != NULL:
        text = value_at(reading.head, found, &length)
        if step.numbers[0] == MATCH_REGM:
            return value_written(sample, scratch, reading, step.patterns.regexes, text, length)
        return value_given(sample, text, length, <int>step.numbers[1])
    return step.numbers[2] != 0 and value_given(
        sample, step.text, step.length, <int>step.numbers[1])
