# Options of the connections toward a server, as its line and its section say: keep-alive, tcp-ut,
# tfo, source and interface.
#
# Only a server with such words costs the system calls that they take. An option that the kernel
# refuses changes nothing, as in HAProxy, but for a source: a connection from elsewhere is none.
#
# Where the port of a source is free to choose, the kernel chooses it in connect() and not before
# (IP_BIND_ADDRESS_NO_PORT), so that one port serves connections to many servers. Ports of a range
# are taken in turn; of one that has a connection to the same server already, connect() says so.

from libc.errno cimport EADDRINUSE, EADDRNOTAVAIL, errno
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memset

from proxy.relay.rules.adjust cimport mark_packets, mark_service
from proxy.relay.state.server_types cimport INTERFACE_BYTES, Outgoing
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IP_BIND_ADDRESS_NO_PORT,
    IP_TRANSPARENT, SOL_SOCKET, SO_BINDTODEVICE, SO_KEEPALIVE, SO_REUSEADDR, TCP_FASTOPEN_CONNECT,
    TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_USER_TIMEOUT, bind, getpeername, htons,
    setsockopt, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t)
from proxy.relay.state.rule_types cimport MARKED_PACKETS, MARKED_TOS
from proxy.relay.state.types cimport CLIENT, Addresses, Session

cdef enum:
    IPV6_TRANSPARENT = 75  # <linux/in6.h>; the C library's headers hide it
    PORTS_TRIED_MAX = 64  # of a range, for one connection: each costs a few system calls


cdef inline void set_number(int fd, int level, int name, int value) noexcept nogil:
    setsockopt(fd, level, name, &value, sizeof(value))


cdef inline void keep_alive(const Outgoing *words, int fd) noexcept nogil:
    set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
    if words.keepalive_count != 0:
        set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, words.keepalive_count)
    if words.keepalive_idle_s != 0:
        set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, words.keepalive_idle_s)
    if words.keepalive_interval_s != 0:
        set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, words.keepalive_interval_s)


cdef inline socklen_t source_of(
        Outgoing *words, const Session *session, sockaddr_storage *source) noexcept nogil:
    """The address to come from, with the next port of the range; 0: there is none."""
    cdef sockaddr_in *source4 = <sockaddr_in *>source
    cdef sockaddr_in6 *source6 = <sockaddr_in6 *>source
    cdef socklen_t length = sizeof(source[0])
    memset(source, 0, sizeof(source[0]))
    if words.from_client:
        if session.addresses != NULL:  # perhaps those that a PROXY header names
            length = sizeof(session.addresses.source)
            memcpy(source, &session.addresses.source, length)
        elif getpeername(session.sides[CLIENT].fd, <sockaddr *>source, &length) != 0:
            return 0
        if not words.from_client_port:
            source4.sin_port = 0  # the same place in both families
        return length
    if words.family == 4:
        source4.sin_family = AF_INET
        memcpy(&source4.sin_addr, words.address, 4)
        length = sizeof(sockaddr_in)
    else:
        source6.sin6_family = AF_INET6
        memcpy(&source6.sin6_addr, words.address, 16)
        length = sizeof(sockaddr_in6)
    if words.ports != 0:
        source4.sin_port = htons(<uint16_t>(words.port_first + words.port_next))
        words.port_next = (words.port_next + 1) % words.ports
    return length


cdef inline int bind_source(
        Outgoing *words, int fd, const Session *session, int family) noexcept nogil:
    """Come from the address that the line says; 0 or an errno."""
    cdef sockaddr_storage source
    cdef socklen_t length = source_of(words, session, &source)
    if length == 0 or source.ss_family != family:
        return 0  # a server of another family is reached from where the kernel says
    if words.transparent and family == AF_INET6:
        set_number(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    elif words.transparent:
        set_number(fd, IPPROTO_IP, IP_TRANSPARENT, 1)
    if words.ports != 0 or words.from_client_port:
        set_number(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    else:
        set_number(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    return 0 if bind(fd, <sockaddr *>&source, length) == 0 else errno


cdef inline uint32_t ports_to_try(const Outgoing *words) noexcept nogil:
    """How many ports of a range are tried for one connection; 1 without a range."""
    if words == NULL or words.ports == 0:
        return 1
    return min(words.ports, <uint32_t>PORTS_TRIED_MAX)


cdef inline bint port_taken(int error) noexcept nogil:
    """Whether bind() or connect() said that another connection has the port."""
    return error == EADDRINUSE or error == EADDRNOTAVAIL


cdef inline void marks_set(const Addresses *words, int fd, int family) noexcept nogil:
    """Mark the packets to the server, as rules said (manual, `set-bc-mark` and `set-bc-tos`)."""
    if words.marked & MARKED_PACKETS:
        mark_packets(fd, words.server_mark)
    if words.marked & MARKED_TOS:
        mark_service(fd, words.server_tos, family)


cdef inline int outgoing_prepare(
        Outgoing *words, int fd, const Session *session, int family, bint prompt) noexcept nogil:
    """Make a new socket what the server's line says; 0, or the errno of a source that is not ours.

    `family` is the server's. With `tfo` connect() sends nothing before the first bytes do: only
    where these follow promptly, else a server that speaks first and its client wait for each other.
    """
    if words.keepalive:
        keep_alive(words, fd)
    if words.user_timeout_ms != 0:
        set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, <int>words.user_timeout_ms)
    if words.fast_open and prompt:
        set_number(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    if words.interface[0] != 0:
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, words.interface, INTERFACE_BYTES)
    if words.family == 0 and not words.from_client:
        return 0
    return bind_source(words, fd, session, family)
