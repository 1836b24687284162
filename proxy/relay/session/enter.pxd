# A session gets a server with a place, or a place in a queue.
#
# A new session takes a place only where no other waits for one. Where any server will do it waits
# for the backend, else for the one that is its own (`keeps_server`).

from libc.stdint cimport UINT64_MAX, uint32_t

from proxy.relay.balance.pick cimport any_eligible, keeps_server, pick_server
from proxy.relay.balance.queue cimport queue_enter, queue_full, server_place_take, server_release
from proxy.relay.session.session cimport EVENT_QUEUE, session_arm, session_step
from proxy.relay.state.counting cimport count_assigned, count_retry
from proxy.relay.state.server_places cimport waiting_for_any
from proxy.relay.state.types cimport NO_SLOT, Backend, Engine, Session
from shm.atomics cimport load_relaxed

cdef enum:  # what came of picking a server
    PICK_NONE = 0  # none is eligible
    PICK_TAKEN = 1
    PICK_QUEUED = 2
    PICK_REFUSED = 3  # its only server is full, and so is the queue there


cdef inline int session_pick(Engine *engine, Session *session, uint32_t avoid) noexcept nogil:
    """Give the session a server with a place, or let it wait for one."""
    cdef Backend *backend = session.backend
    cdef bint limited = load_relaxed(&backend.shared.limited) != 0
    cdef uint32_t slot = NO_SLOT
    if session.addresses != NULL:
        session.addresses.direct = False
    server_release(engine, session)
    engine.ticket = UINT64_MAX
    if not limited or keeps_server(backend) or (
            waiting_for_any(&engine.view, backend.index, engine.now_ms).ticket == 0):
        slot = pick_server(engine, backend, session.source_hash, avoid)
    if slot != NO_SLOT and server_place_take(engine, slot):
        session.slot = slot
        count_assigned(engine, session, True)
        return PICK_TAKEN
    if not keeps_server(backend):
        slot = NO_SLOT
    if not limited or not any_eligible(engine, backend):
        return PICK_NONE
    return session_queue_up(engine, session, slot)


cdef inline int session_queue_up(
        Engine *engine, Session *session, uint32_t slot) noexcept nogil:
    """Let the session wait for a server, or for any (NO_SLOT)."""
    if slot != NO_SLOT and queue_full(engine, slot):
        session.slot = slot
        return PICK_REFUSED
    if not queue_enter(engine, session, slot):
        return PICK_NONE
    session_step(session, EVENT_QUEUE)
    session_arm(engine, session)
    return PICK_QUEUED


cdef inline bint is_direct(const Session *session) noexcept nogil:
    """Whether its server was named, by a rule, an entry or a cookie."""
    return session.addresses != NULL and session.addresses.direct


cdef inline bint may_leave(const Session *session) noexcept nogil:
    """Whether a session may be given another server than the one that was named for it."""
    return session.backend.redispatch != 0 and not session.addresses.forced


cdef inline int session_pick_this(
        Engine *engine, Session *session, uint32_t slot) noexcept nogil:
    """Give a session this server, or let it wait there: that is not balancing.

    With `option redispatch` one that finds the queue there full is balanced.
    """
    cdef int picked
    server_release(engine, session)
    engine.ticket = UINT64_MAX
    session.addresses.direct = True  # where rules are, they are kept
    if server_place_take(engine, slot):
        session.slot = slot
        count_assigned(engine, session, False)
        return PICK_TAKEN
    picked = session_queue_up(engine, session, slot)
    if picked == PICK_REFUSED and may_leave(session):
        picked = session_pick(engine, session, NO_SLOT)
        count_retry(engine, session, slot)
    return picked
