# One end of a connection as rules and log formats look at it.

from libc.stdint cimport uint16_t, uint8_t
from libc.string cimport memcpy

from proxy.relay.state.syscalls cimport AF_INET, AF_INET6, ntohs, sockaddr_in, sockaddr_in6


cdef inline bint is_mapped(const sockaddr_in6 *end) noexcept nogil:
    """Whether an address of IPv6 stands for one of IPv4."""
    cdef const unsigned char *bytes = <const unsigned char *>&end.sin6_addr
    cdef int at
    for at in range(10):
        if bytes[at] != 0:
            return False
    return bytes[10] == 0xFF and bytes[11] == 0xFF


cdef inline uint16_t packet_family(const sockaddr_in6 *peer) noexcept nogil:
    """Of which family the packets to a peer are."""
    if peer.sin6_family == AF_INET6 and is_mapped(peer):
        return <uint16_t>AF_INET
    return peer.sin6_family


cdef inline uint8_t set_end(
        uint8_t *address, uint16_t *port, const sockaddr_in6 *end) noexcept nogil:
    """One end of the connection; its family, 0 for a Unix socket."""
    if end.sin6_family == AF_INET:
        memcpy(address, &(<const sockaddr_in *>end).sin_addr, 4)
        port[0] = ntohs((<const sockaddr_in *>end).sin_port)
        return 4
    if end.sin6_family == AF_INET6:
        memcpy(address, &end.sin6_addr, 16)
        port[0] = ntohs(end.sin6_port)
        return 6
    return 0
