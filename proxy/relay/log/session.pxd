# When a session is noted for the access log, and when its line is written.
#
# Called from the session's steps; each costs one comparison where the frontend logs nothing. A
# format is written as soon as all that it wants is known (as with HAProxy): when the server is
# reached, or at the end. Without a format there is one fixed line, when the client comes.

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from proxy.relay.log.text cimport port_of, put_address
from proxy.relay.log.write cimport LEVEL_INFO, log_line, log_send
from proxy.relay.state.ends cimport set_end
from proxy.relay.state.log_types cimport (
    LOG_AT_CONNECT, LOG_NEED_ENDS, LOG_NEED_FRONT, LOG_NEED_KERNEL, LOG_NEED_SOURCE,
    LOG_TEXT_BYTES, AccessLog, LogNote)
from proxy.relay.state.pool cimport pool_give, pool_take
from proxy.relay.state.syscalls cimport (
    AF_UNIX, getpeername, getsockname, sockaddr, sockaddr_in6, sockaddr_storage, socklen_t,
    wall_clock_us)
from proxy.relay.state.types cimport (
    CLIENT, HEADED, SERVER, TERMINATION_NORMAL, Engine, Session)
from proxy.rules.connection.kernel cimport kernel_ask
from proxy.rules.types cimport Connection
from shm.text cimport Text, put, put_character, put_number, text_over
from shm.atomics cimport count


cdef inline void note_own_address(int fd, sockaddr_in6 *found) noexcept nogil:
    """Our own address of a connection; a Unix socket's has its family only."""
    cdef sockaddr_storage address
    cdef socklen_t length = sizeof(address)
    if getsockname(fd, <sockaddr *>&address, &length) == 0:
        memcpy(found, &address, sizeof(sockaddr_in6))


cdef inline void put_end(Text *text, const sockaddr_in6 *address) noexcept nogil:
    put_address(text, address, 0, False)
    put_character(text, c':')
    put_number(text, port_of(address))


cdef inline void log_came(Engine *engine, Session *session) noexcept nogil:
    """The line of a frontend without a format."""
    cdef AccessLog *access = session.listener.frontend.log
    cdef Text text = text_over(engine.log.text, LOG_TEXT_BYTES)
    if session.log.client.sin6_family == AF_UNIX:
        put(&text, b"Connect to unix:", 16)
        put_number(&text, engine.log.listeners[session.listener - engine.listeners].id)
    else:
        put(&text, b"Connect from ", 13)
        put_end(&text, &session.log.client)
        put(&text, b" to ", 4)
        put_end(&text, &session.log.front)
    put(&text, b" (", 2)
    put(&text, access.name.bytes, access.name.length)
    put(&text, b"/TCP)", 5)
    session.log.written = True
    log_send(engine, access, LEVEL_INFO, text.start, text.at - text.start)


cdef inline void note_ends(Session *session) noexcept nogil:
    """Both ends of the client's connection, whatever its PROXY header says of them."""
    cdef LogNote *note = session.log
    cdef sockaddr_storage peer
    cdef sockaddr_in6 own
    cdef socklen_t length = sizeof(peer)
    own.sin6_family = 0
    note_own_address(session.sides[CLIENT].fd, &own)
    note.ends.own_family = set_end(note.ends.own, &note.ends.own_port, &own)
    if getpeername(session.sides[CLIENT].fd, <sockaddr *>&peer, &length) == 0:
        note.ends.peer_family = set_end(
            note.ends.peer, &note.ends.peer_port, <const sockaddr_in6 *>&peer)


cdef inline void log_closing(Session *session) noexcept nogil:
    """The client's connection is about to be closed: what the kernel knows of it goes with it."""
    cdef Connection connection
    if session.log == NULL or not session.listener.frontend.log.needs & LOG_NEED_KERNEL:
        return
    connection.fd = session.sides[CLIENT].fd
    kernel_ask(&connection)
    session.log.asked = connection.asked
    memcpy(session.log.kernel, connection.kernel, sizeof(session.log.kernel))


cdef inline void log_noted(
        Engine *engine, Session *session, const sockaddr_in6 *client) noexcept nogil:
    """Note what a line will tell of a client; without memory nothing is."""
    cdef AccessLog *access = session.listener.frontend.log
    cdef LogNote *note = <LogNote *>pool_take(&engine.log.notes)
    if note == NULL:  # the session goes on unlogged
        count(&engine.counters.log_overflows, 1)
        return
    session.log = note
    memcpy(&note.client, client, sizeof(sockaddr_in6))
    if session.addresses != NULL:
        note.front = session.addresses.destination
    note.accepted_us = wall_clock_us() - 1000 * (engine.now_ms - session.started_ms)
    note.assigned_ms = -1
    note.connected_ms = -1
    note.number = engine.log.taken
    engine.log.taken += 1
    if access.needs & LOG_NEED_FRONT and note.front.sin6_family == 0:
        note_own_address(session.sides[CLIENT].fd, &note.front)
    if access.needs & LOG_NEED_ENDS and session.flags & HEADED:
        note_ends(session)


cdef inline void log_accepted(
        Engine *engine, Session *session, const sockaddr_in6 *client) noexcept nogil:
    """A client came to a frontend that logs, and its PROXY header is read, if it sends one."""
    cdef AccessLog *access = session.listener.frontend.log
    log_noted(engine, session, client)
    if session.log != NULL and access.line.count == 0 and access.target_count != 0:
        log_came(engine, session)


cdef inline void log_toward(Session *session, const sockaddr_storage *address) noexcept nogil:
    """An attempt to reach a server at this address began."""
    if session.log != NULL:
        memcpy(&session.log.server, address, sizeof(sockaddr_in6))
        if session.listener.frontend.log.needs & LOG_NEED_SOURCE:
            note_own_address(session.sides[SERVER].fd, &session.log.source)


cdef inline void log_connected(Engine *engine, Session *session) noexcept nogil:
    """The session reached its server."""
    if session.log == NULL:
        return
    session.log.connected_ms = engine.now_ms
    if session.listener.frontend.log.phase == LOG_AT_CONNECT and not session.log.written:
        log_line(engine, session, TERMINATION_NORMAL, engine.now_ms)


cdef inline void log_queued(Session *session, uint64_t place, bint at_server) noexcept nogil:
    """The session began to wait; so many stand in the queue with it."""
    if session.log == NULL:
        return
    if at_server:
        session.log.queued_server = place
    else:
        session.log.queued_backend = place


cdef inline void log_unqueued(Engine *engine, Session *session) noexcept nogil:
    """The session ends while it waits: its time in the queue ends, too."""
    if session.log != NULL:
        session.log.assigned_ms = engine.now_ms


cdef inline void note_drop(Engine *engine, Session *session) noexcept nogil:
    free(session.log.unique_id)
    pool_give(&engine.log.notes, session.log)
    session.log = NULL


cdef inline void log_ended(Engine *engine, Session *session, int termination) noexcept nogil:
    """The session is over; its place at the server is given back, that in its frontend not yet."""
    if session.log == NULL:
        return
    if not session.log.written and not (
            session.listener.frontend.log.skip_null and session.sides[CLIENT].bytes == 0):
        log_line(engine, session, termination, engine.now_ms)
    note_drop(engine, session)
