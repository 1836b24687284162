# Writing a PROXY header: the addresses of a connection in, bytes out. Pure.
#
# Addresses that TCP does not know (a Unix socket) become UNKNOWN or LOCAL, as in HAProxy. Of two
# families, where a rule has set one, the one of IPv4 is mapped; so are both of a client of IPv4
# that came to an IPv6 socket.

from libc.stdint cimport uint32_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset

from proxy.relay.proxy_protocol.format cimport (
    FAMILY_INET6_STREAM, FAMILY_INET_STREAM, FAMILY_UNSPECIFIED, HEADER_CHECKSUM_BYTES,
    HEADER_FIXED_BYTES, HEADER_INET6_BYTES, HEADER_INET_BYTES, HEADER_SIGNATURE_BYTES,
    HEADER_TLS_BYTES, HEADER_V1, HEADER_V2_CHECKSUM, MILLRACE_SIGNATURE, TLV_AUTHORITY,
    TLV_CHECKSUM, TLV_HEADER_BYTES, TLV_TLS, TLV_UNIQUE_ID, VERSION_LOCAL, VERSION_PROXY,
    checksum_around)
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, INET6_ADDRSTRLEN, inet_ntop, ntohs, sockaddr_in, sockaddr_in6)
from proxy.relay.state.types cimport Addresses

cdef enum:
    HEADER_ROOM = 512  # no header that we write is longer

cdef struct HeaderTexts:  # further fields of version 2; NULL: there is none
    const char *authority
    size_t authority_length
    const char *unique_id
    size_t unique_id_length
    bint tls  # the field about the client's TLS: there is none


cdef inline int common_family(const Addresses *addresses) noexcept nogil:
    """The family of both addresses in a header; 0: one of them is of none."""
    cdef int family = addresses.source.sin6_family
    cdef int other = addresses.destination.sin6_family
    if family != AF_INET and family != AF_INET6:
        return 0
    if other != AF_INET and other != AF_INET6:
        return 0
    return AF_INET if family == AF_INET and other == AF_INET else AF_INET6


cdef inline void as_six(const sockaddr_in6 *address, unsigned char *bytes) noexcept nogil:
    """An address as one of IPv6."""
    if address.sin6_family == AF_INET6:
        memcpy(bytes, &address.sin6_addr, 16)
        return
    memset(bytes, 0, 10)
    bytes[10] = bytes[11] = 0xFF
    memcpy(bytes + 12, &(<const sockaddr_in *>address).sin_addr, 4)


cdef inline void address_write(
        const sockaddr_in6 *address, int family, char *text) noexcept nogil:
    """The address as text of at most INET6_ADDRSTRLEN bytes with its NUL."""
    cdef unsigned char bytes[16]
    if family == AF_INET:
        inet_ntop(AF_INET, &(<const sockaddr_in *>address).sin_addr, text, INET6_ADDRSTRLEN)
    else:
        as_six(address, bytes)
        inet_ntop(AF_INET6, bytes, text, INET6_ADDRSTRLEN)


cdef inline size_t line_write(char *target, const Addresses *addresses) noexcept nogil:
    """Version 1."""
    cdef char source[64]
    cdef char destination[64]
    cdef int family = common_family(addresses)
    if family == 0:
        return snprintf(target, HEADER_ROOM, b"PROXY UNKNOWN\r\n")
    address_write(&addresses.source, family, source)
    address_write(&addresses.destination, family, destination)
    return snprintf(
        target, HEADER_ROOM, b"PROXY %s %s %s %u %u\r\n",
        b"TCP4" if family == AF_INET else b"TCP6", source, destination,
        <unsigned int>ntohs(addresses.source.sin6_port),
        <unsigned int>ntohs(addresses.destination.sin6_port))


cdef inline size_t body_write(
        unsigned char *body, int family, const Addresses *addresses) noexcept nogil:
    """The addresses of version 2."""
    cdef const sockaddr_in *source4 = <const sockaddr_in *>&addresses.source
    cdef const sockaddr_in *destination4 = <const sockaddr_in *>&addresses.destination
    if family == AF_INET:
        memcpy(body, &source4.sin_addr, 4)
        memcpy(body + 4, &destination4.sin_addr, 4)
        memcpy(body + 8, &source4.sin_port, 2)
        memcpy(body + 10, &destination4.sin_port, 2)
        return HEADER_INET_BYTES
    as_six(&addresses.source, body)
    as_six(&addresses.destination, body + 16)
    memcpy(body + 32, &addresses.source.sin6_port, 2)
    memcpy(body + 34, &addresses.destination.sin6_port, 2)
    return HEADER_INET6_BYTES


cdef inline size_t text_write(
        unsigned char *target, int kind, const char *text, size_t length) noexcept nogil:
    """A field that is a text, if there is one; how many bytes it has."""
    if text == NULL:
        return 0
    target[0] = <unsigned char>kind
    target[1] = <unsigned char>(length >> 8)
    target[2] = <unsigned char>length
    memcpy(target + TLV_HEADER_BYTES, text, length)
    return TLV_HEADER_BYTES + length


cdef inline size_t binary_write(
        unsigned char *target, const Addresses *addresses, bint checked,
        const HeaderTexts *texts) noexcept nogil:
    """Version 2, with a checksum and texts behind the addresses if they are wanted."""
    cdef int family = common_family(addresses)
    cdef size_t size = HEADER_FIXED_BYTES, checksum_at = 0
    cdef uint32_t checksum
    cdef int index
    memcpy(target, MILLRACE_SIGNATURE, HEADER_SIGNATURE_BYTES)
    target[12] = VERSION_LOCAL if family == 0 else VERSION_PROXY
    target[13] = FAMILY_UNSPECIFIED
    if family != 0:
        target[13] = FAMILY_INET_STREAM if family == AF_INET else FAMILY_INET6_STREAM
        size += body_write(target + size, family, addresses)
    if checked:
        target[size] = TLV_CHECKSUM
        target[size + 1] = 0
        target[size + 2] = 4
        checksum_at = size + TLV_HEADER_BYTES
        size += HEADER_CHECKSUM_BYTES
    size += text_write(target + size, TLV_AUTHORITY, texts.authority, texts.authority_length)
    size += text_write(target + size, TLV_UNIQUE_ID, texts.unique_id, texts.unique_id_length)
    if texts.tls:  # as in HAProxy all zero: no flag is set, and nothing was verified
        memset(target + size, 0, HEADER_TLS_BYTES)
        target[size] = TLV_TLS
        target[size + 2] = HEADER_TLS_BYTES - TLV_HEADER_BYTES
        size += HEADER_TLS_BYTES
    target[14] = <unsigned char>((size - HEADER_FIXED_BYTES) >> 8)
    target[15] = <unsigned char>(size - HEADER_FIXED_BYTES)
    if checked:
        checksum = checksum_around(target, size, checksum_at)
        for index in range(4):
            target[checksum_at + index] = <unsigned char>(checksum >> (24 - 8 * index))
    return size


cdef inline size_t header_write(
        char *target, int kind, const Addresses *addresses,
        const HeaderTexts *texts) noexcept nogil:
    """Write a header of this kind (not HEADER_NONE) into HEADER_ROOM bytes; its length."""
    if kind == HEADER_V1:
        return line_write(target, addresses)
    return binary_write(
        <unsigned char *>target, addresses, kind == HEADER_V2_CHECKSUM, texts)
