# One end of a connection as rules and log formats look at it.

from libc.stdint cimport uint16_t, uint8_t
from libc.string cimport memcpy

from proxy.relay.state.syscalls cimport AF_INET, AF_INET6, ntohs, sockaddr_in, sockaddr_in6


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
