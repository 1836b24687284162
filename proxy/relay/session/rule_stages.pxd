# The stages in which rules decide: whether a session goes on, and with which backend.
#
# Rules that look at bytes wait for them as long as `inspect-delay` says, and begin anew with the
# first rule when more have come (content_judge). They decide with what is there when the delay or
# `timeout client` is over, the client has finished or has sent as much as they look at, or memory
# is wanted for others. What they refuse is counted, and logged where the session was admitted.

from libc.stdint cimport int64_t, uint32_t

from proxy.relay.balance.source_hash cimport hash_address
from proxy.relay.naming.look cimport session_context
from proxy.relay.rules.judge cimport content_set, next_rule, rule_sought
from proxy.relay.rules.names cimport backend_said
from proxy.relay.session.early cimport Beginning
from proxy.relay.session.inspect cimport inspect_hold, inspect_receive, inspect_take
from proxy.relay.session.session cimport EVENT_INSPECT, EVENT_JUDGED, session_step
from proxy.relay.sides.hold cimport held_length
from proxy.relay.session.stages cimport ENDS, GOES_ON, WAITS
from proxy.relay.state.counting cimport (
    count_aborted, count_denied_request, count_denied_session, count_dropped,
    count_failed_request)
from proxy.relay.state.refusal cimport end_in_silence
from proxy.relay.state.syscalls cimport sockaddr
from proxy.relay.state.rule_types cimport (
    CAME_BROKEN, CAME_BYTES, CAME_LAST, CAME_LOST, CAME_NOTHING, INSPECT_BYTES_MAX, RULE_DROP,
    RULE_REJECT, BackendRules, Rule, Ruleset)
from proxy.relay.tables.counter_rules cimport ACTION_WAITS, next_decision
from proxy.relay.state.types cimport (
    CLIENT, SERVER, STATE_INSPECTING, TERMINATION_CLIENT_ABORT_HEADER,
    TERMINATION_REFUSED, TERMINATION_RESOURCE_CONNECT, Addresses, Engine, Frontend, Session)
from proxy.rules.types cimport HOLDS, UNDECIDED, ContentView, Context
from shm.atomics cimport count, load_relaxed


cdef inline int refuse(Session *session, Beginning *beginning, const Rule *rule) noexcept nogil:
    if rule.action == RULE_DROP:
        end_in_silence(session.sides[CLIENT].fd)
    beginning.termination = TERMINATION_REFUSED
    return ENDS


cdef inline bint session_moved(Engine *engine, Session *session) noexcept nogil:
    """Whether rules have set addresses: then balance and log know the session by these."""
    cdef Addresses *ends = session.addresses
    if not ends.moved:
        return False
    ends.moved = False
    session.source_hash = hash_address(<const sockaddr *>&ends.source)
    if session.log != NULL:
        session.log.client = ends.source
        if ends.destination.sin6_family != 0:
            session.log.front = ends.destination
    return True


cdef inline int session_rules_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """Rules that look at the client that a PROXY header has named; it is no session yet."""
    cdef Frontend *frontend = session.listener.frontend
    cdef const Rule *rule = NULL
    cdef uint32_t at = 0
    cdef Context context
    cdef int judged
    if frontend.rules == NULL or frontend.rules.session.count == 0:
        return GOES_ON
    session_context(engine, session, &frontend.rules.session, &context)
    judged = next_decision(
        engine, &frontend.rules.session, &context, session.addresses, &at, &rule)
    if session_moved(engine, session):
        beginning.source = &session.addresses.source
    if judged != HOLDS:
        return GOES_ON
    if rule.action == RULE_REJECT:
        count_denied_session(frontend)
        return refuse(session, beginning, rule)
    if rule.action == RULE_DROP:
        count_denied_request(frontend)
        return refuse(session, beginning, rule)
    return GOES_ON


cdef inline bint overdue(
        const Engine *engine, const Session *session, int64_t delay_ms) noexcept nogil:
    """Whether an inspection has lasted as long as it may."""
    cdef int64_t client_ms = session.listener.frontend.client_ms
    return session.state == STATE_INSPECTING and (
        engine.now_ms - session.attempt_ms >= delay_ms or (
            client_ms != 0 and (
                engine.now_ms - session.sides[CLIENT].activity_ms >= client_ms)))


cdef inline int content_judge(
        Engine *engine, Session *session, const Beginning *beginning, const Ruleset *ruleset,
        bint final, const Rule **found) noexcept nogil:
    """What the rules say of the bytes that are held, or at hand.

    As in HAProxy they begin anew with the first, but after an action that waited with that one.
    """
    cdef Context context
    cdef ContentView view
    cdef const char *bytes = beginning.bytes
    cdef size_t length = beginning.length
    cdef uint32_t at = session.addresses.resumed
    cdef int judged
    if session.state == STATE_INSPECTING:
        length = held_length(&session.sides[SERVER])
        bytes = session.sides[SERVER].pending.bytes if length != 0 else NULL
    session_context(engine, session, ruleset, &context)
    content_set(
        &context, &view, bytes, length, final or length >= INSPECT_BYTES_MAX)
    judged = next_decision(engine, ruleset, &context, session.addresses, &at, found)
    session_moved(engine, session)
    session.addresses.resumed = at if judged == ACTION_WAITS else 0
    return UNDECIDED if judged == ACTION_WAITS else judged


cdef inline void inspection_begin(
        Engine *engine, Session *session, const Beginning *beginning, int *came) noexcept nogil:
    """Hold what is at hand, and look whether more has come with it."""
    session_step(session, EVENT_INSPECT)
    session.attempt_ms = engine.now_ms
    came[0] = inspect_hold(engine, session, beginning.bytes, <uint32_t>beginning.length)
    if came[0] == CAME_BYTES:
        came[0] = inspect_receive(engine, session)


cdef inline void count_unserved(Engine *engine, Session *session, size_t length) noexcept nogil:
    """The client's bytes count; in a `listen` section they are its backend's, too."""
    cdef Frontend *frontend = session.listener.frontend
    cdef int own = -1 if frontend.rules == NULL else frontend.rules.backend
    count(&frontend.counters.bytes_in, length)
    if session.backend != NULL:
        count(&session.backend.counters.bytes_in, length)
    elif own >= 0:
        count(&engine.backends[own].counters.bytes_in, length)


cdef inline int left(Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """The client broke its connection while rules waited for its bytes: it gets no server."""
    count_aborted(engine, session, True)
    count_failed_request(session.listener.frontend)
    count_unserved(engine, session, beginning.length)
    beginning.termination = TERMINATION_CLIENT_ABORT_HEADER
    return ENDS


cdef inline int content_stage(
        Engine *engine, Session *session, Beginning *beginning, const Ruleset *ruleset,
        int64_t delay_ms) noexcept nogil:
    """Rules that look at the client's first bytes, which wait for them if need be."""
    cdef const Rule *rule = NULL
    cdef int judged, came = CAME_LAST if beginning.gone else CAME_BYTES
    cdef bint final
    if session.state == STATE_INSPECTING:
        came = inspect_receive(engine, session)
    while came != CAME_LOST:
        final = came >= CAME_LAST or delay_ms == 0 or session.addresses.hurried or (
            overdue(engine, session, delay_ms))
        if came == CAME_NOTHING and not final:
            return WAITS
        judged = content_judge(engine, session, beginning, ruleset, final, &rule)
        if judged != UNDECIDED:
            break
        if session.state == STATE_INSPECTING:
            came = inspect_receive(engine, session)
        else:
            inspection_begin(engine, session, beginning, &came)
    else:
        inspect_take(engine, session, beginning.bytes)
        beginning.termination = TERMINATION_RESOURCE_CONNECT
        return ENDS
    if session.state == STATE_INSPECTING:
        session_step(session, EVENT_JUDGED)
        beginning.length = inspect_take(engine, session, beginning.bytes)
        beginning.gone = came == CAME_LAST and beginning.length == 0
    if judged == HOLDS:
        session.addresses.decided = rule
    if judged != HOLDS or (rule.action != RULE_REJECT and rule.action != RULE_DROP):
        beginning.broken = came == CAME_BROKEN
        return GOES_ON
    if rule.action == RULE_DROP:
        count_dropped(session)
    else:
        count_denied_request(session.listener.frontend)
    count_unserved(engine, session, beginning.length)
    return refuse(session, beginning, rule)


cdef inline int frontend_rules_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    cdef Frontend *frontend = session.listener.frontend
    if frontend.rules == NULL or frontend.rules.content.count == 0:
        return GOES_ON
    return content_stage(
        engine, session, beginning, &frontend.rules.content, frontend.rules.inspect_ms)


cdef inline int backend_rules_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    cdef const BackendRules *rules = session.backend.rules
    cdef int verdict
    if rules == NULL or rules.content.count == 0 or (
            rules.frontend == <int>session.listener.frontend.index):
        return GOES_ON
    verdict = content_stage(engine, session, beginning, &rules.content, rules.inspect_ms)
    return left(engine, session, beginning) if verdict == GOES_ON and beginning.broken else verdict


cdef inline int published(Engine *engine, int backend) noexcept nogil:
    """The index of a backend; -1: none, or an unpublished one."""
    if backend >= 0 and load_relaxed(&engine.view.backends[backend].unpublished) != 0:
        return -1
    return backend


cdef inline int chosen_backend(
        Engine *engine, Session *session, const Beginning *beginning) noexcept nogil:
    """The index of the session's backend, by the rules of its frontend; -1: none.

    Rules and a default that lead to an unpublished one are passed over.
    """
    cdef Frontend *frontend = session.listener.frontend
    cdef int backend
    cdef const Rule *rule = NULL
    cdef uint32_t at = 0
    cdef Context context
    cdef ContentView view
    if frontend.rules == NULL or frontend.rules.backends.count == 0:
        return published(engine, frontend.backend)
    session_context(engine, session, &frontend.rules.backends, &context)
    content_set(&context, &view, beginning.bytes, beginning.length, True)
    while rule_sought(engine, &frontend.rules.backends, &context, &at, &rule) == HOLDS:
        backend = rule.target
        if rule.part_count != 0:
            backend = backend_said(
                &engine.view, &engine.judge.names, rule, &context, frontend.backend)
        if backend < 0 or published(engine, backend) >= 0:
            count(rule.hits, 1)
            return backend
    return published(engine, frontend.backend)
