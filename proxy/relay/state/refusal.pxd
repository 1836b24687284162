# How a connection ends that a rule refuses: by a reset, or without a word.

from proxy.relay.state.syscalls cimport (
    IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPV6_UNICAST_HOPS, IP_TTL, SOL_SOCKET, SO_LINGER,
    TCP_REPAIR, linger, setsockopt)


cdef inline void end_by_reset(int fd) noexcept nogil:
    """Let the close of a socket send RST instead of FIN."""
    cdef linger at_once
    at_once.l_onoff = 1
    at_once.l_linger = 0
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once))


cdef inline void end_in_silence(int fd) noexcept nogil:
    """Let the close of a socket send nothing that reaches the client (manual, `silent-drop`).

    A socket under repair forgets its connection. That wants CAP_NET_ADMIN; without it a reset goes
    out that no router passes on.
    """
    cdef int one = 1
    if setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &one, sizeof(one)) == 0:
        return
    setsockopt(fd, IPPROTO_IP, IP_TTL, &one, sizeof(one))
    setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &one, sizeof(one))
    end_by_reset(fd)
