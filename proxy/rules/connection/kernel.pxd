# What the kernel says of a connection: its measures (tcp(7), TCP_INFO), its ends, and whether an
# address is one of this machine's. Each costs system calls, and is asked for by rules only.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint8_t
from libc.string cimport memcpy, memset

from proxy.rules.codes cimport *
from proxy.rules.sample cimport set_address, set_number, set_truth
from proxy.rules.types cimport (
    KERNEL_NOT_ASKED, KERNEL_SAID, KERNEL_SILENT, Call, Connection, Context, Ends, Sample)

cdef extern from "<sys/socket.h>" nogil:
    const int AF_INET, AF_INET6, SOCK_DGRAM, SOCK_CLOEXEC
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    int socket(int family, int kind, int protocol)
    int bind(int fd, const sockaddr *address, socklen_t length)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    int getsockname(int fd, sockaddr *address, socklen_t *length)
    int getpeername(int fd, sockaddr *address, socklen_t *length)

cdef extern from "<netinet/in.h>" nogil:
    const int IPPROTO_TCP
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        unsigned char s6_addr[16]
    cdef struct sockaddr_in:
        unsigned short sin_family
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    uint16_t ntohs(uint16_t value)

cdef extern from "<netinet/tcp.h>" nogil:
    const int TCP_INFO
    cdef struct tcp_info:
        uint32_t tcpi_rtt
        uint32_t tcpi_rttvar
        uint32_t tcpi_unacked
        uint32_t tcpi_sacked
        uint32_t tcpi_lost
        uint32_t tcpi_retrans
        uint32_t tcpi_fackets
        uint32_t tcpi_reordering

cdef extern from "<unistd.h>" nogil:
    int close(int fd)


cdef inline void kernel_ask(Connection *connection) noexcept nogil:
    cdef tcp_info info
    cdef socklen_t length = sizeof(info)
    memset(&info, 0, sizeof(info))
    connection.asked = KERNEL_SILENT
    if getsockopt(connection.fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0:
        return
    connection.asked = KERNEL_SAID
    connection.kernel[FETCH_RTT - FETCH_OF_CONNECTION] = info.tcpi_rtt
    connection.kernel[FETCH_RTT_VARIANCE - FETCH_OF_CONNECTION] = info.tcpi_rttvar
    connection.kernel[FETCH_UNACKED - FETCH_OF_CONNECTION] = info.tcpi_unacked
    connection.kernel[FETCH_SACKED - FETCH_OF_CONNECTION] = info.tcpi_sacked
    connection.kernel[FETCH_RETRANSMITS - FETCH_OF_CONNECTION] = info.tcpi_retrans
    connection.kernel[FETCH_FACKETS - FETCH_OF_CONNECTION] = info.tcpi_fackets
    connection.kernel[FETCH_LOST - FETCH_OF_CONNECTION] = info.tcpi_lost
    connection.kernel[FETCH_REORDERING - FETCH_OF_CONNECTION] = info.tcpi_reordering


cdef inline bint kernel_sample(
        Connection *connection, const Call *call, Sample *sample) noexcept nogil:
    """A measure of the client's connection; times in milliseconds, or as the kernel has them."""
    cdef int64_t number
    if connection.asked == KERNEL_NOT_ASKED:
        kernel_ask(connection)
    number = connection.kernel[call.fetch - FETCH_OF_CONNECTION]
    if call.fetch <= FETCH_RTT_VARIANCE and call.numbers[0] == 0:
        number //= 1000
    return connection.asked == KERNEL_SAID and set_number(sample, number)


cdef inline bint is_local(uint8_t family, const uint8_t *address) noexcept nogil:
    """Whether a socket can be bound to an address: the kernel's own word for what is local."""
    cdef sockaddr_in6 end
    cdef int fd
    cdef bint bound
    memset(&end, 0, sizeof(end))
    if family == 4:
        (<sockaddr_in *>&end).sin_family = <unsigned short>AF_INET
        memcpy(&(<sockaddr_in *>&end).sin_addr, address, 4)
    else:
        end.sin6_family = <unsigned short>AF_INET6
        memcpy(&end.sin6_addr, address, 16)
    fd = socket(end.sin6_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    if fd < 0:
        return False
    bound = bind(
        fd, <sockaddr *>&end, sizeof(sockaddr_in) if family == 4 else sizeof(sockaddr_in6)) == 0
    close(fd)
    return bound


cdef inline bint local_sample(
        uint8_t family, const uint8_t *address, Sample *sample) noexcept nogil:
    return family != 0 and set_truth(sample, is_local(family, address))


cdef inline bint end_sample(
        int fd, bint of_peer, bint port, Sample *sample) noexcept nogil:
    """An address or a port of a connection, or of its peer."""
    cdef sockaddr_in6 end
    cdef socklen_t length = sizeof(end)
    cdef int failed
    memset(&end, 0, sizeof(end))
    if of_peer:
        failed = getpeername(fd, <sockaddr *>&end, &length)
    else:
        failed = getsockname(fd, <sockaddr *>&end, &length)
    if failed or (end.sin6_family != AF_INET and end.sin6_family != AF_INET6):
        return False
    if port:
        return set_number(sample, ntohs(end.sin6_port))  # the same place in both families
    if end.sin6_family == AF_INET:
        return set_address(sample, 4, <const uint8_t *>&(<sockaddr_in *>&end).sin_addr)
    return set_address(sample, 6, <const uint8_t *>&end.sin6_addr)


cdef inline bint set_end_sample(
        const Ends *ends, bint of_peer, bint port, Sample *sample) noexcept nogil:
    """An end of the connection that a rule has set; False: none has."""
    if ends == NULL or (ends.peer_family if of_peer else ends.own_family) == 0:
        return False
    if port:
        return set_number(sample, ends.peer_port if of_peer else ends.own_port)
    if of_peer:
        return set_address(sample, ends.peer_family, ends.peer)
    return set_address(sample, ends.own_family, ends.own)


cdef inline bint connection_end_sample(
        const Context *context, uint16_t what, Sample *sample) noexcept nogil:
    """The client's address or port, or that it came to, whatever a PROXY header says.

    Where there was none it is known, and the kernel is asked otherwise; what rules have set before
    it is the connection's.
    """
    cdef int fd = context.connection.fd
    cdef bint of_peer = (
        what == FETCH_CLIENT_PEER or what == FETCH_CLIENT_PEER_PORT
        or what == FETCH_CLIENT_PEER_LOCAL)
    cdef bint port = what == FETCH_CLIENT_PEER_PORT or what == FETCH_CLIENT_END_PORT
    if set_end_sample(context.connection.ends, of_peer, port, sample):
        pass  # by a rule, or of a connection that may be closed by now
    elif context.connection.headed or context.connection.renamed or (
            not of_peer and context.front_family == 0):
        if not end_sample(fd, of_peer, port, sample):
            return False
    elif port:
        set_number(sample, context.client_port if of_peer else context.front_port)
        if (context.client_family if of_peer else context.front_family) == 0:
            return False
    elif of_peer:
        if not set_address(sample, context.client_family, context.client):
            return False
    elif not set_address(sample, context.front_family, context.front):
        return False
    if what == FETCH_CLIENT_PEER_LOCAL or what == FETCH_CLIENT_END_LOCAL:
        return local_sample(sample.family, sample.address, sample)
    return True
