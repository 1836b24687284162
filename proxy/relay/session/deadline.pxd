# When something must have happened in a session, and what. Pure: it changes nothing.
#
# The limits are those of the manual (section 4.2). A side's clock runs from its last byte in either
# direction, and only while its peer is to act: bytes wait for it, or it may send and would be read.

from libc.stdint cimport INT64_MAX, int64_t

from proxy.relay.sides.forward cimport waiting
from proxy.relay.state.types cimport (
    BROKEN, CLIENT, ENDED_READING, FIN_SENT, JUDGED_LATER, SERVER, STATE_ACCEPTED,
    STATE_CONNECTING, STATE_ENDED, STATE_HEADER, STATE_INSPECTING, STATE_QUEUED, STATE_WAITING,
    Session)

cdef enum:
    TURN_AROUND_MAX_MS = 1000
    EARLY_WAIT_MS = 4  # for the first bytes of a client that is expected to speak first

cdef enum:  # DeadlineKind
    DEADLINE_NONE = 0
    DEADLINE_CLIENT = 1
    DEADLINE_SERVER = 2
    DEADLINE_CONNECT = 3
    DEADLINE_TURN_AROUND = 4
    DEADLINE_EARLY = 5
    DEADLINE_REMOVED = 6
    DEADLINE_QUEUE = 7
    DEADLINE_HEADER = 8
    DEADLINE_INSPECTION = 9
    DEADLINE_ANSWER = 10

cdef struct Deadline:
    int64_t at_ms
    int kind  # DeadlineKind


cdef inline int64_t side_timeout_ms(Session *session, int side) noexcept nogil:
    """The inactivity that is allowed on a side: 0 for ever.

    After a FIN was sent to it `timeout client-fin|server-fin` holds, else `timeout tunnel`, else
    `timeout client|server` (manual, section 4.2).
    """
    cdef bint half_closed = session.sides[side].flags & FIN_SENT != 0
    if side == CLIENT:
        if half_closed and session.listener.frontend.client_fin_ms != 0:
            return session.listener.frontend.client_fin_ms
    elif half_closed and session.backend.server_fin_ms != 0:
        return session.backend.server_fin_ms
    if session.backend.tunnel_ms != 0:
        return session.backend.tunnel_ms
    return session.listener.frontend.client_ms if side == CLIENT else session.backend.server_ms


cdef inline bint side_expected(Session *session, int side) noexcept nogil:
    """Whether its peer is to act: bytes wait for it, or it may send and would be read."""
    if waiting(&session.sides[side]):
        return True
    if session.sides[side].flags & (ENDED_READING | BROKEN):
        return False
    return not waiting(&session.sides[1 - side])


cdef inline void deadline_earlier(
        Deadline *deadline, int64_t since_ms, int64_t timeout_ms, int kind) noexcept nogil:
    if timeout_ms != 0 and since_ms + timeout_ms < deadline.at_ms:
        deadline.at_ms = since_ms + timeout_ms
        deadline.kind = kind


cdef inline void deadline_removed(Deadline *deadline, const Session *session) noexcept nogil:
    """Its server has another address now, and `on-removed drain` gives it until then."""
    if session.removed_end_ms != 0 and session.removed_end_ms < deadline.at_ms:
        deadline.at_ms = session.removed_end_ms
        deadline.kind = DEADLINE_REMOVED


cdef inline int64_t inspect_ms(const Session *session) noexcept nogil:
    """How long the rules that look at the session now may wait for bytes."""
    if session.backend != NULL:
        return session.backend.rules.inspect_ms
    return session.listener.frontend.rules.inspect_ms


cdef inline Deadline session_deadline(Session *session) noexcept nogil:
    """The earliest time at which something must have happened, and what."""
    cdef Deadline deadline
    deadline.at_ms = INT64_MAX
    deadline.kind = DEADLINE_NONE
    if session.state == STATE_ENDED:
        return deadline
    if session.state == STATE_HEADER:
        deadline_earlier(
            &deadline, session.started_ms, session.listener.frontend.client_ms, DEADLINE_HEADER)
        return deadline
    if session.state == STATE_ACCEPTED:
        deadline_earlier(&deadline, session.started_ms, EARLY_WAIT_MS, DEADLINE_EARLY)
        return deadline
    if session.state == STATE_INSPECTING:  # at either of both the rules decide with what is there
        deadline_earlier(
            &deadline, session.attempt_ms, inspect_ms(session), DEADLINE_INSPECTION)
        deadline_earlier(
            &deadline, session.sides[CLIENT].activity_ms, session.listener.frontend.client_ms,
            DEADLINE_INSPECTION)
        return deadline
    if STATE_CONNECTING <= session.state <= STATE_QUEUED:
        deadline_earlier(
            &deadline, session.sides[CLIENT].activity_ms, session.listener.frontend.client_ms,
            DEADLINE_CLIENT)
        if session.state == STATE_QUEUED:
            deadline_earlier(
                &deadline, session.waiter.since_ms, session.backend.queue_ms, DEADLINE_QUEUE)
        elif session.state == STATE_WAITING:
            deadline_earlier(
                &deadline, session.attempt_ms, turn_around_ms(session), DEADLINE_TURN_AROUND)
        else:
            deadline_earlier(
                &deadline, session.attempt_ms, session.backend.connect_ms, DEADLINE_CONNECT)
            deadline_removed(&deadline, session)
        return deadline
    deadline_removed(&deadline, session)
    if session.flags & JUDGED_LATER:  # meanwhile a client may be silent for longer, as in HAProxy
        deadline_earlier(
            &deadline, session.attempt_ms, session.backend.rules.response_ms, DEADLINE_ANSWER)
    elif side_expected(session, CLIENT):
        deadline_earlier(
            &deadline, session.sides[CLIENT].activity_ms, side_timeout_ms(session, CLIENT),
            DEADLINE_CLIENT)
    if side_expected(session, SERVER) or session.flags & JUDGED_LATER:  # held bytes are no limit
        deadline_earlier(
            &deadline, session.sides[SERVER].activity_ms, side_timeout_ms(session, SERVER),
            DEADLINE_SERVER)
    return deadline


cdef inline int64_t turn_around_ms(Session *session) noexcept nogil:
    """min(`timeout connect`, 1 s), manual section 4.2, `retries`."""
    if session.backend.connect_ms != 0 and session.backend.connect_ms < TURN_AROUND_MAX_MS:
        return session.backend.connect_ms
    return TURN_AROUND_MAX_MS
