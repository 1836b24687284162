# How a session begins: it counts, the client's first bytes are received, a server is sought, and
# what goes to it begins with its PROXY header.
#
# First bytes that are at hand go out right behind connect(), in one segment with the header. What
# connecting means, and trying again, is attempt.pxd.

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from proxy.relay.proxy_protocol.addresses cimport EARLY_BYTES_MAX, header_before
from proxy.relay.proxy_protocol.write cimport HEADER_ROOM
from proxy.relay.session.attempt cimport (
    EARLY_AT_HAND, EARLY_NONE, session_attempt, session_connected, session_retry,
    session_unpicked)
from proxy.relay.session.enter cimport PICK_QUEUED, PICK_TAKEN, session_pick
from proxy.relay.session.fast_open cimport goes_later, still_connects
from proxy.relay.session.forward cimport Mover, drop_waiting, keep_rest, send_at_once, send_bytes
from proxy.relay.session.session cimport (
    EVENT_ATTEMPT, mover_collect, mover_open, note_first, session_break, session_relay,
    session_step, watch)
from proxy.relay.state.counting cimport count_aborted, count_bytes, count_opened
from proxy.relay.state.syscalls cimport EPOLL_CTL_ADD, MSG_NOSIGNAL, MSG_PEEK, recv, send
from proxy.relay.state.types cimport (
    CLIENT, CONFIRM, EARLY_OWED, NO_SLOT, READABLE, SERVER, SPLICE, STATE_CONNECTING, STATE_ENDED,
    STATE_QUEUED, TERMINATION_CLIENT_ABORT_CONNECT, TERMINATION_RESOURCE_CONNECT,
    TERMINATION_SERVER_ABORT_CONNECT, Engine, Frontend, Session, Side)
from shm.atomics cimport count


cdef inline void session_announce(Engine *engine, Session *session) noexcept nogil:
    """Begin what goes to a connected server with its PROXY header, if it wants one.

    What its SYN took is there already.
    """
    cdef Side *server = &session.sides[SERVER]
    cdef char *bytes = engine.scratch + HEADER_ROOM
    cdef size_t header = header_before(engine, session, bytes)
    cdef size_t length = 0
    cdef size_t flown = session.flown
    cdef Mover mover
    if header == 0 and flown == 0:
        return
    mover_open(engine, &mover)
    if server.pending != NULL:  # the client's first bytes, EARLY_BYTES_MAX at most
        length = server.pending.end
        memcpy(bytes, server.pending.bytes, length)
        drop_waiting(&mover, server)
    if flown != header + length:
        send_bytes(&mover, server, bytes - header + flown, header + length - flown, 0)
    mover_collect(engine, &mover)


cdef inline void send_early(
        Engine *engine, Session *session, char *bytes, size_t length) noexcept nogil:
    """Send the client's first bytes right after connect(), behind the PROXY header if there is one.

    Where the handshake is complete by then (loopback) no event has to be waited for; elsewhere
    they are kept until it is, also those that a SYN took. HEADER_ROOM bytes before `bytes` are
    ours.
    """
    cdef Side *server = &session.sides[SERVER]
    cdef Mover mover
    cdef ssize_t sent = 0
    cdef size_t header = 0
    cdef int error = 0
    mover_open(engine, &mover)
    if session.state == STATE_CONNECTING:
        header = header_before(engine, session, bytes)
        send_at_once(server, header + length)
        sent = send(server.fd, bytes - header, header + length, MSG_NOSIGNAL)
        error = errno if sent < 0 else 0
    if sent > 0 and still_connects(engine, session):
        session.flown = <uint16_t>sent  # a packet is shorter than 65,536
        sent = 0
    if sent > 0:
        bytes = bytes - header + sent
        length = header + length - sent
    if length != 0 and not keep_rest(&mover, server, bytes, length):
        mover_collect(engine, &mover)
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)
        return
    mover_collect(engine, &mover)
    if error != 0 and not goes_later(error):
        session_retry(engine, session, error)
        return
    if session.state != STATE_CONNECTING:
        return
    if not watch(engine, session, SERVER, EPOLL_CTL_ADD, length != 0):
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)
    elif sent > 0:
        session_connected(engine, session)
        if session.sides[CLIENT].flags & READABLE:
            session_relay(engine, session)


cdef inline ssize_t early_bytes(Engine *engine, Session *session) noexcept nogil:
    """Receive what an event says the client has sent already; -1: it is gone."""
    cdef Side *client = &session.sides[CLIENT]
    cdef ssize_t received
    if not client.flags & READABLE:
        return 0
    received = recv(client.fd, engine.scratch + HEADER_ROOM, EARLY_BYTES_MAX, 0)
    if received < 0 and errno in (EAGAIN, EINTR):
        return 0
    if received <= 0:
        return -1
    if received < EARLY_BYTES_MAX and not client.flags & CONFIRM:
        client.flags &= ~READABLE
    client.bytes = received
    note_first(session)
    return received


cdef inline void keep_early(
        Engine *engine, Session *session, const char *bytes, size_t early) noexcept nogil:
    """The session waits for a server: keep what its client has sent already."""
    cdef Mover mover
    if early == 0:
        return
    count(&session.listener.frontend.counters.bytes_in, early)
    count(&session.backend.counters.bytes_in, early)
    session.flags |= EARLY_OWED
    mover_open(engine, &mover)
    if not keep_rest(&mover, &session.sides[SERVER], bytes, early):
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)
    mover_collect(engine, &mover)


cdef inline void session_admit(Engine *engine, Session *session) noexcept nogil:
    """A client is known: its session counts, and has its backend."""
    cdef Frontend *frontend = session.listener.frontend
    if frontend.backend >= 0:
        session.backend = &engine.backends[frontend.backend]
        if session.backend.splice and frontend.splice:
            session.flags |= SPLICE
    count_opened(engine, session)


cdef inline bint aborts_early(Session *session) noexcept nogil:
    """With `option abortonclose`: whether the client's FIN came with its first bytes."""
    cdef char byte
    return session.backend != NULL and session.backend.abortonclose and (
        session.sides[CLIENT].flags & CONFIRM != 0) and (
        recv(session.sides[CLIENT].fd, &byte, 1, MSG_PEEK) == 0)


cdef inline void session_gone(Engine *engine, Session *session) noexcept nogil:
    """The client left before a server was sought for it."""
    count_aborted(engine, session, True)
    session_break(engine, session, TERMINATION_CLIENT_ABORT_CONNECT, -1)


cdef inline void session_start(
        Engine *engine, Session *session, char *bytes, size_t early) noexcept nogil:
    """Seek a server for a session whose client has sent `early` bytes.

    HEADER_ROOM bytes before `bytes` are ours.
    """
    cdef int picked
    if early != 0 and aborts_early(session):
        session_gone(engine, session)
        return
    if session.backend == NULL:
        session_break(engine, session, TERMINATION_SERVER_ABORT_CONNECT, -1)
        return
    picked = session_pick(engine, session, NO_SLOT)
    if picked == PICK_QUEUED:
        keep_early(engine, session, bytes, early)
        return
    if picked != PICK_TAKEN:
        session_unpicked(engine, session, picked)
        return
    session_step(session, EVENT_ATTEMPT)
    session_attempt(engine, session, EARLY_AT_HAND if early != 0 else EARLY_NONE)
    if early == 0 or session.state == STATE_ENDED:
        return
    if session.state == STATE_QUEUED:  # the attempts failed, and no other server has a place
        keep_early(engine, session, bytes, early)
        return
    count_bytes(engine, session, early, 0)
    send_early(engine, session, bytes, early)


cdef inline void session_begin(Engine *engine, Session *session) noexcept nogil:
    """The first steps of a session: the client's first bytes if they are there, and a server."""
    cdef ssize_t early = early_bytes(engine, session)
    if early < 0:
        session_gone(engine, session)
        return
    session_start(engine, session, engine.scratch + HEADER_ROOM, early)
