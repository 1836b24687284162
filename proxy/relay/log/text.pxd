# Writing text into a buffer that has an end: numbers, quotes, addresses. Past the end, nothing.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, strlen

from proxy.relay.state.log_types cimport LOG_ESCAPE, LOG_HEXADECIMAL, LOG_QUOTE, LogName
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, AF_UNIX, INET6_ADDRSTRLEN, inet_ntop, ntohs, sockaddr_in, sockaddr_in6)

cdef struct Text:
    char *start
    char *at
    char *end  # of the buffer


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


cdef inline void put_counted(
        Text *text, int64_t value, uint32_t flags, int digits_min) noexcept nogil:
    """A number that `+X` writes in base 16."""
    if flags & LOG_HEXADECIMAL:
        put_hexadecimal(text, <uint64_t>value, digits_min)
    else:
        put_number(text, value)


cdef inline void put_value(
        Text *text, const char *bytes, size_t length, uint32_t flags) noexcept nogil:
    """A value as its flags say; nothing is a dash, or a pair of quotes."""
    cdef size_t at
    if length == 0 and not flags & LOG_QUOTE:
        put_character(text, c'-')
        return
    if flags & LOG_QUOTE:
        put_character(text, c'"')
    if flags & LOG_ESCAPE:
        for at in range(length):
            if bytes[at] in (c'"', c'\\', c']'):
                put_character(text, c'\\')
            put_character(text, bytes[at])
    else:
        put(text, bytes, length)
    if flags & LOG_QUOTE:
        put_character(text, c'"')


cdef inline void put_name(Text *text, const LogName *name, uint32_t flags) noexcept nogil:
    put_value(text, name.bytes, name.length, flags)


cdef inline void put_address4(Text *text, const uint8_t *bytes) noexcept nogil:
    cdef int at
    for at in range(4):
        if at != 0:
            put_character(text, c'.')
        put_number(text, bytes[at])


cdef inline void put_address(
        Text *text, const sockaddr_in6 *address, uint32_t flags, bint fetched) noexcept nogil:
    """An IP address; a Unix socket is 'unix', and nothing where it is `fetched`."""
    cdef char found[INET6_ADDRSTRLEN]
    cdef Text inner
    cdef const uint8_t *bytes = <const uint8_t *>&address.sin6_addr
    cdef int length = 16
    cdef int at
    inner.start = found
    inner.at = found
    inner.end = found + sizeof(found)
    if address.sin6_family == AF_INET:
        bytes = <const uint8_t *>&(<const sockaddr_in *>address).sin_addr
        length = 4
    elif address.sin6_family != AF_INET6:
        if address.sin6_family == AF_UNIX and not fetched:
            put(&inner, b"unix", 4)
        put_value(text, found, inner.at - found, flags)
        return
    if flags & LOG_HEXADECIMAL and not fetched:
        for at in range(length):
            put_hexadecimal(text, bytes[at], 2)
        return
    if length == 4:
        put_address4(&inner, bytes)
    elif inet_ntop(AF_INET6, bytes, found, sizeof(found)) != NULL:
        inner.at = found + strlen(found)
    put_value(text, found, inner.at - found, flags)


cdef inline uint32_t port_of(const sockaddr_in6 *address) noexcept nogil:
    """The port in host order (both families have it in the same place); 0: it has none."""
    if address.sin6_family not in (AF_INET, AF_INET6):
        return 0
    return ntohs(address.sin6_port)
