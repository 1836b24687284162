# Writing text into a buffer that has an end. Past the end, nothing.

from libc.stdint cimport int64_t, uint64_t, uint8_t
from libc.string cimport memcpy

cdef struct Text:
    char *start
    char *at
    char *end  # of the buffer


cdef inline Text text_over(char *buffer, size_t room) noexcept nogil:
    cdef Text text
    text.start = buffer
    text.at = buffer
    text.end = buffer + room
    return text


cdef inline void put(Text *text, const char *bytes, size_t length) noexcept nogil:
    cdef size_t room = text.end - text.at
    if length > room:
        length = room
    memcpy(text.at, bytes, length)
    text.at += length


cdef inline void put_character(Text *text, char character) noexcept nogil:
    if text.at != text.end:
        text.at[0] = character
        text.at += 1


cdef inline void put_number(Text *text, int64_t value) noexcept nogil:
    cdef char digits[20]
    cdef uint64_t rest = <uint64_t>value
    cdef int at = 20
    if value < 0:
        put_character(text, c'-')
        rest = 0 - rest
    while True:
        at -= 1
        digits[at] = <char>(c'0' + rest % 10)
        rest //= 10
        if rest == 0:
            break
    put(text, digits + at, 20 - at)


cdef inline void put_padded(Text *text, uint64_t value, int digits) noexcept nogil:
    """A number with leading zeros; its last digits if it has more."""
    cdef char found[20]
    cdef int at
    for at in range(digits - 1, -1, -1):
        found[at] = <char>(c'0' + value % 10)
        value //= 10
    put(text, found, digits)


cdef inline void put_hexadecimal(Text *text, uint64_t value, int digits_min) noexcept nogil:
    cdef char found[16]
    cdef int at = 16
    while at != 0 and (value != 0 or 16 - at < digits_min):
        at -= 1
        found[at] = b"0123456789ABCDEF"[value & 15]
        value >>= 4
    put(text, found + at, 16 - at)


cdef inline void put_escaped(Text *text, const char *bytes, size_t length) noexcept nogil:
    """Text in which RFC 5424 (section 6.3.3) wants some characters behind a backslash."""
    cdef size_t at
    for at in range(length):
        if bytes[at] in (c'"', c'\\', c']'):
            put_character(text, c'\\')
        put_character(text, bytes[at])


cdef inline void put_address4(Text *text, const uint8_t *bytes) noexcept nogil:
    cdef int at
    for at in range(4):
        if at != 0:
            put_character(text, c'.')
        put_number(text, bytes[at])
