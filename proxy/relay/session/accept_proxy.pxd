# Clients behind another proxy: a session that begins with a PROXY header (bind ... accept-proxy).
#
# The header may come in pieces: what is there is kept as bytes that wait for the server, until it
# is whole. What follows it are the client's first bytes. Until then the session has no backend, no
# server and no time-out but `timeout client`, counted from accept. A client that sends anything
# else is refused, with a reset as from HAProxy.

from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcpy

from proxy.relay.balance.source_hash cimport hash_address
from proxy.relay.log.session cimport log_accepted
from proxy.relay.proxy_protocol.addresses cimport EARLY_BYTES_MAX
from proxy.relay.proxy_protocol.read cimport HEADER_INCOMPLETE, HEADER_INVALID, header_read
from proxy.relay.proxy_protocol.write cimport HEADER_ROOM
from proxy.relay.session.first_bytes cimport session_admit, session_start
from proxy.relay.session.forward cimport Mover, drop_waiting, keep_rest
from proxy.relay.session.session cimport (
    EVENT_HEADER, mover_collect, mover_open, session_break, session_step)
from proxy.relay.state.syscalls cimport recv, sockaddr
from proxy.relay.state.types cimport (
    CLIENT, CONFIRM, READABLE, SERVER, TERMINATION_CLIENT_ABORT_HEADER,
    TERMINATION_REFUSED_HEADER, TERMINATION_RESOURCE_CONNECT, Engine, Session, Side)


cdef inline size_t header_resume(Engine *engine, Session *session, char *bytes) noexcept nogil:
    """Take what came of the header before; how many bytes."""
    cdef Side *server = &session.sides[SERVER]
    cdef size_t length
    cdef Mover mover
    if server.pending == NULL:
        return 0
    length = server.pending.end
    memcpy(bytes, server.pending.bytes, length)
    mover_open(engine, &mover)
    drop_waiting(&mover, server)
    mover_collect(engine, &mover)
    return length


cdef inline void header_keep(
        Engine *engine, Session *session, const char *bytes, size_t length) noexcept nogil:
    """The rest of the header is yet to come."""
    cdef Mover mover
    if length == 0:
        return
    mover_open(engine, &mover)
    if not keep_rest(&mover, &session.sides[SERVER], bytes, length):
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)
    mover_collect(engine, &mover)


cdef inline void header_accepted(
        Engine *engine, Session *session, char *rest, size_t length) noexcept nogil:
    """The header is whole: begin the session of the client that it names."""
    session_step(session, EVENT_HEADER)
    session.source_hash = hash_address(<const sockaddr *>&session.addresses.source)
    session.sides[CLIENT].bytes = length
    session.sides[CLIENT].activity_ms = engine.now_ms
    session_admit(engine, session)
    if session.listener.frontend.log != NULL:
        log_accepted(engine, session, &session.addresses.source)
    session_start(engine, session, rest, length)


cdef inline void header_event(Engine *engine, Session *session) noexcept nogil:
    """Receive what the client has sent, and see whether its header is whole."""
    cdef Side *client = &session.sides[CLIENT]
    cdef char *bytes = engine.scratch + HEADER_ROOM
    cdef size_t filled = header_resume(engine, session, bytes)
    cdef int header = HEADER_INCOMPLETE
    cdef ssize_t received
    while header == HEADER_INCOMPLETE and client.flags & READABLE:
        received = recv(client.fd, bytes + filled, EARLY_BYTES_MAX - filled, 0)
        if received > 0:
            if received < <ssize_t>(EARLY_BYTES_MAX - filled) and not client.flags & CONFIRM:
                client.flags &= ~READABLE
            filled += received
            header = header_read(
                <const unsigned char *>bytes, <int>filled, session.addresses)
        elif received < 0 and errno == EAGAIN:
            client.flags &= ~(READABLE | CONFIRM)
        elif received == 0 or errno != EINTR:
            session_break(
                engine, session, TERMINATION_CLIENT_ABORT_HEADER, CLIENT if filled != 0 else -1)
            return
    if header == HEADER_INVALID:
        session_break(engine, session, TERMINATION_REFUSED_HEADER, CLIENT)
    elif header == HEADER_INCOMPLETE:
        header_keep(engine, session, bytes, filled)
    else:
        header_accepted(engine, session, bytes + header, filled - header)
