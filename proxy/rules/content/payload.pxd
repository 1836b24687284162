# Samples of bytes as they are: how many, and parts of them (manual section 7.3.5). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint64_t

from proxy.rules.codes cimport *
from proxy.rules.sample cimport set_number, set_text
from proxy.rules.types cimport Call, ContentView, Sample

cdef enum:
    BUFFER_BYTES = 16384  # of HAProxy's buffer: a part that ends behind it is never there


cdef inline void set_bytes(Sample *sample, const char *bytes, size_t length) noexcept nogil:
    set_text(sample, bytes, length)
    sample.binary = True


cdef inline bint part_sample(
        const ContentView *content, const Call *call, Sample *sample) noexcept nogil:
    """Bytes from an offset on, so many; 0: all that are there, of which there may be more."""
    cdef uint64_t offset = <uint64_t>call.numbers[0], length = <uint64_t>call.numbers[1]
    if offset + length > BUFFER_BYTES:
        return False
    if offset + length > content.length:
        sample.unsettled = True
        return False
    sample.unsettled = length == 0
    set_bytes(sample, content.bytes + offset, length or content.length - offset)
    return True


cdef inline bint block_sample(
        const ContentView *content, const Call *call, Sample *sample) noexcept nogil:
    """The bytes that a length at an offset counts.

    They begin behind the length; with a third argument at that offset, or so far from there: its
    lowest bit tells that it is relative, the others what it is.
    """
    cdef uint64_t at = <uint64_t>call.numbers[0], size = <uint64_t>call.numbers[1], length = 0
    cdef int64_t begin
    if at + size > content.length:
        sample.unsettled = True
        return False
    for _ in range(size):
        length = length << 8 | <unsigned char>content.bytes[at]
        at += 1
    begin = <int64_t>at if call.numbers[2] & 1 else 0
    begin += call.numbers[2] >> 1
    if length == 0 or length > BUFFER_BYTES or begin < 0 or begin + length > BUFFER_BYTES:
        return False
    if begin + length > content.length:
        sample.unsettled = True
        return False
    set_bytes(sample, content.bytes + begin, length)
    return True


cdef inline bint payload_fetch(
        const ContentView *content, const Call *call, Sample *sample) noexcept nogil:
    cdef uint16_t what = call.fetch
    if what == FETCH_CONTENT_PART or what == FETCH_EITHER_PART or what == FETCH_RECEIVED:
        return part_sample(content, call, sample)
    if (
            what == FETCH_CONTENT_BLOCK or what == FETCH_EITHER_BLOCK
            or what == FETCH_RECEIVED_BLOCK):
        return block_sample(content, call, sample)
    sample.unsettled = True
    return set_number(sample, <int64_t>content.length)
