# Converters: a sample of a sample (manual section 7.3.1). Pure; every loop is over its bytes.

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memchr, memcmp, memcpy

from proxy.rules.codes cimport *
from proxy.rules.coding.base64 cimport base64_decode, base64_encode
from proxy.rules.coding.hashes cimport avalanche, short_hash
from proxy.rules.coding.xxhash cimport xxh32, xxh64
from proxy.rules.converting.messages cimport message_converted
from proxy.rules.converting.octets cimport octets_converted
from proxy.rules.converting.substitute cimport substituted
from proxy.rules.converting.texts cimport text_converted
from proxy.rules.maps.value cimport looked_up
from proxy.rules.moment cimport gmtime_r, localtime_r, strftime, time_t, tm
from proxy.rules.sample cimport (
    as_address, as_bytes, as_number, as_text, set_address, set_number, set_text, take_scratch)
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step

cdef extern from * nogil:
    bint __builtin_add_overflow(int64_t one, int64_t other, int64_t *result)
    bint __builtin_sub_overflow(int64_t one, int64_t other, int64_t *result)
    bint __builtin_mul_overflow(int64_t one, int64_t other, int64_t *result)


cdef enum:
    TIME_BITS = 0x7FFFFFFFFFFFFF  # as in HAProxy: a year fits in an int, and no time is before 1970


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


cdef inline void word_from_start(Sample *sample, const Step *step) noexcept nogil:
    """The word with that number, from 1, and so many; 0: all. Without it, an empty text."""
    cdef size_t at = 0, begin, found = sample.length
    cdef int64_t word = 1, last = step.numbers[0] + step.numbers[1] - 1
    while at < sample.length:
        while at < sample.length and separates(step, sample.text[at]):
            at += 1
        begin = at
        while at < sample.length and not separates(step, sample.text[at]):
            at += 1
        if begin == at:
            break
        if word == step.numbers[0]:
            found = begin
        if word >= step.numbers[0] and step.numbers[1] != 0 and word == last:
            set_text(sample, sample.text + found, at - found)
            return
        word += 1
    set_text(sample, sample.text + found, sample.length - found)


cdef inline void word_from_end(Sample *sample, const Step *step) noexcept nogil:
    """The same from the end, where the last word is number -1, to the left."""
    cdef size_t at = sample.length, end, found = 0
    cdef int64_t word = -1, last = step.numbers[0] - step.numbers[1] + 1
    while at > 0:
        while at > 0 and separates(step, sample.text[at - 1]):
            at -= 1
        end = at
        while at > 0 and not separates(step, sample.text[at - 1]):
            at -= 1
        if end == at:
            break
        if word == step.numbers[0]:
            found = end
        if word <= step.numbers[0] and step.numbers[1] != 0 and word == last:
            set_text(sample, sample.text + at, found - at)
            return
        word -= 1
    set_text(sample, sample.text, found)


cdef inline bint encoded(Sample *sample, Scratch *scratch) noexcept nogil:
    """`base64`; without room for all of it there is none."""
    cdef char *text
    if scratch == NULL or not as_bytes(sample, scratch):
        return False
    if sample.length > (SCRATCH_BYTES - 1) // 4 * 3:
        return False
    text = take_scratch(scratch)
    set_text(
        sample, text,
        base64_encode(<const unsigned char *>sample.text, sample.length, text))
    return True


cdef inline bint decoded(Sample *sample, Scratch *scratch) noexcept nogil:
    """`b64dec`."""
    cdef char *bytes
    cdef size_t written = 0
    if scratch == NULL or not as_text(sample, scratch) or sample.length > SCRATCH_BYTES:
        return False
    bytes = take_scratch(scratch)
    if not base64_decode(sample.text, sample.length, bytes, &written):
        return False
    set_text(sample, bytes, written)
    sample.binary = True
    return True


cdef inline bint masked(Sample *sample, const Step *step) noexcept nogil:
    """`ipmask`: of IPv6 what is mapped IPv4 as that, the rest where there is a second mask."""
    cdef const char *mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"  # RFC 4291, section 2.5.5.2
    cdef int64_t bits = step.numbers[0]
    cdef int at
    if not as_address(sample):
        return False
    if sample.family == 6 and memcmp(sample.address, mapped, 12) == 0:
        memcpy(sample.address, sample.address + 12, 4)
        sample.family = 4
    if sample.family == 6:
        bits = step.numbers[1]
    for at in range(4 if sample.family == 4 else 16):
        if bits < 8:
            sample.address[at] &= <uint8_t>(0xFF00 >> max(bits, 0))
        bits -= 8
    return sample.family == 4 or step.numbers[1] >= 0


cdef inline bint said_time(Sample *sample, const Step *step, Scratch *scratch) noexcept nogil:
    """`ltime` and `utime`: seconds since 1970 and an offset, in the form of strftime(3)."""
    cdef tm parts
    cdef time_t second
    cdef char *text
    if scratch == NULL or not as_number(sample):
        return False
    second = <time_t>((<uint64_t>sample.number & TIME_BITS) + <uint64_t>step.numbers[0])
    if step.convert == CONVERT_UTC_TIME:
        if gmtime_r(&second, &parts) == NULL:
            return False
    elif localtime_r(&second, &parts) == NULL:
        return False
    text = take_scratch(scratch)
    set_text(sample, text, strftime(text, SCRATCH_BYTES, step.text, &parts))
    return True


cdef inline bint hashed(Sample *sample, const Step *step, Scratch *scratch) noexcept nogil:
    cdef const unsigned char *bytes
    cdef uint32_t found
    if not as_bytes(sample, scratch):
        return False
    bytes = <const unsigned char *>sample.text
    if step.convert == CONVERT_XXH64:
        return set_number(
            sample, <int64_t>xxh64(bytes, sample.length, <uint64_t>step.numbers[0]))
    if step.convert == CONVERT_XXH32:
        return set_number(sample, xxh32(bytes, sample.length, <uint32_t>step.numbers[0]))
    found = short_hash(step.convert, bytes, sample.length)
    return set_number(sample, avalanche(found) if step.numbers[0] != 0 else found)


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


cdef inline bint other_converted(
        const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """Words, codings, masks, times and hashes."""
    if step.convert == CONVERT_WORD:
        if not as_text(sample, scratch):
            return False
        if step.numbers[0] > 0:
            word_from_start(sample, step)
        else:
            word_from_end(sample, step)
        return True
    if step.convert == CONVERT_MAP:
        return looked_up(step, scratch, sample)
    if step.convert == CONVERT_BASE64:
        return encoded(sample, scratch)
    if step.convert == CONVERT_UNBASE64:
        return decoded(sample, scratch)
    if step.convert == CONVERT_MASK:
        return masked(sample, step)
    if step.convert == CONVERT_LOCAL_TIME or step.convert == CONVERT_UTC_TIME:
        return said_time(sample, step, scratch)
    return hashed(sample, step, scratch)


cdef inline bint converted(const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """Make another sample of the sample; False: there is none."""
    cdef uint16_t what = step.convert
    if what >= CONVERT_OF_MESSAGES:
        return message_converted(step, scratch, sample)
    if what >= CONVERT_NETWORK_ORDER:
        return octets_converted(step, scratch, sample)
    if what > CONVERT_SUBSTITUTE:
        return text_converted(step, scratch, sample)
    if what == CONVERT_SUBSTITUTE:
        return substituted(step, scratch, sample)
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
    if what < CONVERT_ADD:
        return other_converted(step, scratch, sample)
    if not as_number(sample):
        return False
    if what < CONVERT_NEG:
        sample.number = calculated(what, sample.number, step.numbers[0])
    else:
        sample.number = alone(what, sample.number)
        sample.truth = sample.truth or what >= CONVERT_NOT
    return True
