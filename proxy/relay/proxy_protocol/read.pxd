# Reading a PROXY header: bytes in, its length and the addresses it names out. Pure.
#
# Strict where the specification is: decimal ports up to 65535 and addresses as inet_pton() takes
# them, one space between words, CRLF at the end. What says nothing of addresses (UNKNOWN, LOCAL,
# families without address and port) leaves those of the connection. TLVs are passed over, but have
# to fit, and a checksum has to be right.

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from proxy.relay.proxy_protocol.format cimport (
    FAMILY_INET6_STREAM, FAMILY_INET_STREAM, FAMILY_UNIX_STREAM, FAMILY_UNSPECIFIED,
    HEADER_AUTHORITY_BYTES_MAX, HEADER_BYTES_MAX, HEADER_FIXED_BYTES, HEADER_INET6_BYTES,
    HEADER_INET_BYTES, HEADER_LINE_BYTES_MAX, HEADER_SIGNATURE_BYTES, HEADER_UNIQUE_ID_BYTES_MAX,
    HEADER_UNIX_BYTES, MILLRACE_SIGNATURE, TLV_AUTHORITY, TLV_CHECKSUM, TLV_HEADER_BYTES,
    TLV_UNIQUE_ID, VERSION_LOCAL, VERSION_PROXY, checksum_around)
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, htons, inet_pton, sockaddr_in, sockaddr_in6)
from proxy.relay.state.types cimport Addresses

cdef enum:  # instead of a length
    HEADER_INCOMPLETE = 0
    HEADER_INVALID = -1

cdef enum:
    LINE_PREFIX_BYTES = 6  # "PROXY "
    LINE_WORDS = 4  # two addresses, two ports
    WORD_BYTES_MAX = 45  # the longest address: ffff:...:255.255.255.255
    PORT_DIGITS_MAX = 5
    PORT_MAX = 65535


cdef inline int line_length(const unsigned char *bytes, int length) noexcept nogil:
    """The length of the first line with its CRLF, HEADER_INCOMPLETE, or HEADER_INVALID."""
    cdef int index
    for index in range(1, min(length, <int>HEADER_LINE_BYTES_MAX)):
        if bytes[index - 1] == c'\r':
            return index + 1 if bytes[index] == c'\n' else HEADER_INVALID
        if bytes[index] == c'\n':
            return HEADER_INVALID
    return HEADER_INVALID if length >= HEADER_LINE_BYTES_MAX else HEADER_INCOMPLETE


cdef inline int word_take(
        const unsigned char *line, int start, int end, char *word) noexcept nogil:
    """Copy a word of 1 to WORD_BYTES_MAX bytes; where it ends, HEADER_INVALID if there is none."""
    cdef int at = start
    while at < end and line[at] != c' ':
        if line[at] == 0 or at - start == WORD_BYTES_MAX:
            return HEADER_INVALID
        word[at - start] = <char>line[at]
        at += 1
    word[at - start] = 0
    return at if at > start else HEADER_INVALID


cdef inline int port_read(const char *word) noexcept nogil:
    """A port in decimal without leading zeros; HEADER_INVALID for anything else."""
    cdef int value = 0
    cdef int digits = 0
    while word[digits] != 0:
        if not c'0' <= word[digits] <= c'9' or digits == PORT_DIGITS_MAX:
            return HEADER_INVALID
        value = value * 10 + word[digits] - c'0'
        digits += 1
    if value > PORT_MAX or (digits > 1 and word[0] == c'0'):
        return HEADER_INVALID
    return value


cdef inline bint address_read(
        int family, const char *host, const char *port_text, sockaddr_in6 *address) noexcept nogil:
    cdef sockaddr_in *address4 = <sockaddr_in *>address
    cdef int port = port_read(port_text)
    if port < 0:
        return False
    memset(address, 0, sizeof(address[0]))
    address.sin6_family = <unsigned short>family
    address.sin6_port = htons(<uint16_t>port)  # the same place in both families
    if family == AF_INET:
        return inet_pton(AF_INET, host, &address4.sin_addr) == 1
    return inet_pton(AF_INET6, host, &address.sin6_addr) == 1


cdef inline bint line_addresses(
        const unsigned char *line, int start, int end, int family,
        Addresses *addresses) noexcept nogil:
    """Read `<source> <destination> <source port> <destination port>`."""
    cdef char words[4][46]
    cdef int at = start
    cdef int number
    for number in range(LINE_WORDS):
        at = word_take(line, at, end, words[number])
        if at < 0 or (at == end) != (number == LINE_WORDS - 1):
            return False
        at += 1
    return address_read(family, words[0], words[2], &addresses.source) and (
        address_read(family, words[1], words[3], &addresses.destination))


cdef inline int line_read(
        const unsigned char *bytes, int length, Addresses *addresses) noexcept nogil:
    """Version 1: one line of text."""
    cdef Addresses found
    cdef int size = line_length(bytes, length)
    cdef int end = size - 2
    cdef const unsigned char *protocol = bytes + LINE_PREFIX_BYTES
    cdef int after = LINE_PREFIX_BYTES + 5
    if size <= 0:
        return size
    if end >= LINE_PREFIX_BYTES + 7 and memcmp(protocol, b"UNKNOWN", 7) == 0:
        return size if end == LINE_PREFIX_BYTES + 7 or protocol[7] == c' ' else HEADER_INVALID
    if end < after:
        return HEADER_INVALID
    if memcmp(protocol, b"TCP4 ", 5) == 0:
        if not line_addresses(bytes, after, end, AF_INET, &found):
            return HEADER_INVALID
    elif memcmp(protocol, b"TCP6 ", 5) == 0:
        if not line_addresses(bytes, after, end, AF_INET6, &found):
            return HEADER_INVALID
    else:
        return HEADER_INVALID
    addresses.source = found.source
    addresses.destination = found.destination
    return size


cdef inline uint32_t big_endian(const unsigned char *bytes, int count) noexcept nogil:
    cdef uint32_t value = 0
    cdef int index
    for index in range(count):
        value = value << 8 | bytes[index]
    return value


cdef inline int address_bytes(int family) noexcept nogil:
    """What a family's addresses take in version 2; HEADER_INVALID for no family of ours."""
    if family == FAMILY_INET_STREAM:
        return HEADER_INET_BYTES
    if family == FAMILY_INET6_STREAM:
        return HEADER_INET6_BYTES
    if family == FAMILY_UNIX_STREAM:
        return HEADER_UNIX_BYTES
    return 0 if family == FAMILY_UNSPECIFIED else HEADER_INVALID


cdef inline bint extensions_fit(
        const unsigned char *header, int start, int size) noexcept nogil:
    """Whether the TLVs from `start` fill the header exactly; those that we know must be right."""
    cdef int at = start
    cdef int length
    while at < size:
        if at + TLV_HEADER_BYTES > size:
            return False
        length = <int>big_endian(header + at + 1, 2)
        if at + TLV_HEADER_BYTES + length > size:
            return False
        if header[at] == TLV_CHECKSUM and (
                length != 4 or big_endian(header + at + TLV_HEADER_BYTES, 4) != checksum_around(
                    header, size, at + TLV_HEADER_BYTES)):
            return False
        if header[at] == TLV_UNIQUE_ID and length > HEADER_UNIQUE_ID_BYTES_MAX:
            return False
        if header[at] == TLV_AUTHORITY and length > HEADER_AUTHORITY_BYTES_MAX:
            return False
        at += TLV_HEADER_BYTES + length
    return True


cdef inline void binary_addresses(
        const unsigned char *body, int family, Addresses *addresses) noexcept nogil:
    """The addresses of version 2; those of families without a port say nothing to us."""
    cdef sockaddr_in *source4 = <sockaddr_in *>&addresses.source
    cdef sockaddr_in *destination4 = <sockaddr_in *>&addresses.destination
    if family != FAMILY_INET_STREAM and family != FAMILY_INET6_STREAM:
        return
    memset(&addresses.source, 0, sizeof(addresses.source))
    memset(&addresses.destination, 0, sizeof(addresses.destination))
    if family == FAMILY_INET_STREAM:
        source4.sin_family = destination4.sin_family = AF_INET
        memcpy(&source4.sin_addr, body, 4)
        memcpy(&destination4.sin_addr, body + 4, 4)
        memcpy(&source4.sin_port, body + 8, 2)
        memcpy(&destination4.sin_port, body + 10, 2)
        return
    addresses.source.sin6_family = addresses.destination.sin6_family = AF_INET6
    memcpy(&addresses.source.sin6_addr, body, 16)
    memcpy(&addresses.destination.sin6_addr, body + 16, 16)
    memcpy(&addresses.source.sin6_port, body + 32, 2)
    memcpy(&addresses.destination.sin6_port, body + 34, 2)


cdef inline int binary_read(
        const unsigned char *bytes, int length, Addresses *addresses) noexcept nogil:
    """Version 2; what its fixed part rules out is refused before the rest is there."""
    cdef int size, needed
    if length > HEADER_SIGNATURE_BYTES and bytes[12] not in (VERSION_LOCAL, VERSION_PROXY):
        return HEADER_INVALID
    if length < HEADER_FIXED_BYTES:
        return HEADER_INCOMPLETE
    size = HEADER_FIXED_BYTES + <int>big_endian(bytes + 14, 2)
    needed = 0 if bytes[12] == VERSION_LOCAL else address_bytes(bytes[13])
    if size > HEADER_BYTES_MAX or needed < 0 or size < HEADER_FIXED_BYTES + needed:
        return HEADER_INVALID
    if length < size:
        return HEADER_INCOMPLETE
    if needed == 0:
        return size
    if not extensions_fit(bytes, HEADER_FIXED_BYTES + needed, size):
        return HEADER_INVALID
    binary_addresses(bytes + HEADER_FIXED_BYTES, bytes[13], addresses)
    return size


cdef inline int header_read(
        const unsigned char *bytes, int length, Addresses *addresses) noexcept nogil:
    """The length of the header that `bytes` begin with, HEADER_INCOMPLETE or HEADER_INVALID.

    `addresses` change only where a complete header names both.
    """
    if memcmp(bytes, b"PROXY ", min(length, <int>LINE_PREFIX_BYTES)) == 0:
        return line_read(bytes, length, addresses)
    if memcmp(bytes, MILLRACE_SIGNATURE, min(length, <int>HEADER_SIGNATURE_BYTES)) == 0:
        return binary_read(bytes, length, addresses)
    return HEADER_INVALID
