# Bytes held for a side while it is not decided whether it gets them: memory that doubles, so that
# bytes that come one by one cost time in proportion to them.

from libc.stdint cimport uint32_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from proxy.relay.sides.forward cimport Mover
from proxy.relay.state.types cimport Pending, Side

cdef enum:
    HELD_ROOM_MIN = 1024


cdef inline uint32_t held_length(const Side *target) noexcept nogil:
    return 0 if target.pending == NULL else target.pending.end


cdef inline uint32_t room_for(uint32_t length) noexcept nogil:
    """The least power of two that has room."""
    cdef uint32_t room = HELD_ROOM_MIN
    while room < length:
        room *= 2
    return room


cdef inline bint hold_more(
        Mover *mover, Side *target, const char *bytes, uint32_t length) noexcept nogil:
    """Hold more bytes; False without memory."""
    cdef Pending *held = target.pending
    cdef uint32_t end = held_length(target)
    if length == 0:
        return True
    if held == NULL or room_for(end) < end + length:
        held = <Pending *>realloc(held, sizeof(Pending) + room_for(end + length))
        if held == NULL:
            return False
        target.pending = held
        held.start = 0
    memcpy(held.bytes + end, bytes, length)
    held.end = end + length
    mover.buffered += length
    return True
