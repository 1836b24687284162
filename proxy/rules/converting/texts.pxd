# Converters of texts: parts of them, and the coding of URLs (manual section 7.3.1). Pure.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr

from proxy.rules.codes cimport *
from proxy.rules.sample cimport as_number, as_text, set_number, set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step

cdef enum:
    NO_DIGIT = -1


cdef inline int hex_digit(char letter) noexcept nogil:
    if c"0" <= letter <= c"9":
        return letter - c"0"
    if c"A" <= letter <= c"F":
        return letter - c"A" + 10
    return letter - c"a" + 10 if c"a" <= letter <= c"f" else NO_DIGIT


cdef inline bint is_of(const Step *step, char letter) noexcept nogil:
    return step.length != 0 and memchr(step.text, letter, step.length) != NULL


cdef inline void trim(Sample *sample, const Step *step) noexcept nogil:
    """`ltrim` and `rtrim`."""
    if step.convert == CONVERT_TRIM_LEFT:
        while sample.length != 0 and is_of(step, sample.text[0]):
            sample.text += 1
            sample.length -= 1
    else:
        while sample.length != 0 and is_of(step, sample.text[sample.length - 1]):
            sample.length -= 1


cdef inline void cut_line(Sample *sample) noexcept nogil:
    """`cut_crlf`."""
    cdef size_t at
    for at in range(sample.length):
        if sample.text[at] == c"\r" or sample.text[at] == c"\n":
            sample.length = at
            return


cdef inline bint hex_number(Sample *sample) noexcept nogil:
    """`hex2i`: of digits alone, of which the last 16 count."""
    cdef uint64_t number = 0
    cdef size_t at
    cdef int digit
    for at in range(sample.length):
        digit = hex_digit(sample.text[at])
        if digit == NO_DIGIT:
            return False
        number = number << 4 | <uint64_t>digit
    return set_number(sample, <int64_t>number)


cdef inline size_t host_length(const Sample *sample) noexcept nogil:
    """Where the port's colon is, the last one that no bracket follows; else the length."""
    cdef size_t at = sample.length
    while at > 0 and sample.text[at - 1] != c"]":
        at -= 1
        if sample.text[at] == c":":
            return at
    return sample.length


cdef inline bint host_only(Sample *sample, Scratch *scratch) noexcept nogil:
    """The host, in small letters."""
    cdef size_t length = min(host_length(sample), <size_t>(SCRATCH_BYTES - 1)), at
    cdef char *bytes = take_scratch(scratch)
    for at in range(length):
        bytes[at] = sample.text[at]
        if c"A" <= bytes[at] <= c"Z":
            bytes[at] += 32
    set_text(sample, bytes, length)
    return True


cdef inline bint port_only(Sample *sample) noexcept nogil:
    """The port, 0 where there is none."""
    cdef size_t at = host_length(sample) + 1
    cdef uint32_t port = 0
    while at < sample.length and c"0" <= sample.text[at] <= c"9":
        port = port * 10 + <uint32_t>(sample.text[at] - c"0")
        at += 1
    return set_number(sample, port)


cdef inline bint url_decoded(Sample *sample, bint in_form, Scratch *scratch) noexcept nogil:
    """`url_dec`: a plus is a space in a form, and behind the first question mark."""
    cdef char *bytes = take_scratch(scratch)
    cdef size_t at = 0, written = 0
    cdef int high, low
    if sample.length >= SCRATCH_BYTES:
        return False
    while at < sample.length:
        bytes[written] = sample.text[at]
        if sample.text[at] == c"+" and in_form:
            bytes[written] = c" "
        elif sample.text[at] == c"?":
            in_form = True
        elif sample.text[at] == c"%":
            if sample.length - at < 3:
                return False
            high, low = hex_digit(sample.text[at + 1]), hex_digit(sample.text[at + 2])
            if high == NO_DIGIT or low == NO_DIGIT:
                return False
            bytes[written] = <char>(high << 4 | low)
            at += 2
        at += 1
        written += 1
    set_text(sample, bytes, written)
    return True


cdef inline bint is_plain(char letter) noexcept nogil:
    """Whether a query may have it as it is (RFC 3986, unreserved characters)."""
    return (c"a" <= letter <= c"z" or c"A" <= letter <= c"Z" or c"0" <= letter <= c"9"
            or letter == c"-" or letter == c"." or letter == c"_" or letter == c"~")


cdef inline bint url_encoded(Sample *sample, Scratch *scratch) noexcept nogil:
    """`url_enc`; without room for all of it there is none."""
    cdef char *bytes = take_scratch(scratch)
    cdef size_t at, written = 0
    for at in range(sample.length):
        if written + 3 >= SCRATCH_BYTES:
            return False
        if is_plain(sample.text[at]):
            bytes[written] = sample.text[at]
            written += 1
            continue
        bytes[written] = c"%"
        bytes[written + 1] = b"0123456789ABCDEF"[<unsigned char>sample.text[at] >> 4]
        bytes[written + 2] = b"0123456789ABCDEF"[<unsigned char>sample.text[at] & 15]
        written += 3
    set_text(sample, bytes, written)
    return True


cdef inline bint parameter(Sample *sample, const Step *step) noexcept nogil:
    """`param`: the value of a name among pairs; without an equals sign, an empty one."""
    cdef size_t at = 0, begin, equals
    cdef size_t name_length = <size_t>step.numbers[0]
    cdef const char *name = step.text
    cdef char between = step.text[name_length]
    while at <= sample.length:
        begin = at
        while at < sample.length and sample.text[at] != between:
            at += 1
        equals = begin
        while equals < at and sample.text[equals] != c"=":
            equals += 1
        if equals - begin == name_length and same(sample.text + begin, name, name_length):
            begin = min(equals + 1, at)
            set_text(sample, sample.text + begin, at - begin)
            return True
        at += 1
    return False


cdef inline bint same(const char *one, const char *other, size_t length) noexcept nogil:
    cdef size_t at
    for at in range(length):
        if one[at] != other[at]:
            return False
    return True


cdef inline bint text_converted(
        const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """Whichever of these it is."""
    if step.convert == CONVERT_CHOICE:
        if not as_number(sample):
            return False
        if sample.number != 0:
            set_text(sample, step.text, <size_t>step.numbers[0])
        else:
            set_text(sample, step.text + step.numbers[0], step.length - step.numbers[0])
        return True
    if scratch == NULL or not as_text(sample, scratch):
        return False
    if step.convert == CONVERT_TRIM_LEFT or step.convert == CONVERT_TRIM_RIGHT:
        trim(sample, step)
    elif step.convert == CONVERT_CUT_LINE:
        cut_line(sample)
    elif step.convert == CONVERT_HEX_NUMBER:
        return hex_number(sample)
    elif step.convert == CONVERT_HOST:
        return host_only(sample, scratch)
    elif step.convert == CONVERT_PORT:
        return port_only(sample)
    elif step.convert == CONVERT_URL_DECODE:
        return url_decoded(sample, step.numbers[0] != 0, scratch)
    elif step.convert == CONVERT_PARAMETER:
        return parameter(sample, step)
    else:
        return url_encoded(sample, scratch)
    return True
