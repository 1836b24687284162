# How a session begins: through the stages (stages.pxd), from one that it may have waited in.
#
# The stages of other files are called here; those that only count are here.

from libc.stdint cimport uint32_t

from proxy.relay.log.session cimport log_accepted
from proxy.relay.log.write cimport unique_id_make
from proxy.relay.naming.hashed cimport session_hash
from proxy.relay.naming.look cimport FirstBytes
from proxy.relay.naming.servers cimport force_judge, named_server
from proxy.relay.proxy_protocol.write cimport HEADER_ROOM
from proxy.relay.session.accept_proxy cimport header_stage
from proxy.relay.session.attempt cimport (
    EARLY_AT_HAND, EARLY_NONE, session_attempt, session_unpicked)
from proxy.relay.session.early cimport Beginning
from proxy.relay.session.enter cimport (
    PICK_QUEUED, PICK_TAKEN, session_pick, session_pick_this)
from proxy.relay.session.first_bytes cimport (
    aborts_early, first_bytes_stage, send_first_bytes, wait_in_queue)
from proxy.relay.session.rule_stages cimport (
    backend_rules_stage, chosen_backend, frontend_rules_stage, left, session_rules_stage)
from proxy.relay.session.session cimport (
    EVENT_ATTEMPT, session_arm, session_break, session_step)
from proxy.relay.session.stages cimport (
    ENDS, GOES_ON, LEAVES, STAGE_ADMITTED, STAGE_BACKEND, STAGE_BACKEND_RULES, STAGE_BALANCE,
    STAGE_FIRST_BYTES, STAGE_FRONTEND_RULES, STAGE_HEADER, STAGE_SESSION_RULES, WAITS)
from proxy.relay.state.counting cimport (
    count_aborted, count_bytes, count_in_backend, count_opened)
from proxy.relay.state.rule_types cimport ASKED_UNIQUE_ID
from proxy.relay.state.syscalls cimport sockaddr_in6
from proxy.relay.state.types cimport (
    NO_SLOT, SPLICE, STATE_ENDED, STATE_QUEUED, TERMINATION_CLIENT_ABORT_CONNECT,
    TERMINATION_SERVER_ABORT_CONNECT, Engine, Frontend, Session)
from shm.atomics cimport count
from proxy.relay.tables.tracking cimport follows, tracks_admit


cdef inline int admitted_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """The client is known: its session counts, and is noted for the access log."""
    count_opened(engine, session)
    if follows(session):
        tracks_admit(engine, &session.addresses.tracks)
    if session.listener.frontend.log != NULL:
        log_accepted(engine, session, beginning.source)
        if engine.judge.asks & ASKED_UNIQUE_ID:
            unique_id_make(engine, session)
    return GOES_ON


cdef inline int backend_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """Choose the backend; a client that has left by now counts there, too."""
    cdef Frontend *frontend = session.listener.frontend
    cdef int backend = chosen_backend(engine, session, beginning)
    cdef FirstBytes first
    if backend >= 0:
        session.backend = &engine.backends[backend]
        if session.backend.splice and frontend.splice:
            session.flags |= SPLICE
        count_in_backend(engine, session)
        first.bytes, first.length = beginning.bytes, beginning.length
        force_judge(engine, session, &first)
    if beginning.broken:
        return left(engine, session, beginning)
    if beginning.gone or (
            session.backend != NULL and beginning.length != 0 and (
                aborts_early(session, beginning))):
        count_aborted(engine, session, True)
        beginning.termination = TERMINATION_CLIENT_ABORT_CONNECT
        return ENDS
    if session.backend == NULL:
        count(&frontend.counters.bytes_in, beginning.length)
        beginning.termination = TERMINATION_SERVER_ABORT_CONNECT
        return ENDS
    return GOES_ON


cdef inline int balance_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """Find a server with a place; a session without one waits, or has ended."""
    cdef FirstBytes first
    cdef uint32_t server
    cdef int picked
    first.bytes, first.length = beginning.bytes, beginning.length
    session_hash(engine, session, &first)
    server = named_server(engine, session, &first)
    if server == NO_SLOT:
        picked = session_pick(engine, session, NO_SLOT)
    else:
        picked = session_pick_this(engine, session, server)
    if picked == PICK_TAKEN:
        session_step(session, EVENT_ATTEMPT)
        return GOES_ON
    if picked == PICK_QUEUED:
        wait_in_queue(engine, session, beginning)
    else:
        session_unpicked(engine, session, picked)
    return LEAVES


cdef inline int attempt_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """Connect, and send the first bytes."""
    session_attempt(engine, session, EARLY_AT_HAND if beginning.length != 0 else EARLY_NONE)
    if session.state == STATE_QUEUED:  # the attempts failed, and no other server has a place
        wait_in_queue(engine, session, beginning)
        return LEAVES
    if beginning.length == 0 or session.state == STATE_ENDED:
        return LEAVES
    count_bytes(engine, session, beginning.length, 0)
    send_first_bytes(engine, session, beginning)
    return LEAVES


cdef inline void session_begin(
        Engine *engine, Session *session, int stage, const sockaddr_in6 *source) noexcept nogil:
    """Go through the stages from this one on, until one waits, ends the session or is the last.

    `source` is the client's address, NULL behind STAGE_ADMITTED.
    """
    cdef Beginning beginning
    cdef int verdict = GOES_ON
    beginning.bytes = engine.scratch + HEADER_ROOM
    beginning.length = 0
    beginning.source = source
    beginning.gone = beginning.broken = False
    beginning.reset_side = -1
    while verdict == GOES_ON:
        if stage == STAGE_HEADER:
            verdict = header_stage(engine, session, &beginning)
        elif stage == STAGE_SESSION_RULES:
            verdict = session_rules_stage(engine, session, &beginning)
        elif stage == STAGE_ADMITTED:
            verdict = admitted_stage(engine, session, &beginning)
        elif stage == STAGE_FIRST_BYTES:
            verdict = first_bytes_stage(engine, session, &beginning)
        elif stage == STAGE_FRONTEND_RULES:
            verdict = frontend_rules_stage(engine, session, &beginning)
        elif stage == STAGE_BACKEND:
            verdict = backend_stage(engine, session, &beginning)
        elif stage == STAGE_BACKEND_RULES:
            verdict = backend_rules_stage(engine, session, &beginning)
        elif stage == STAGE_BALANCE:
            verdict = balance_stage(engine, session, &beginning)
        else:
            verdict = attempt_stage(engine, session, &beginning)
        stage += 1
    if verdict == WAITS:
        session_arm(engine, session)
    elif verdict == ENDS:
        session_break(engine, session, beginning.termination, beginning.reset_side)
