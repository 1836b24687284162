# What an epoll event or a due timer means to a session: decides by state and calls what acts.
#
# Readiness is only noted here (READABLE, WRITABLE, CONFIRM); forward.pxd uses it up.

from libc.errno cimport ECONNRESET, ETIMEDOUT
from libc.stdint cimport uint32_t

from proxy.relay.session.answer cimport answer_due
from proxy.relay.log.failed cimport log_failed
from proxy.relay.session.attempt cimport session_again, session_connected, session_retry
from proxy.relay.session.begin cimport session_begin
from proxy.relay.session.deadline cimport (
    DEADLINE_CLIENT, DEADLINE_CONNECT, DEADLINE_EARLY, DEADLINE_HEADER, DEADLINE_INSPECTION,
    DEADLINE_QUEUE, DEADLINE_REMOVED, DEADLINE_TURN_AROUND, Deadline, session_deadline)
from proxy.relay.session.fast_open cimport broke_later, send_in_syn, still_connects
from proxy.relay.session.early cimport early_held
from proxy.relay.session.first_bytes cimport session_announce
from proxy.relay.sides.forward cimport note_failed
from proxy.relay.sides.inspected cimport inspected_too_much
from proxy.relay.session.session cimport (
    session_arm, session_break, session_end_down, session_inactive, session_relay)
from proxy.relay.sides.side_io cimport side_at_end, side_error
from proxy.rules.connection.errors cimport ERROR_TIMEOUT
from proxy.relay.session.stages cimport (
    STAGE_BACKEND_RULES, STAGE_FIRST_BYTES, STAGE_FRONTEND_RULES, STAGE_HEADER)
from proxy.relay.state.counting cimport count_aborted, count_unreachable
from proxy.relay.state.syscalls cimport (
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP)
from proxy.relay.state.types cimport (
    CLIENT, CONFIRM, DEAF, FAILED, JUDGED_LATER, QUEUED, READABLE, SERVER, STATE_ACCEPTED,
    STATE_CONNECTING, STATE_ENDED, STATE_HEADER, STATE_INSPECTING, STATE_QUEUED,
    TERMINATION_CLIENT_ABORT_CONNECT, TERMINATION_CLIENT_ABORT_QUEUE,
    TERMINATION_CLIENT_TIMEOUT_HEADER, TERMINATION_SERVER_TIMEOUT_QUEUE, WRITABLE, Engine, Session,
    Side)
from shm.atomics cimport count


cdef inline void connect_event(Engine *engine, Session *session, uint32_t events) noexcept nogil:
    """The socket toward the server changed: it is connected, or the attempt failed."""
    cdef int error
    if events & (EPOLLERR | EPOLLHUP):
        error = side_error(&session.sides[SERVER])
        error = error if error != 0 else ECONNRESET
        if not broke_later(session, error):
            session_retry(engine, session, error)
            return
        session.sides[SERVER].flags |= FAILED
    elif not events & EPOLLOUT:
        return
    elif still_connects(engine, session):
        send_in_syn(engine, session)
        return
    session_connected(engine, session)
    session_announce(engine, session)
    session_relay(engine, session)


cdef inline int inspecting_stage(const Session *session) noexcept nogil:
    """Whose rules wait for bytes."""
    return STAGE_FRONTEND_RULES if session.backend == NULL else STAGE_BACKEND_RULES


cdef inline void waiters_hurry(Engine *engine) noexcept nogil:
    """While a worker holds too much for rules that wait, judge whoever has held some longest.

    Called behind each event of a session, and behind each batch of clients: so far goes the sum
    beyond its limit.
    """
    cdef Session *session
    while inspected_too_much(engine):
        session = engine.inspected_first
        session.addresses.hurried = True
        count(&engine.counters.inspections_cut, 1)
        if session.state == STATE_INSPECTING:
            session_begin(engine, session, inspecting_stage(session), NULL)
        else:
            answer_due(engine, session)
            session_relay(engine, session)


cdef inline void client_early_event(
        Engine *engine, Session *session, uint32_t events) noexcept nogil:
    """The client did something before there is a server.

    First bytes that were waited for begin the session; others stay in the kernel. A reset ends the
    session, and so does a FIN: one that no byte precedes, or any with `option abortonclose`.
    """
    if session.state == STATE_HEADER:
        session_begin(engine, session, STAGE_HEADER, NULL)
        return
    if session.state == STATE_INSPECTING:
        session_begin(engine, session, inspecting_stage(session), NULL)
        return
    if session.state == STATE_ACCEPTED:
        if session.sides[CLIENT].flags & READABLE:
            session_begin(engine, session, STAGE_FIRST_BYTES, NULL)
        return
    if not events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP):
        return
    if not events & (EPOLLERR | EPOLLHUP) and not session.backend.abortonclose:
        if early_held(session) or not side_at_end(&session.sides[CLIENT]):
            return
    if session.state == STATE_QUEUED:
        session_break(engine, session, TERMINATION_CLIENT_ABORT_QUEUE, -1)
        return
    count_aborted(engine, session, True)
    session_break(engine, session, TERMINATION_CLIENT_ABORT_CONNECT, -1)


cdef inline void session_event(
        Engine *engine, Session *session, int side, uint32_t events) noexcept nogil:
    """One epoll event of one side; an ended session waits only to be freed."""
    cdef Side *subject = &session.sides[side]
    if session.state == STATE_ENDED:
        return
    if subject.flags & DEAF:
        if events & (EPOLLERR | EPOLLHUP):
            note_failed(subject)
    elif events & (EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP):
        subject.flags |= READABLE | CONFIRM
    elif events & EPOLLIN:
        subject.flags |= READABLE
    if events & (EPOLLOUT | EPOLLERR | EPOLLHUP):
        subject.flags |= WRITABLE
    if session.state > STATE_QUEUED:
        if not session.flags & QUEUED:  # else it has its share of this turn from the run list
            session_relay(engine, session)
    elif side == CLIENT:
        client_early_event(engine, session, events)
    elif session.state == STATE_CONNECTING:
        connect_event(engine, session, events)


cdef inline void session_timer(Engine *engine, Session *session) noexcept nogil:
    """The wheel came to the session: act on its deadline, or wait for a later one."""
    cdef Deadline deadline = session_deadline(session)
    if deadline.at_ms > engine.now_ms:
        session_arm(engine, session)
    elif deadline.kind == DEADLINE_CONNECT:
        session_retry(engine, session, ETIMEDOUT)
    elif deadline.kind == DEADLINE_TURN_AROUND:
        session_again(engine, session)
    elif deadline.kind == DEADLINE_REMOVED:
        session_end_down(engine, session)
    elif deadline.kind == DEADLINE_QUEUE:
        count_unreachable(engine, session)
        session_break(engine, session, TERMINATION_SERVER_TIMEOUT_QUEUE, -1)
    elif deadline.kind == DEADLINE_HEADER:
        log_failed(engine, session, ERROR_TIMEOUT)
        session_break(engine, session, TERMINATION_CLIENT_TIMEOUT_HEADER, -1)
    elif session.flags & JUDGED_LATER:
        answer_due(engine, session)
        session_relay(engine, session)
        session_arm(engine, session)
    elif deadline.kind == DEADLINE_INSPECTION:
        session_begin(engine, session, inspecting_stage(session), NULL)
    elif deadline.kind == DEADLINE_EARLY:
        session.listener.client_first = 0
        session_begin(engine, session, STAGE_FIRST_BYTES, NULL)
    else:
        session_inactive(
            engine, session, CLIENT if deadline.kind == DEADLINE_CLIENT else SERVER)
