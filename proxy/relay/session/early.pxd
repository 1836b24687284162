# What a client has sent before its server takes it: at hand in the scratch buffer, or held.
#
# What is held (a part of a PROXY header, or first bytes) lies where bytes wait for the server,
# because there it goes when the server is connected. EARLY_BYTES_MAX bytes at most: there is room
# for the server's PROXY header before them.

from libc.string cimport memcpy

from proxy.relay.sides.forward cimport Mover, drop_waiting, keep_rest, waiting
from proxy.relay.session.session cimport mover_collect, mover_open
from proxy.relay.state.syscalls cimport sockaddr_in6
from proxy.relay.state.types cimport SERVER, Engine, Session, Side

cdef struct Beginning:  # what the stages of a session hand on
    char *bytes  # what the client has sent; HEADER_ROOM bytes before it are ours
    size_t length
    const sockaddr_in6 *source  # the client's address
    bint gone  # the client left before a server was sought
    bint broken  # it broke its connection while rules waited for its bytes
    int termination  # of a verdict ENDS
    int reset_side  # that is told by RST; -1: none


cdef inline bint early_hold(
        Engine *engine, Session *session, const char *bytes, size_t length) noexcept nogil:
    """Hold bytes until they can go on; False without memory: the session must end."""
    cdef Mover mover
    cdef bint held
    if length == 0:
        return True
    mover_open(engine, &mover)
    held = keep_rest(&mover, &session.sides[SERVER], bytes, length)
    mover_collect(engine, &mover)
    return held


cdef inline bint early_held(const Session *session) noexcept nogil:
    return waiting(&session.sides[SERVER])


cdef inline size_t early_copy(const Session *session, char *bytes) noexcept nogil:
    """Copy what is held to `bytes`; its length."""
    cdef const Side *server = &session.sides[SERVER]
    if server.pending == NULL:
        return 0
    memcpy(bytes, server.pending.bytes, server.pending.end)
    return server.pending.end


cdef inline size_t early_take(Engine *engine, Session *session, char *bytes) noexcept nogil:
    """Copy what is held to `bytes`, and hold it no more; its length."""
    cdef Mover mover
    cdef size_t length = early_copy(session, bytes)
    if length != 0:
        mover_open(engine, &mover)
        drop_waiting(&mover, &session.sides[SERVER])
        mover_collect(engine, &mover)
    return length
