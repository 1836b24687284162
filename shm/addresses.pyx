"""IP addresses of records: numeric text into 16 bytes and back. For compiled code only."""

import ipaddress

from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy, memset

cdef extern from "<arpa/inet.h>" nogil:
    enum:
        AF_INET
        AF_INET6
    enum:
        INET6_ADDRSTRLEN
    int inet_pton(int family, const char *text, void *address)
    const char *inet_ntop(int family, const void *address, char *text, unsigned int size)

cdef enum:
    EMBEDDING_BYTES = 10  # zeros in front of an IPv4 address within an IPv6 one

cdef uint8_t[EMBEDDING_BYTES] ZEROS
memset(ZEROS, 0, sizeof(ZEROS))


cdef object address_text(uint8_t family, const uint8_t *address):
    cdef char text[INET6_ADDRSTRLEN]
    if family == 6 and memcmp(address, ZEROS, EMBEDDING_BYTES) == 0:
        return str(ipaddress.IPv6Address(address[:16]))  # inet_ntop writes some in two notations
    if family != 4 and family != 6:
        return None
    inet_ntop(AF_INET if family == 4 else AF_INET6, address, text, sizeof(text))
    return (<bytes>text).decode("ascii")


cdef uint8_t address_bytes(object text, uint8_t *address) except 255:
    """Fill 16 bytes and return the family, 0 for None; ValueError for a text that is no address."""
    memset(address, 0, 16)
    if text is None:
        return 0
    cdef bytes written = text.encode()
    if inet_pton(AF_INET, written, address) == 1:  # ten times faster than the ipaddress module
        return 4
    if inet_pton(AF_INET6, written, address) == 1:
        return 6
    parsed = ipaddress.ip_address(text)
    cdef bytes packed = parsed.packed
    memcpy(address, <const char *>packed, len(packed))
    return parsed.version
