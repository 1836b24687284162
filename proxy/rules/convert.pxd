# Converters: a sample of a sample (manual section 7.3.1). Pure; every loop is over its bytes.

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint16_t
from libc.string cimport memchr

from proxy.rules.codes cimport *
from proxy.rules.sample cimport as_bytes, as_number, as_text, set_number, set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step

cdef extern from * nogil:
    bint __builtin_add_overflow(int64_t one, int64_t other, int64_t *result)
    bint __builtin_sub_overflow(int64_t one, int64_t other, int64_t *result)
    bint __builtin_mul_overflow(int64_t one, int64_t other, int64_t *result)


cdef inline char cased(char letter, bint upper) noexcept nogil:
    """ASCII only."""
    if upper:
        return letter - 32 if c"a" <= letter <= c"z" else letter
    return letter + 32 if c"A" <= letter <= c"Z" else letter


cdef inline bint change_case(Sample *sample, bint upper, Scratch *scratch) noexcept nogil:
    cdef size_t at, length
    cdef char *bytes
    if scratch == NULL or not as_text(sample, scratch):
        return False
    bytes = take_scratch(scratch)
    length = min(sample.length, <size_t>(SCRATCH_BYTES - 1))
    for at in range(length):
        bytes[at] = cased(sample.text[at], upper)
    set_text(sample, bytes, length)
    return True


cdef inline bint to_hex(Sample *sample, Scratch *scratch) noexcept nogil:
    cdef size_t at, length
    cdef char *bytes
    if scratch == NULL or not as_bytes(sample, scratch):
        return False
    bytes = take_scratch(scratch)
    length = min(sample.length, <size_t>(SCRATCH_BYTES // 2))
    for at in range(length):
        bytes[2 * at] = b"0123456789ABCDEF"[<unsigned char>sample.text[at] >> 4]
        bytes[2 * at + 1] = b"0123456789ABCDEF"[<unsigned char>sample.text[at] & 15]
    set_text(sample, bytes, 2 * length)
    return True


cdef inline bint part_of(Sample *sample, const Step *step, Scratch *scratch) noexcept nogil:
    """`bytes`: from an offset on, so many at most; -1: all."""
    cdef size_t offset
    if not as_bytes(sample, scratch):
        return False
    offset = min(<size_t>step.numbers[0], sample.length)
    sample.text += offset
    sample.length -= offset
    if step.numbers[1] >= 0:
        sample.length = min(sample.length, <size_t>step.numbers[1])
    return True


cdef inline bint separates(const Step *step, char letter) noexcept nogil:
    return step.length != 0 and memchr(step.text, letter, step.length) != NULL


cdef inline bint field_from_start(Sample *sample, const Step *step) noexcept nogil:
    """From the field with that number on, from 1, so many; 0: all. False: there is none."""
    cdef size_t at = 0, begin = 0
    cdef int64_t field = 1, last = step.numbers[0] + step.numbers[1] - 1
    for at in range(sample.length):
        if not separates(step, sample.text[at]):
            continue
        if field < step.numbers[0]:
            begin = at + 1
        elif step.numbers[1] != 0 and field == last:
            set_text(sample, sample.text + begin, at - begin)
            return True
        field += 1
    set_text(sample, sample.text + begin, sample.length - begin)
    return field >= step.numbers[0]


cdef inline bint field_from_end(Sample *sample, const Step *step) noexcept nogil:
    """The same from the end, where the last field is number -1, to the left."""
    cdef size_t at = sample.length, end = sample.length
    cdef int64_t field = -1, last = step.numbers[0] - step.numbers[1] + 1
    while at > 0:
        at -= 1
        if not separates(step, sample.text[at]):
            continue
        if field > step.numbers[0]:
            end = at
        elif step.numbers[1] != 0 and field == last:
            set_text(sample, sample.text + at + 1, end - at - 1)
            return True
        field -= 1
    set_text(sample, sample.text, end)
    return field <= step.numbers[0]


cdef inline int64_t saturated(bint overflows, int64_t result, bint down) noexcept nogil:
    if not overflows:
        return result
    return INT64_MIN if down else INT64_MAX


cdef inline int64_t calculated(uint16_t what, int64_t one, int64_t other) noexcept nogil:
    """Arithmetic that ends at the limits; nothing divides by 0."""
    cdef int64_t result = 0
    cdef bint over
    if what == CONVERT_ADD:
        over = __builtin_add_overflow(one, other, &result)
        return saturated(over, result, one < 0)
    if what == CONVERT_SUB:
        over = __builtin_sub_overflow(one, other, &result)
        return saturated(over, result, one < 0)
    if what == CONVERT_MUL:
        over = __builtin_mul_overflow(one, other, &result)
        return saturated(over, result, (one < 0) != (other < 0))
    if what == CONVERT_DIV:
        if other == 0 or (one == INT64_MIN and other == -1):
            return INT64_MAX
        return one // other  # as C does: towards 0
    if what == CONVERT_MOD:
        return 0 if other == 0 or other == -1 else one % other
    if what == CONVERT_AND:
        return one & other
    if what == CONVERT_OR:
        return one | other
    return one ^ other


cdef inline int64_t alone(uint16_t what, int64_t number) noexcept nogil:
    """What a converter without an argument makes of a number."""
    if what == CONVERT_NEG:
        return INT64_MAX if number == INT64_MIN else -number
    if what == CONVERT_CPL:
        return ~number
    if what == CONVERT_NOT:
        return number == 0
    if what == CONVERT_BOOL:
        return number != 0
    return (number & 1) == (1 if what == CONVERT_ODD else 0)


cdef inline bint converted(const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """Make another sample of the sample; False: there is none."""
    cdef uint16_t what = step.convert
    if what == CONVERT_UPPER or what == CONVERT_LOWER:
        return change_case(sample, what == CONVERT_UPPER, scratch)
    if what == CONVERT_HEX:
        return to_hex(sample, scratch)
    if what == CONVERT_LENGTH:
        return as_text(sample, scratch) and set_number(sample, <int64_t>sample.length)
    if what == CONVERT_BYTES:
        return part_of(sample, step, scratch)
    if what == CONVERT_FIELD:
        if not as_text(sample, scratch):
            return False
        if step.numbers[0] > 0:
            return field_from_start(sample, step)
        return field_from_end(sample, step)
    if not as_number(sample):
        return False
    if what < CONVERT_NEG:
        sample.number = calculated(what, sample.number, step.numbers[0])
    else:
        sample.number = alone(what, sample.number)
        sample.truth = sample.truth or what >= CONVERT_NOT
    return True
