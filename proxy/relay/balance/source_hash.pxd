# The number behind `balance source`: a client's address in 32 bits.
#
# Pure arithmetic. As in HAProxy the address is the number itself, whatever function `hash-type`
# names: the functions hash texts, and an address is none. `avalanche` spreads it over 32 bits
# (proxy/rules/coding/hashes.pxd).

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, ntohl, sockaddr, sockaddr_in, sockaddr_in6)

cdef extern from *:
    """
    #define NO_SOURCE ((uint64_t)1 << 32)
    """
    const uint64_t NO_SOURCE  # beyond 32 bits: a client without an address


cdef inline uint64_t hash_address(const sockaddr *address) noexcept nogil:
    """The client's address folded into 32 bits; NO_SOURCE for the peer of a Unix socket."""
    cdef const uint32_t *words
    if address.sa_family == AF_INET:
        return ntohl((<const sockaddr_in *>address).sin_addr.s_addr)
    if address.sa_family == AF_INET6:
        words = <const uint32_t *>&(<const sockaddr_in6 *>address).sin6_addr
        return ntohl(words[0]) ^ ntohl(words[1]) ^ ntohl(words[2]) ^ ntohl(words[3])
    return NO_SOURCE
