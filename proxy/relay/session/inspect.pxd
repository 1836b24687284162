# What a client has sent while rules wait for more of it.
#
# The bytes are held where those lie that wait for the server, in memory that doubles, so that a
# client that sends byte by byte costs time in proportion to its bytes. A worker holds a limited sum
# for all its clients (sides/inspected.pxd).

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.proxy_protocol.write cimport HEADER_ROOM
from proxy.relay.session.early cimport early_take
from proxy.relay.session.session cimport mover_collect, mover_open, note_first
from proxy.relay.state.rule_types cimport (
    CAME_BROKEN, CAME_BYTES, CAME_LAST, CAME_LOST, CAME_NOTHING, INSPECT_BYTES_MAX)
from proxy.relay.sides.forward cimport Mover
from proxy.relay.sides.hold cimport held_length, hold_more
from proxy.relay.sides.inspected cimport inspected_forget, inspected_note
from proxy.relay.sides.side_io cimport side_receive
from proxy.relay.state.types cimport (
    CLIENT, CONFIRM, READABLE, SERVER, Engine, Session, Side)


cdef inline int inspect_hold(
        Engine *engine, Session *session, const char *bytes, uint32_t length) noexcept nogil:
    """Hold more bytes; CAME_LOST without memory."""
    cdef Mover mover
    mover_open(engine, &mover)
    if not hold_more(&mover, &session.sides[SERVER], bytes, length):
        return CAME_LOST
    mover_collect(engine, &mover)
    inspected_note(engine, session, held_length(&session.sides[SERVER]))
    return CAME_BYTES


cdef inline int inspect_receive(Engine *engine, Session *session) noexcept nogil:
    """Receive what the client has sent since the last look, as far as rules look at it."""
    cdef Side *client = &session.sides[CLIENT]
    cdef char *bytes = engine.scratch + HEADER_ROOM
    cdef int came = CAME_NOTHING
    cdef ssize_t received, room
    while client.flags & READABLE:
        room = <ssize_t>INSPECT_BYTES_MAX - held_length(&session.sides[SERVER])
        if room <= 0:
            break
        received = side_receive(client, bytes, room)
        if received < 0 and errno == EAGAIN:
            client.flags &= ~(READABLE | CONFIRM)
            break
        if received <= 0:
            return CAME_LAST if received == 0 else CAME_BROKEN
        if received < room and not client.flags & CONFIRM:
            client.flags &= ~READABLE
        came = inspect_hold(engine, session, bytes, <uint32_t>received)
        if came == CAME_LOST:
            return came
        client.bytes += received
        client.activity_ms = engine.now_ms
        if client.bytes == <uint64_t>received:
            note_first(session)
    return came


cdef inline size_t inspect_take(Engine *engine, Session *session, char *bytes) noexcept nogil:
    """Copy what is held to `bytes`, and hold it no more; its length."""
    cdef size_t length = early_take(engine, session, bytes)
    inspected_forget(engine, session)
    return length
