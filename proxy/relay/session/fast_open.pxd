# `tfo` toward servers: the first bytes go in the SYN, and the handshake is not over with that.
#
# With a cookie at hand the kernel defers connect(): the socket says at once that it takes bytes,
# and what it is given then leaves in the SYN. Until the server has answered, the session connects
# as any other: `timeout connect` runs, a failure counts, and the next attempt begins with the same
# bytes. So these are kept, and `flown` says how many, the PROXY header's first, went along.
#
# Only a server with `tfo` costs the system call that asks whether the handshake is over.

from libc.errno cimport EAGAIN, ECONNRESET, EINPROGRESS, EPIPE, errno
from libc.stdint cimport uint16_t

from proxy.relay.proxy_protocol.addresses cimport header_before
from proxy.relay.proxy_protocol.write cimport HEADER_ROOM
from proxy.relay.session.attempt cimport session_retry
from proxy.relay.session.early cimport early_copy
from proxy.relay.sides.forward cimport send_at_once
from proxy.relay.sides.side_io cimport side_send
from proxy.relay.state.syscalls cimport getpeername, sockaddr, sockaddr_storage, socklen_t
from proxy.relay.state.types cimport SERVER, Engine, Session, Side


cdef inline bint still_connects(Engine *engine, Session *session) noexcept nogil:
    """Whether a socket that takes bytes waits for the end of its handshake all the same."""
    cdef sockaddr_storage peer
    cdef socklen_t length = sizeof(peer)
    if engine.outgoing[session.slot] == NULL or not engine.outgoing[session.slot].fast_open:
        return False
    return getpeername(session.sides[SERVER].fd, <sockaddr *>&peer, &length) != 0


cdef inline bint goes_later(int error) noexcept nogil:
    """Whether a send said that nothing went, and why not: the handshake comes first."""
    return error in (EAGAIN, EINPROGRESS)


cdef inline bint broke_later(const Session *session, int error) noexcept nogil:
    """Whether a connection failed that had been made: its server may have had the bytes."""
    return session.flown != 0 and error in (ECONNRESET, EPIPE)


cdef inline void send_in_syn(Engine *engine, Session *session) noexcept nogil:
    """Begin the handshake that was deferred, with the bytes that are kept and their header."""
    cdef Side *server = &session.sides[SERVER]
    cdef char *bytes = engine.scratch + HEADER_ROOM
    cdef size_t header = header_before(engine, session, bytes)
    cdef size_t length
    cdef ssize_t sent
    if session.flown != 0:
        return
    length = early_copy(session, bytes)
    send_at_once(server, header + length)
    sent = side_send(server, bytes - header, header + length, 0)
    if sent > 0:
        session.flown = <uint16_t>sent  # a packet is shorter than 65,536
    elif sent < 0 and not goes_later(errno):
        session_retry(engine, session, errno)
