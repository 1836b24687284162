# The memory that a worker holds while rules wait for bytes, and for whom, in the order in which
# they came to hold some.
#
# The order is a list through the sessions, so that the first is found, and each leaves it, in the
# same time however many there are. Those that have sent nothing hold nothing and are not in it.
# What becomes of the first where all hold too much is session/events.pxd.

from libc.stdint cimport uint32_t

from proxy.relay.sides.hold cimport room_for
from proxy.relay.state.rule_types cimport INSPECTED_BYTES_MAX
from proxy.relay.state.types cimport Addresses, Engine, Session


cdef inline void inspected_enter(Engine *engine, Session *session) noexcept nogil:
    """It is the last in the order."""
    cdef Session *last = engine.inspected_last
    session.addresses.inspected_next = NULL
    session.addresses.inspected_previous = last
    if last != NULL:
        last.addresses.inspected_next = session
    else:
        engine.inspected_first = session
    engine.inspected_last = session


cdef inline void inspected_note(
        Engine *engine, Session *session, uint32_t length) noexcept nogil:
    """So many bytes are held for it now, whose memory counts."""
    cdef Addresses *ends = session.addresses
    cdef uint32_t room
    if length == 0:
        return
    room = room_for(length)
    if ends.inspected == 0:
        inspected_enter(engine, session)
    engine.inspected_bytes += room - ends.inspected
    ends.inspected = room


cdef inline void inspected_forget(Engine *engine, Session *session) noexcept nogil:
    """Rules wait no more for its bytes, or it has ended; one that is not in the order stays so."""
    cdef Addresses *ends = session.addresses
    if ends == NULL or ends.inspected == 0:
        return
    engine.inspected_bytes -= ends.inspected
    ends.inspected = 0
    if ends.inspected_next != NULL:
        ends.inspected_next.addresses.inspected_previous = ends.inspected_previous
    else:
        engine.inspected_last = ends.inspected_previous
    if ends.inspected_previous != NULL:
        ends.inspected_previous.addresses.inspected_next = ends.inspected_next
    else:
        engine.inspected_first = ends.inspected_next


cdef inline bint inspected_too_much(const Engine *engine) noexcept nogil:
    return engine.inspected_bytes > INSPECTED_BYTES_MAX and engine.inspected_first != NULL
