# A message of FIX (Financial Information eXchange): fields `tag=value`, each ended by a byte 1
# (manual section 7.3.1, `fix_is_valid` and `fix_tag_value`). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memchr, memcmp

from proxy.rules.codes cimport CONVERT_FIX_VALID
from proxy.rules.sample cimport set_text, set_truth
from proxy.rules.types cimport Sample, Step

cdef enum:  # FixVerdict
    FIX_WRONG = 0
    FIX_RIGHT = 1
    FIX_SHORT = 2  # it is not whole yet

cdef enum:
    FIELD_END = 1  # the byte behind a value
    TAG_VERSION = 8
    TAG_LENGTH = 9
    TAG_CHECKSUM = 10
    TAG_TYPE = 35
    TAG_MAX = 0x7FFFFFFF
    MESSAGE_BYTES_MIN = 26  # HAProxy looks at no less

cdef struct FixField:
    int64_t tag
    const char *value
    size_t length
    size_t size  # of all of it


cdef inline int fix_field(const char *bytes, size_t length, FixField *field) noexcept nogil:
    """The field that begins there, which a value may be missing of."""
    cdef const char *end = NULL
    cdef size_t at = 0
    if length != 0:
        end = <const char *>memchr(bytes, FIELD_END, length)
    if end == NULL:
        return FIX_SHORT
    field.tag = 0
    while c"0" <= bytes[at] <= c"9":
        field.tag = field.tag * 10 + (bytes[at] - c"0")
        if field.tag > TAG_MAX:
            return FIX_WRONG
        at += 1
    if field.tag == 0 or bytes[at] != c"=":
        return FIX_WRONG
    field.value = bytes + at + 1
    field.length = <size_t>(end - field.value)
    field.size = <size_t>(end - bytes) + 1
    return FIX_RIGHT


cdef inline bint version_is_known(const FixField *field) noexcept nogil:
    if field.length == 8 and memcmp(field.value, b"FIXT.1.1", 8) == 0:
        return True
    return field.length == 7 and memcmp(field.value, b"FIX.4.", 6) == 0 and (
        c"0" <= field.value[6] <= c"4")


cdef inline int64_t decimal_of(const FixField *field) noexcept nogil:
    """The number that a value is, at most TAG_MAX; -1: it is none."""
    cdef int64_t number = 0
    cdef size_t at
    for at in range(field.length):
        if not c"0" <= field.value[at] <= c"9":
            return -1
        number = min(number * 10 + (field.value[at] - c"0"), <int64_t>TAG_MAX)
    return number if field.length != 0 else -1


cdef inline bint checksum_fits(
        const char *bytes, size_t length, const FixField *field) noexcept nogil:
    """Whether three digits say the sum of all bytes before them."""
    cdef uint32_t total = 0
    cdef size_t at
    for at in range(length):
        total += <unsigned char>bytes[at]
    return field.length == 3 and decimal_of(field) == total & 0xFF


cdef inline int fix_judged(const char *bytes, size_t length) noexcept nogil:
    """Whether the bytes begin with a message: its fields, their length, and their checksum."""
    cdef FixField field
    cdef size_t at = 0, body = 0, number = 0
    cdef int64_t said = 0
    cdef int verdict
    if length < MESSAGE_BYTES_MIN:
        return FIX_SHORT
    while True:
        verdict = fix_field(bytes + at, length - at, &field)
        if number > 1 and at < body + <size_t>said <= length and (
                verdict != FIX_RIGHT or at + field.size > body + <size_t>said):
            return FIX_WRONG  # a field ends behind what the length says
        if verdict != FIX_RIGHT:
            return verdict
        if number == 0 and (field.tag != TAG_VERSION or not version_is_known(&field)):
            return FIX_WRONG
        if number == 1:
            said = decimal_of(&field)
            body = at + field.size
            if field.tag != TAG_LENGTH or said < 0:
                return FIX_WRONG
        if number == 2 and field.tag != TAG_TYPE:
            return FIX_WRONG
        if number > 2 and (field.tag == TAG_CHECKSUM or at >= body + <size_t>said):
            return FIX_RIGHT if at == body + <size_t>said and field.tag == TAG_CHECKSUM and (
                checksum_fits(bytes, at, &field)) else FIX_WRONG
        at += field.size
        number += 1


cdef inline bint fix_value(Sample *sample, int64_t tag) noexcept nogil:
    """The value of the first field with this tag, up to the checksum."""
    cdef FixField field
    cdef size_t at = 0
    cdef int verdict
    while True:
        verdict = fix_field(sample.text + at, sample.length - at, &field)
        sample.unsettled = verdict == FIX_SHORT
        if verdict != FIX_RIGHT:
            return False
        if field.tag == tag and field.length != 0:
            set_text(sample, field.value, field.length)
            sample.binary = True
            return True
        if field.tag == tag or field.tag == TAG_CHECKSUM:
            return False
        at += field.size


cdef inline bint fix_converted(const Step *step, Sample *sample) noexcept nogil:
    cdef int verdict
    if step.convert != CONVERT_FIX_VALID:
        return fix_value(sample, step.numbers[0])
    verdict = fix_judged(sample.text, sample.length)
    sample.unsettled = verdict == FIX_SHORT
    if verdict == FIX_SHORT:
        return False
    return set_truth(sample, verdict == FIX_RIGHT)
