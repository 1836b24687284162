# Writing values of a log line: numbers, names and addresses, as their flags say.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport strlen

from proxy.relay.state.log_types cimport LOG_ESCAPE, LOG_HEXADECIMAL, LOG_QUOTE, LogName
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, AF_UNIX, INET6_ADDRSTRLEN, inet_ntop, ntohs, sockaddr_in, sockaddr_in6)
from shm.text cimport (
    Text, put, put_address4, put_character, put_escaped, put_hexadecimal, put_number)


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
    if length == 0 and not flags & LOG_QUOTE:
        put_character(text, c'-')
        return
    if flags & LOG_QUOTE:
        put_character(text, c'"')
    if flags & LOG_ESCAPE:
        put_escaped(text, bytes, length)
    else:
        put(text, bytes, length)
    if flags & LOG_QUOTE:
        put_character(text, c'"')


cdef inline void put_name(Text *text, const LogName *name, uint32_t flags) noexcept nogil:
    put_value(text, name.bytes, name.length, flags)


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
