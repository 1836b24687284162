# Base 64 with its padding (RFC 4648, section 4). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint32_t


cdef inline size_t base64_encode(
        const unsigned char *bytes, size_t length, char *out) noexcept nogil:
    """Write 4 characters for each 3 bytes, also of the last; gives how many."""
    cdef const char *letters = (
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    cdef size_t at = 0, written = 0, have
    cdef uint32_t group
    while at < length:
        have = min(length - at, <size_t>3)
        group = bytes[at] << 16
        if have > 1:
            group |= bytes[at + 1] << 8
        if have > 2:
            group |= bytes[at + 2]
        out[written] = letters[group >> 18]
        out[written + 1] = letters[group >> 12 & 63]
        out[written + 2] = letters[group >> 6 & 63] if have > 1 else c"="
        out[written + 3] = letters[group & 63] if have > 2 else c"="
        at += 3
        written += 4
    return written


cdef inline int32_t digit_of(char letter) noexcept nogil:
    """The value of a character; -1: it is none of them."""
    if c"A" <= letter <= c"Z":
        return letter - c"A"
    if c"a" <= letter <= c"z":
        return letter - c"a" + 26
    if c"0" <= letter <= c"9":
        return letter - c"0" + 52
    if letter == c"+":
        return 62
    return 63 if letter == c"/" else -1


cdef inline bint base64_decode(
        const char *text, size_t length, char *out, size_t *written) noexcept nogil:
    """Write the bytes of whole groups of 4, each of which may be padded; False: it is none."""
    cdef size_t at, padding = 0
    cdef int32_t digit
    cdef uint32_t group = 0
    written[0] = 0
    if length % 4 != 0:
        return False
    for at in range(length):
        digit = digit_of(text[at])
        if text[at] == c"=" and at % 4 != 0:
            padding += 1
            digit = 0
        elif digit < 0 or padding:
            return False
        group = group << 6 | <uint32_t>digit
        if at % 4 == 3:
            out[written[0]] = <char>(group >> 16 & 0xFF)
            out[written[0] + 1] = <char>(group >> 8 & 0xFF)
            out[written[0] + 2] = <char>(group & 0xFF)
            written[0] += 3 - padding
            padding = 0
            group = 0
    return True
