# Converters of bytes: numbers in them, base 64 for URLs, digests, dates of HTTP (manual section
# 7.3.1). Pure.

from libc.stdint cimport int64_t, uint64_t

from proxy.rules.codes cimport *
from proxy.rules.coding.base64 cimport base64_decode, base64_encode
from proxy.rules.coding.sha cimport sha_code, sha_digest
from proxy.rules.moment cimport gmtime_r, strftime, time_t, tm
from proxy.rules.sample cimport as_bytes, as_number, as_text, set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step
from shm.text cimport Text, put, put_character, put_padded, text_over

cdef enum:
    HTTP_TIME_BITS = 0x7FFFFFFFFFFFFF  # as of the other converters of times


cdef inline void put_unsigned(Text *text, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char>(c"0" + value % 10)
        value //= 10
        if value == 0:
            break
    put(text, digits + at, 20 - at)


cdef inline bint chunks(Sample *sample, const Step *step, Scratch *scratch) noexcept nogil:
    """`be2dec` and `be2hex`: numbers of so many bytes, with a separator between.

    Without room for all of them, those that there is room for.
    """
    cdef Text text = text_over(take_scratch(scratch), SCRATCH_BYTES)
    cdef size_t size = <size_t>step.numbers[0], at = 0, end, part
    cdef uint64_t number
    cdef const char *digits = b"0123456789ABCDEF"
    if size == 0:
        size = max(sample.length, <size_t>1)
    while at < sample.length:
        end = min(at + size, sample.length)
        if end - at < size and step.numbers[1] != 0:
            break
        if <size_t>(text.end - text.at) < step.length + 2 * (end - at) + 20:
            break
        if at != 0:
            put(&text, step.text, step.length)
        number = 0
        for part in range(at, end):
            number = number << 8 | <unsigned char>sample.text[part]
            if step.convert == CONVERT_BE_HEX:
                put_character(&text, digits[<unsigned char>sample.text[part] >> 4])
                put_character(&text, digits[<unsigned char>sample.text[part] & 15])
        if step.convert == CONVERT_BE_DECIMAL:
            put_unsigned(&text, number)
        at = end
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint network_order(Sample *sample, Scratch *scratch) noexcept nogil:
    """`htonl`: the lower 32 bits."""
    cdef char *bytes
    cdef int at
    if scratch == NULL or not as_number(sample):
        return False
    bytes = take_scratch(scratch)
    for at in range(4):
        bytes[at] = <char>(<uint64_t>sample.number >> (24 - 8 * at) & 0xFF)
    set_text(sample, bytes, 4)
    sample.binary = True
    return True


cdef inline bint url_base64(Sample *sample, Scratch *scratch) noexcept nogil:
    """`ub64enc`: the alphabet of URLs, without padding (RFC 4648, section 5)."""
    cdef char *text
    cdef size_t at, length
    if sample.length > (SCRATCH_BYTES - 1) // 4 * 3:
        return False
    text = take_scratch(scratch)
    length = base64_encode(<const unsigned char *>sample.text, sample.length, text)
    while length != 0 and text[length - 1] == c"=":
        length -= 1
    for at in range(length):
        if text[at] == c"+":
            text[at] = c"-"
        elif text[at] == c"/":
            text[at] = c"_"
    set_text(sample, text, length)
    return True


cdef inline bint url_unbase64(Sample *sample, Scratch *scratch) noexcept nogil:
    """`ub64dec`: what is missing of the padding is added."""
    cdef char *text
    cdef char *bytes
    cdef size_t at, length = sample.length, written = 0
    if length + 3 > SCRATCH_BYTES:
        return False
    text = take_scratch(scratch)
    for at in range(length):
        text[at] = sample.text[at]
        if text[at] == c"+" or text[at] == c"/":
            return False
        if text[at] == c"-":
            text[at] = c"+"
        elif text[at] == c"_":
            text[at] = c"/"
    while length % 4 != 0:
        text[length] = c"="
        length += 1
    bytes = take_scratch(scratch)
    if not base64_decode(text, length, bytes, &written):
        return False
    set_text(sample, bytes, written)
    sample.binary = True
    return True


cdef inline bint digest(Sample *sample, const Step *step, Scratch *scratch) noexcept nogil:
    """`sha1`, `sha2` and `digest`; `hmac` with a key."""
    cdef char *bytes = take_scratch(scratch)
    cdef size_t length
    if step.convert == CONVERT_CODE:
        length = sha_code(
            <int>step.numbers[0], step.text, step.length, sample.text, sample.length, bytes)
    else:
        length = sha_digest(<int>step.numbers[0], sample.text, sample.length, bytes)
    set_text(sample, bytes, length)
    sample.binary = True
    return True


cdef inline bint http_time(Sample *sample, const Step *step, Scratch *scratch) noexcept nogil:
    """`http_date`: with as many digits behind the second as the unit has."""
    cdef uint64_t number, unit = 1
    cdef tm parts
    cdef time_t second
    cdef Text text
    cdef char form[64]
    cdef int at
    if scratch == NULL or not as_number(sample):
        return False
    for at in range(<int>step.numbers[1]):
        unit *= 10
    number = <uint64_t>sample.number + <uint64_t>step.numbers[0]
    if unit == 1:
        number = (<uint64_t>sample.number & HTTP_TIME_BITS) + <uint64_t>step.numbers[0]
    second = <time_t>(number // unit)
    if gmtime_r(&second, &parts) == NULL:
        return False
    text = text_over(take_scratch(scratch), SCRATCH_BYTES)
    put(&text, form, strftime(form, sizeof(form), b"%a, %d %b %Y %H:%M:%S", &parts))
    if unit != 1:
        put(&text, b".", 1)
        put_padded(&text, number % unit, <int>step.numbers[1])
    put(&text, b" GMT", 4)
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint octets_converted(
        const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """Whichever of these it is."""
    if step.convert == CONVERT_NETWORK_ORDER:
        return network_order(sample, scratch)
    if step.convert == CONVERT_HTTP_TIME:
        return http_time(sample, step, scratch)
    if scratch == NULL:
        return False
    if step.convert == CONVERT_URL_UNBASE64:
        return as_text(sample, scratch) and url_unbase64(sample, scratch)
    if not as_bytes(sample, scratch):
        return False
    if step.convert == CONVERT_URL_BASE64:
        return url_base64(sample, scratch)
    if step.convert == CONVERT_DIGEST or step.convert == CONVERT_CODE:
        return digest(sample, step, scratch)
    return chunks(sample, step, scratch)
