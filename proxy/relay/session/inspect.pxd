# What a client has sent while rules wait for more of it.
#
# The bytes are held where those lie that wait for the server, in memory that doubles, so that a
# client that sends byte by byte costs time in proportion to its bytes. A worker holds a limited sum
# for all its clients; beyond it the next is judged by what is there.

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from proxy.relay.proxy_protocol.write cimport HEADER_ROOM
from proxy.relay.session.early cimport early_take
from proxy.relay.session.session cimport note_first
from proxy.relay.sides.side_io cimport side_receive
from proxy.relay.state.types cimport (
    CLIENT, CONFIRM, READABLE, SERVER, Engine, Pending, Session, Side)
from shm.atomics cimport count

cdef enum:
    INSPECT_BYTES_MAX = 15360  # that rules look at: HAProxy's buffer less its reserve
    INSPECT_ROOM_MIN = 1024
    INSPECTED_BYTES_MAX = 67108864  # held by one worker

cdef enum:  # what came since the last look
    CAME_NOTHING = 0
    CAME_BYTES = 1
    CAME_LAST = 2  # nothing follows: the client has finished or left, or no more are held
    CAME_LOST = 3  # without memory


cdef inline uint32_t inspected_length(const Session *session) noexcept nogil:
    cdef const Pending *held = session.sides[SERVER].pending
    return 0 if held == NULL else held.end


cdef inline uint32_t room_for(uint32_t length) noexcept nogil:
    """The least power of two that has room."""
    cdef uint32_t room = INSPECT_ROOM_MIN
    while room < length:
        room *= 2
    return room


cdef inline bint inspect_hold(
        Engine *engine, Session *session, const char *bytes, uint32_t length) noexcept nogil:
    """Hold more bytes; False without memory."""
    cdef Pending *held = session.sides[SERVER].pending
    cdef uint32_t end = inspected_length(session)
    if length == 0:
        return True
    if held == NULL or room_for(end) < end + length:
        held = <Pending *>realloc(held, sizeof(Pending) + room_for(end + length))
        if held == NULL:
            return False
        session.sides[SERVER].pending = held
        held.start = 0
    memcpy(held.bytes + end, bytes, length)
    held.end = end + length
    engine.inspected_bytes += length
    count(&engine.counters.buffer_bytes, length)
    return True


cdef inline int inspect_receive(Engine *engine, Session *session) noexcept nogil:
    """Receive what the client has sent since the last look, as far as rules look at it."""
    cdef Side *client = &session.sides[CLIENT]
    cdef char *bytes = engine.scratch + HEADER_ROOM
    cdef int came = CAME_NOTHING
    cdef ssize_t received, room
    while client.flags & READABLE:
        room = <ssize_t>INSPECT_BYTES_MAX - inspected_length(session)
        if room <= 0:
            break
        received = side_receive(client, bytes, room)
        if received < 0 and errno == EAGAIN:
            client.flags &= ~(READABLE | CONFIRM)
            break
        if received <= 0:
            return CAME_LAST
        if received < room and not client.flags & CONFIRM:
            client.flags &= ~READABLE
        if not inspect_hold(engine, session, bytes, <uint32_t>received):
            return CAME_LOST
        client.bytes += received
        client.activity_ms = engine.now_ms
        if client.bytes == <uint64_t>received:
            note_first(session)
        if engine.inspected_bytes > INSPECTED_BYTES_MAX:
            count(&engine.counters.inspections_cut, 1)
            return CAME_LAST
        came = CAME_BYTES
    return came


cdef inline size_t inspect_take(Engine *engine, Session *session, char *bytes) noexcept nogil:
    """Copy what is held to `bytes`, and hold it no more; its length."""
    cdef size_t length = early_take(engine, session, bytes)
    engine.inspected_bytes -= length
    return length
