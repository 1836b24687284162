# A session: a client's side and a server's side, from accept to its termination state.
#
# Owns the life of a session: states, half-close, the end. Knows sides through sides/forward.pxd;
# how it begins is stages.pxd, when something is due deadline.pxd, connecting attempt.pxd.
#
#   accept --> HEADER  (only where connections begin with a PROXY header)
#                  |
#               header
#                  v
#   accept --> ACCEPTED  (only where clients speak first: a moment for their first bytes)
#                  |   \
#                  |    INSPECTING  (only where rules wait for bytes; judged: ACCEPTED again)
#                  |
#               attempt <------ attempt -------+
#                  v                           |
#              CONNECTING -- failed, wait --> WAITING
#                  |
#              connected
#                  v
#              RELAYING -- client's FIN --> CLIENT_FINISHED --+
#                  |                                          | the other FIN
#                  +------ server's FIN --> SERVER_FINISHED --+--> ENDED
#
#   any state -- broken (reset, time-out, refused, no server) --> ENDED
#
# Before each attempt a session may come to QUEUED, until a server has a place, and attempts then.
#
# A side's silence for longer than its time-out counts as its FIN, with the cause noted.
# "FIN" means: read from one side, everything before it delivered, and passed on to the other.
# A FIN of the client while CONNECTING stays unread, unless nothing came before it: that is "CC".

from libc.stdint cimport uint64_t, uint8_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort

from proxy.relay.admission.admission cimport client_places_leave
from proxy.relay.balance.queue cimport queue_abandon, server_release
from proxy.relay.log.session cimport log_closing, log_ended
from proxy.relay.proxy_protocol.addresses cimport addresses_drop
from proxy.relay.session.answer cimport (
    ANSWER_CLOSES, ANSWER_PASSES, answer_forget, answer_judge, answer_termination)
from proxy.relay.tables.persistence cimport stores_drop
from proxy.relay.tables.tracking cimport tracks_end, tracks_tell
from proxy.relay.session.deadline cimport DEADLINE_NONE, Deadline, session_deadline
from proxy.relay.sides.forward cimport Mover, acks_resume, drop_waiting, pump, waiting
from proxy.relay.sides.side_io cimport side_close, side_receive, side_shutdown
from proxy.relay.state.counting cimport (
    count_aborted, count_bytes, count_ended)
from proxy.relay.state.syscalls cimport (
    EPOLLET, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLL_CTL_MOD, epoll_ctl, epoll_event)
from proxy.relay.state.types cimport (
    ACKS_LATE, BROKEN, CLIENT, CONFIRM, CONNECTED, DEAF, ENDED_READING, FAILED, FINISHED, FIN_SENT,
    JUDGED_LATER, OUTPUT_WATCHED, QUEUED, READABLE, RESETS, SCRATCH_BYTES, SERVER, SPLICE, STATES,
    STATE_ENDED, STATE_QUEUED, TERMINATION_CLIENT_ABORT_DATA, TERMINATION_CLIENT_ABORT_LAST,
    TERMINATION_CLIENT_TIMEOUT_CONNECT, TERMINATION_CLIENT_TIMEOUT_DATA,
    TERMINATION_CLIENT_TIMEOUT_LAST, TERMINATION_CLIENT_TIMEOUT_QUEUE, TERMINATION_DOWN_CONNECT,
    TERMINATION_DOWN_DATA, TERMINATION_NORMAL, TERMINATION_REFUSED,
    TERMINATION_SERVER_ABORT_DATA, TERMINATION_SERVER_TIMEOUT_DATA, TERMINATION_UP_CONNECT,
    TERMINATION_UP_DATA, WRITABLE, Engine, Session, Side)
from proxy.relay.state.wheel cimport wheel_insert, wheel_remove
from shm.atomics cimport count

cdef enum:  # SessionEvent
    EVENT_CONNECTED = 0
    EVENT_WAIT = 1  # an attempt failed, the same server is tried again later
    EVENT_ATTEMPT = 2  # an attempt begins, the first or another one
    EVENT_CLIENT_FIN = 3
    EVENT_SERVER_FIN = 4
    EVENT_BROKEN = 5
    EVENT_QUEUE = 6  # all servers that it may go to are full
    EVENT_HEADER = 7  # the PROXY header is there
    EVENT_INSPECT = 8  # rules wait for bytes
    EVENT_JUDGED = 9
    EVENTS = 10

cdef enum:
    ILLEGAL = 255
    CLIENT_FIRST_MAX = 255

cdef extern from * nogil:
    """
    /* MILLRACE_NEXT[state][event]; the drawing in session.pxd */
    static const unsigned char MILLRACE_NEXT[10][10] = {
        /*                  connected wait attempt client's FIN server's FIN broken queue header
                            inspect judged */
        /* HEADER          */ { 255, 255, 255, 255, 255,   9, 255,   1, 255, 255 },
        /* ACCEPTED        */ { 255, 255,   3, 255, 255,   9,   5, 255,   2, 255 },
        /* INSPECTING      */ { 255, 255, 255, 255, 255,   9, 255, 255, 255,   1 },
        /* CONNECTING      */ {   6,   4,   3, 255, 255,   9,   5, 255, 255, 255 },
        /* WAITING         */ { 255, 255,   3, 255, 255,   9,   5, 255, 255, 255 },
        /* QUEUED          */ { 255, 255,   3, 255, 255,   9,   5, 255, 255, 255 },
        /* RELAYING        */ { 255, 255, 255,   7,   8,   9, 255, 255, 255, 255 },
        /* CLIENT_FINISHED */ { 255, 255, 255, 255,   9,   9, 255, 255, 255, 255 },
        /* SERVER_FINISHED */ { 255, 255, 255,   9, 255,   9, 255, 255, 255, 255 },
        /* ENDED           */ { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 },
    };
    """
    const unsigned char MILLRACE_NEXT[STATES][EVENTS]


cdef inline void session_step(Session *session, int event) noexcept nogil:
    """Change state by the table; an illegal event is a programming error and ends the process."""
    cdef uint8_t following = MILLRACE_NEXT[session.state][event]
    if following == ILLEGAL:
        fprintf(stderr, "millrace: session in state %d met event %d\n", session.state, event)
        abort()
    session.state = following


cdef inline void mover_open(Engine *engine, Mover *mover) noexcept nogil:
    mover.scratch = engine.scratch
    mover.pipes = &engine.pipes
    mover.now_ms = engine.now_ms
    mover.share = engine.share
    mover.buffered = 0
    mover.spliced = 0


cdef inline void mover_collect(Engine *engine, Mover *mover) noexcept nogil:
    if mover.buffered != 0:
        count(&engine.counters.buffer_bytes, <uint64_t>mover.buffered)
    if mover.spliced != 0:
        count(&engine.counters.bytes_spliced, mover.spliced)


cdef inline void session_end(
        Engine *engine, Session *session, int termination, int reset_side) noexcept nogil:
    """Close both sides and count the end; `reset_side` is told by RST (-1: none).

    What first went wrong is the termination state. The batch may have an event yet: freed later.
    """
    cdef Mover mover
    cdef ssize_t received
    cdef int side
    if not session.flags & CONNECTED:
        # what an unserved client has sent is read, because closing over unread bytes means RST
        received = side_receive(&session.sides[CLIENT], engine.scratch, SCRATCH_BYTES)
        if termination != TERMINATION_REFUSED:  # what rules did not look at is not counted
            session.sides[CLIENT].bytes += max(received, 0)
    if session.cause != TERMINATION_NORMAL:
        termination = session.cause
    session.state = STATE_ENDED
    answer_forget(engine, session)
    log_closing(session)
    mover_open(engine, &mover)
    for side in range(2):
        drop_waiting(&mover, &session.sides[side])
        side_close(&session.sides[side], side == reset_side)
    mover_collect(engine, &mover)
    wheel_remove(&session.timer)
    count_ended(engine, session, termination)
    queue_abandon(engine, session)
    server_release(engine, session)
    log_ended(engine, session, termination)
    client_places_leave(engine, session.listener)
    stores_drop(session)
    tracks_end(engine, session)
    addresses_drop(engine, session)
    session.timer.next = engine.dead
    engine.dead = &session.timer


cdef inline void session_break(
        Engine *engine, Session *session, int termination, int reset_side) noexcept nogil:
    """End a session before its time."""
    session_step(session, EVENT_BROKEN)
    session_end(engine, session, termination, reset_side)


cdef inline void session_end_down(Engine *engine, Session *session) noexcept nogil:
    """Its server is down, or not where it was, and its line says that this ends the session."""
    session_break(
        engine, session,
        TERMINATION_DOWN_DATA if session.flags & CONNECTED else TERMINATION_DOWN_CONNECT, -1)


cdef inline void session_end_up(Engine *engine, Session *session) noexcept nogil:
    """It is at a backup, and an active server that came up says that this ends the session."""
    session_break(
        engine, session,
        TERMINATION_UP_DATA if session.flags & CONNECTED else TERMINATION_UP_CONNECT, -1)


cdef inline bint last_data(const Session *session) noexcept nogil:
    """Whether the server is done in both directions and only the client is still to be served."""
    return session.sides[SERVER].flags & ENDED_READING != 0 and (
        session.sides[SERVER].flags & FIN_SENT != 0)


cdef inline void session_abort(Engine *engine, Session *session, int by_side) noexcept nogil:
    """One side was reset; what came from it before has been delivered.

    As with HAProxy a server learns that its client was reset, a client only that nothing more
    comes.
    """
    count_aborted(engine, session, by_side == CLIENT)
    if by_side == SERVER:
        session_break(engine, session, TERMINATION_SERVER_ABORT_DATA, -1)
    else:
        session_break(
            engine, session,
            TERMINATION_CLIENT_ABORT_LAST if last_data(session) else TERMINATION_CLIENT_ABORT_DATA,
            SERVER)


cdef inline void session_arm(Engine *engine, Session *session) noexcept nogil:
    """See to it that the wheel looks at the session no later than its deadline."""
    cdef Deadline deadline = session_deadline(session)
    if deadline.kind == DEADLINE_NONE:
        return
    if session.timer.link == NULL or deadline.at_ms < session.timer.due_ms:
        wheel_insert(&engine.wheel, &session.timer, deadline.at_ms)


cdef inline bint direction_done(Session *session, int side) noexcept nogil:
    """Nothing more will go from `side` to the other: it ended, all is delivered or in vain."""
    cdef Side *source = &session.sides[side]
    cdef Side *target = &session.sides[1 - side]
    if target.flags & BROKEN:
        return True
    return source.flags & ENDED_READING != 0 and not waiting(target)


cdef inline bint side_failed(Session *session, int side) noexcept nogil:
    """Reset by its peer, and everything that came from it before was delivered."""
    cdef Side *source = &session.sides[side]
    if not source.flags & (FAILED | BROKEN):
        return False
    if source.flags & BROKEN and not source.flags & (ENDED_READING | READABLE):
        return True
    return direction_done(session, side)


cdef inline void pass_fin(Engine *engine, Session *session, int side) noexcept nogil:
    """Half-close: what `side` had to say is delivered; tell the other by FIN.

    With `option nolinger` a client's FIN is the end, and its server learns of it by a reset.
    """
    cdef Side *target = &session.sides[1 - side]
    target.flags |= FIN_SENT
    target.activity_ms = engine.now_ms
    session_step(session, EVENT_CLIENT_FIN if side == CLIENT else EVENT_SERVER_FIN)
    if side == SERVER and target.flags & RESETS:
        side_shutdown(target)  # the close would not send it
    if session.state == STATE_ENDED:
        session_end(engine, session, TERMINATION_NORMAL, -1)
        return
    if side == CLIENT and target.flags & RESETS:
        session_break(engine, session, TERMINATION_NORMAL, SERVER)
        return
    side_shutdown(target)
    session_arm(engine, session)


cdef inline void session_settle(Engine *engine, Session *session) noexcept nogil:
    """Draw the consequences of FINs and resets."""
    cdef int side
    for side in range(2):
        if side_failed(session, side):
            session_abort(engine, session, side)
            return
    for side in range(2):
        if session.sides[1 - side].flags & FIN_SENT or not direction_done(session, side):
            continue
        if session.sides[side].flags & FAILED or not session.sides[side].flags & ENDED_READING:
            continue
        pass_fin(engine, session, side)
        if session.state == STATE_ENDED:
            return


cdef inline int inactive_cause(Session *session, int side) noexcept nogil:
    if side == SERVER:
        return TERMINATION_SERVER_TIMEOUT_DATA
    if session.state == STATE_QUEUED:
        return TERMINATION_CLIENT_TIMEOUT_QUEUE
    if not session.flags & CONNECTED:
        return TERMINATION_CLIENT_TIMEOUT_CONNECT
    if last_data(session):
        return TERMINATION_CLIENT_TIMEOUT_LAST
    return TERMINATION_CLIENT_TIMEOUT_DATA


cdef inline void session_inactive(Engine *engine, Session *session, int side) noexcept nogil:
    """A side did nothing for too long.

    One that does not take what waits for it, or whose server is not there yet, ends the session.
    Silence counts as a FIN, as with HAProxy: the other side may still answer to what it was sent.
    """
    cdef Side *subject = &session.sides[side]
    if not session.flags & CONNECTED or waiting(subject):
        session_break(engine, session, inactive_cause(session, side), -1)
        return
    if session.cause == TERMINATION_NORMAL:
        session.cause = inactive_cause(session, side)
    subject.flags = (subject.flags & ~(READABLE | CONFIRM)) | ENDED_READING | DEAF
    session_settle(engine, session)


cdef inline bint watch(
        Engine *engine, Session *session, int side, int operation, bint output) noexcept nogil:
    """Register a side, edge-triggered; False without memory.

    Nearly always one call for its life. EPOLLOUT is left out where the side is writable, because a
    registration that is ready at once costs an event; a side that blocks gets it then.
    """
    cdef epoll_event event
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET
    event.data.u64 = <uint64_t>session | side
    if output:
        event.events |= EPOLLOUT
        session.sides[side].flags |= OUTPUT_WATCHED
    return epoll_ctl(engine.epoll, operation, session.sides[side].fd, &event) == 0


cdef inline void watch_blocked(Engine *engine, Session *session) noexcept nogil:
    """From now on hear when a side that blocked takes bytes again: at once, if it does now."""
    cdef Side *subject
    cdef int side
    for side in range(2):
        subject = &session.sides[side]
        if not subject.flags & (WRITABLE | OUTPUT_WATCHED | BROKEN):
            watch(engine, session, side, EPOLL_CTL_MOD, True)


cdef inline void session_queue(Engine *engine, Session *session) noexcept nogil:
    """Put a session that has more to move at the end of the run list, for the next turn."""
    if session.flags & QUEUED:
        return
    session.flags |= QUEUED
    session.next = NULL
    if engine.run_last != NULL:
        engine.run_last.next = session
    else:
        engine.run_first = session
    engine.run_last = session


cdef inline void note_first(Session *session) noexcept nogil:
    """The first bytes of a session went by: learn which side speaks first on its listener."""
    if session.sides[CLIENT].bytes == 0:
        session.listener.client_first = 0
    elif session.listener.client_first < CLIENT_FIRST_MAX:
        session.listener.client_first += 1


cdef inline void session_relay(Engine *engine, Session *session) noexcept nogil:
    """Move what can be moved in both directions, then settle what ended. All bytes go through here.

    A side that broke while it was sent to may still have something to say: its direction is
    pumped once more.
    """
    cdef Side *client = &session.sides[CLIENT]
    cdef Side *server = &session.sides[SERVER]
    cdef uint64_t from_client = client.bytes
    cdef uint64_t from_server = server.bytes
    cdef bint splicing = session.flags & SPLICE != 0
    cdef bint stalled = waiting(client) or waiting(server)
    cdef int answer = ANSWER_PASSES
    cdef Mover mover
    cdef bint more
    mover_open(engine, &mover)
    more = pump(&mover, client, server, splicing)
    if session.flags & JUDGED_LATER:
        answer = answer_judge(engine, session, &mover)
    if answer in (ANSWER_PASSES, ANSWER_CLOSES) and pump(&mover, server, client, splicing):
        more = True
    if client.flags & BROKEN and pump(&mover, client, server, splicing):
        more = True
    mover_collect(engine, &mover)
    if server.flags & ACKS_LATE and server.bytes != 0:
        acks_resume(server)
    if from_client == 0 and from_server == 0 and client.bytes + server.bytes != 0:
        note_first(session)
    count_bytes(engine, session, client.bytes - from_client, server.bytes - from_server)
    tracks_tell(engine, session)
    if answer > ANSWER_PASSES:
        session_break(engine, session, answer_termination(engine, session, answer), SERVER)
        return
    if (client.flags | server.flags) & FINISHED:
        session_settle(engine, session)
        if session.state == STATE_ENDED:
            return
    if stalled or waiting(client) or waiting(server):
        watch_blocked(engine, session)
        session_arm(engine, session)
    if more:
        session_queue(engine, session)
