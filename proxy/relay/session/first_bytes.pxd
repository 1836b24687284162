# The client's first bytes: received before a server is sought, and sent when there is one.
#
# Those that are at hand go out right behind connect(), in one segment with the server's PROXY
# header. What connecting means, and trying again, is attempt.pxd.
#
# Where the last clients of a listener all spoke first, a session waits a moment for its first
# bytes (EARLY_WAIT_MS): they nearly always follow the handshake directly, and with them at hand the
# handshake toward the server takes a packet and a wake-up less. One client that stays silent, or a
# server that speaks first, ends that for the next ones.

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint16_t

from proxy.relay.proxy_protocol.addresses cimport EARLY_BYTES_MAX, header_before
from proxy.relay.proxy_protocol.write cimport HEADER_ROOM
from proxy.relay.session.attempt cimport session_connected, session_retry
from proxy.relay.session.early cimport Beginning, early_hold, early_take
from proxy.relay.session.fast_open cimport goes_later, still_connects
from proxy.relay.sides.forward cimport Mover, send_at_once, send_bytes
from proxy.relay.session.session cimport (
    mover_collect, mover_open, note_first, session_break, session_relay, watch)
from proxy.relay.sides.side_io cimport side_at_end, side_receive, side_send
from proxy.relay.session.stages cimport GOES_ON, WAITS
from proxy.relay.state.syscalls cimport EPOLL_CTL_ADD
from proxy.relay.state.types cimport (
    CLIENT, CONFIRM, EARLY_OWED, HEADED, JUDGED_LATER, READABLE, SERVER, STATE_CONNECTING,
    STATE_QUEUED, TERMINATION_CLIENT_ABORT_QUEUE, TERMINATION_RESOURCE_CONNECT, Engine, Session,
    Side)
from shm.atomics cimport count

cdef enum:
    CLIENT_FIRST_SURE = 16  # clients in a row that spoke first: the next one will too


cdef inline ssize_t early_bytes(Engine *engine, Session *session) noexcept nogil:
    """Receive what an event says the client has sent already; -1: it is gone."""
    cdef Side *client = &session.sides[CLIENT]
    cdef ssize_t received = side_receive(client, engine.scratch + HEADER_ROOM, EARLY_BYTES_MAX)
    if received < 0 and errno == EAGAIN:
        return 0
    if received <= 0:
        return -1
    if received < EARLY_BYTES_MAX and not client.flags & CONFIRM:
        client.flags &= ~READABLE
    client.bytes = received
    note_first(session)
    return received


cdef inline int first_bytes_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """Receive what is there. Of bytes behind a PROXY header only those that came with it."""
    cdef ssize_t received
    if session.flags & HEADED:
        return GOES_ON
    if not session.sides[CLIENT].flags & READABLE:
        return WAITS if session.listener.client_first >= CLIENT_FIRST_SURE else GOES_ON
    received = early_bytes(engine, session)
    beginning.gone = received < 0
    beginning.length = max(received, 0)
    return GOES_ON


cdef inline bint aborts_early(Session *session, const Beginning *beginning) noexcept nogil:
    """Whether the client's FIN is here that ends a session without a server.

    That is one which no byte precedes, or any with `option abortonclose`.
    """
    return (session.backend.abortonclose or beginning.length == 0) and (
        session.sides[CLIENT].flags & CONFIRM != 0 and side_at_end(&session.sides[CLIENT]))


cdef inline void hold_first_bytes(
        Engine *engine, Session *session, const Beginning *beginning) noexcept nogil:
    """The session waits for a server: hold what its client has sent already."""
    if beginning.length == 0:
        return
    count(&session.listener.frontend.counters.bytes_in, beginning.length)
    count(&session.backend.counters.bytes_in, beginning.length)
    session.flags |= EARLY_OWED
    if not early_hold(engine, session, beginning.bytes, beginning.length):
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)


cdef inline void wait_in_queue(
        Engine *engine, Session *session, const Beginning *beginning) noexcept nogil:
    """The session waits for a place, unless the client left while rules waited for its bytes.

    No event will tell of that again.
    """
    hold_first_bytes(engine, session, beginning)
    if session.state == STATE_QUEUED and aborts_early(session, beginning):
        session_break(engine, session, TERMINATION_CLIENT_ABORT_QUEUE, -1)


cdef inline void send_first_bytes(
        Engine *engine, Session *session, const Beginning *beginning) noexcept nogil:
    """Send the client's first bytes right after connect(), behind the PROXY header if there is one.

    Where the handshake is complete by then (loopback) no event has to be waited for; elsewhere
    they are held until it is, also those that a SYN took.
    """
    cdef Side *server = &session.sides[SERVER]
    cdef char *bytes = beginning.bytes
    cdef size_t length = beginning.length
    cdef ssize_t sent = 0
    cdef size_t header = 0
    cdef int error = 0
    if session.state == STATE_CONNECTING:
        header = header_before(engine, session, bytes)
        send_at_once(server, header + length)
        sent = side_send(server, bytes - header, header + length, 0)
        error = errno if sent < 0 else 0
    if sent > 0 and still_connects(engine, session):
        session.flown = <uint16_t>sent  # a packet is shorter than 65,536
        sent = 0
    if sent > 0:
        bytes = bytes - header + sent
        length = header + length - sent
    if not early_hold(engine, session, bytes, length):
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)
        return
    if error != 0 and not goes_later(error):
        session_retry(engine, session, error)
        return
    if session.state != STATE_CONNECTING:
        return
    if not watch(engine, session, SERVER, EPOLL_CTL_ADD, length != 0):
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)
    elif sent > 0:
        session_connected(engine, session)
        if session.sides[CLIENT].flags & READABLE or session.flags & JUDGED_LATER:
            session_relay(engine, session)


cdef inline void session_announce(Engine *engine, Session *session) noexcept nogil:
    """Begin what goes to a connected server with its PROXY header, if it wants one.

    What its SYN took is there already.
    """
    cdef char *bytes = engine.scratch + HEADER_ROOM
    cdef size_t header = header_before(engine, session, bytes)
    cdef size_t flown = session.flown
    cdef size_t length
    cdef Mover mover
    if header == 0 and flown == 0:
        return
    length = early_take(engine, session, bytes)
    if flown != header + length:
        mover_open(engine, &mover)
        send_bytes(
            &mover, &session.sides[SERVER], bytes - header + flown, header + length - flown, 0)
        mover_collect(engine, &mover)
