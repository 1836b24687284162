# A connection and its ends as rules and log formats look at them.

from libc.stdint cimport uint16_t, uint8_t
from libc.string cimport memcpy

from proxy.relay.state.syscalls cimport AF_INET, AF_INET6, ntohs, sockaddr_in, sockaddr_in6
from proxy.relay.state.types cimport (
    CLIENT, HEADED, SERVER, STATE_HEADER, Addresses, Engine, Listener, Session)
from proxy.rules.types cimport Context


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


cdef inline void connection_set(
        const Engine *engine, const Listener *listener, Context *context, int fd) noexcept nogil:
    """What conditions see of a client that is no session yet."""
    context.connection.facts = &engine.judge.facts
    context.connection.fd = fd
    context.connection.server_fd = -1
    context.connection.frontend = listener.frontend.index
    context.connection.bind = listener.bind
    context.connection.worker = engine.worker
    context.connection.now_ms = engine.now_ms


cdef inline void connection_of(
        const Engine *engine, const Session *session, Context *context) noexcept nogil:
    """The same of a session, and of its connection to a server."""
    cdef const Addresses *ends = session.addresses
    connection_set(engine, session.listener, context, session.sides[CLIENT].fd)
    context.connection.headed = (session.flags & HEADED) != 0
    context.connection.server_fd = session.sides[SERVER].fd
    context.connection.slot = session.slot
    if session.state == STATE_HEADER:
        context.connection.error = session.error
    if session.log != NULL:
        context.connection.unique_id = session.log.unique_id
        context.connection.unique_id_length = session.log.unique_id_length
    if ends == NULL:
        return
    context.connection.renamed = ends.renamed != 0
    context.connection.ends = &ends.first
    context.connection.fields = ends.fields
    if ends.decided != NULL:
        context.connection.decided_file = ends.decided.file
        context.connection.decided_length = ends.decided.file_length
        context.connection.decided_line = ends.decided.line
