# Rules that look at the first bytes of a server (manual, `tcp-response content`): these are held
# until the rules have decided, as long as `tcp-response inspect-delay` says, while the server is
# not silent for too long and goes on. A client that has said all, or says nothing, still waits.

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint32_t

from proxy.relay.rules.judge cimport context_set, rule_judged
from proxy.relay.sides.forward cimport Mover, note_failed
from proxy.relay.sides.hold cimport held_length, hold_more
from proxy.relay.sides.inspected cimport inspected_forget, inspected_note
from proxy.relay.sides.side_io cimport side_receive
from proxy.relay.state.counting cimport count_denied_response, count_dropped
from proxy.relay.state.ends cimport connection_of
from proxy.relay.state.refusal cimport end_in_silence
from proxy.relay.state.rule_types cimport (
    CAME_BYTES, CAME_LAST, CAME_LOST, CAME_NOTHING, INSPECT_BYTES_MAX, RULE_CLOSE, RULE_DROP,
    RULE_REJECT, BackendRules, Rule, Ruleset)
from proxy.relay.state.types cimport (
    BROKEN, CLIENT, CONFIRM, ENDED_READING, FAILED, JUDGED_LATER, READABLE, SERVER,
    TERMINATION_NORMAL, TERMINATION_REFUSED, TERMINATION_REFUSED_DATA,
    TERMINATION_SERVER_ABORT_DATA, Engine, Pending, Session, Side)
from proxy.relay.tables.counter_rules cimport next_decision
from proxy.relay.tables.persistence cimport (
    store_is_planned, store_plan, stores_make, stores_planned)
from proxy.relay.tables.table_key cimport table_key
from proxy.rules.tables.key cimport TableKey
from proxy.rules.types cimport HOLDS, UNDECIDED, ContentView, Context
from shm.atomics cimport count

cdef enum:  # Answer: what becomes of the server's first bytes
    ANSWER_WAITS = 0
    ANSWER_PASSES = 1
    ANSWER_CLOSES = 2  # they pass, and the connection to the server ends
    ANSWER_REFUSED = 3
    ANSWER_LOST = 4  # without memory
    ANSWER_DROPPED = 5  # refused, and the client is not told


cdef inline void answer_due(Engine *engine, Session *session) noexcept nogil:
    """The rules decide at the next look, with what is there."""
    session.attempt_ms = engine.now_ms - session.backend.rules.response_ms


cdef inline int answer_receive(Engine *engine, Session *session, Mover *mover) noexcept nogil:
    """Receive what the server has sent since the last look, as far as rules look at it."""
    cdef Side *server = &session.sides[SERVER]
    cdef Side *client = &session.sides[CLIENT]
    cdef int came = CAME_NOTHING
    cdef ssize_t received, room
    while server.flags & READABLE:
        room = <ssize_t>INSPECT_BYTES_MAX - held_length(client)
        if room <= 0:
            return CAME_LAST
        received = side_receive(server, mover.scratch, room)
        if received == 0:
            server.flags = (server.flags & ~(READABLE | CONFIRM)) | ENDED_READING
            return CAME_LAST
        if received < 0 and errno == EAGAIN:
            server.flags &= ~(READABLE | CONFIRM)
            break
        if received < 0:
            note_failed(server)
            return CAME_LAST
        if received < room and not server.flags & CONFIRM:
            server.flags &= ~READABLE
        if not hold_more(mover, client, mover.scratch, <uint32_t>received):
            return CAME_LOST
        server.bytes += received
        server.activity_ms = engine.now_ms
        inspected_note(engine, session, held_length(client))
        came = CAME_BYTES
    return came


cdef inline bint answer_final(
        const Engine *engine, const Session *session, int came) noexcept nogil:
    """Whether nothing more is waited for: a client that has said all may still be answered."""
    return came == CAME_LAST or session.sides[SERVER].flags & (ENDED_READING | BROKEN) != 0 or (
        engine.now_ms - session.attempt_ms >= session.backend.rules.response_ms)


cdef inline void answer_look(
        Engine *engine, Session *session, const Ruleset *ruleset, Context *context,
        ContentView *view) noexcept nogil:
    """What rules see of the bytes that are held."""
    cdef const Pending *held = session.sides[CLIENT].pending
    context_set(engine, ruleset, context, session.sides[CLIENT].fd, session.addresses)
    connection_of(engine, session, context)
    view.bytes = NULL if held == NULL else held.bytes
    view.length = held_length(&session.sides[CLIENT])
    view.from_server = True
    context.answer = view
    context.final = True


cdef inline int answer_verdict(
        Engine *engine, Session *session, bint final) noexcept nogil:
    """What the rules say of the bytes that are held."""
    cdef const BackendRules *rules = session.backend.rules
    cdef const Rule *rule = NULL
    cdef uint32_t at = 0
    cdef Context context
    cdef ContentView view
    cdef int judged
    answer_look(engine, session, &rules.response, &context, &view)
    context.final = final
    judged = next_decision(engine, &rules.response, &context, session.addresses, &at, &rule)
    if judged == UNDECIDED:
        return ANSWER_WAITS
    if judged != HOLDS:
        return ANSWER_PASSES
    session.addresses.decided = rule
    if rule.action == RULE_DROP:
        end_in_silence(session.sides[CLIENT].fd)
        return ANSWER_DROPPED
    if rule.action == RULE_REJECT:
        return ANSWER_REFUSED
    return ANSWER_CLOSES if rule.action == RULE_CLOSE else ANSWER_PASSES


cdef inline void answer_stores(Engine *engine, Session *session) noexcept nogil:
    """The first bytes may pass: entries will name the server by the keys that are in them.

    Keys of what the client has sent do not count against these, but for the limit of both.
    """
    cdef const Ruleset *ruleset = &session.backend.rules.answers
    cdef uint32_t before = stores_planned(session)
    cdef const Rule *rule
    cdef uint32_t at
    cdef Context context
    cdef ContentView view
    cdef TableKey key
    if ruleset.count != 0:
        answer_look(engine, session, ruleset, &context, &view)
    for at in range(ruleset.count):
        rule = &ruleset.rules[at]
        if not store_is_planned(session, before, <uint32_t>rule.target) and (
                rule_judged(engine, rule, &context) == HOLDS) and HOLDS == table_key(
                &context, rule.key, &engine.tables[rule.target], &key):
            store_plan(session, <uint32_t>rule.target, &key.key)
            count(rule.hits, 1)
    stores_make(engine, session)


cdef inline int answer_termination(
        Engine *engine, Session *session, int answer) noexcept nogil:
    """How a session ends that a rule has ended by what its server has sent; it is counted."""
    if answer == ANSWER_DROPPED:
        count_dropped(session)
        return TERMINATION_REFUSED
    if answer == ANSWER_REFUSED:
        count_denied_response(engine, session)
        return TERMINATION_REFUSED_DATA
    return TERMINATION_SERVER_ABORT_DATA if answer == ANSWER_LOST else TERMINATION_NORMAL


cdef inline void answer_forget(Engine *engine, Session *session) noexcept nogil:
    """No rule waits for bytes of the session any more."""
    session.flags &= ~JUDGED_LATER
    inspected_forget(engine, session)


cdef inline int answer_judge(Engine *engine, Session *session, Mover *mover) noexcept nogil:
    """Receive, and let the rules look at all that the server has sent."""
    cdef int came = CAME_NOTHING
    cdef int answer = ANSWER_LOST
    if session.sides[CLIENT].flags & (FAILED | BROKEN):  # nobody is left whom rules are about
        answer_forget(engine, session)
        return ANSWER_PASSES
    came = answer_receive(engine, session, mover)
    if came != CAME_LOST:
        answer = answer_verdict(engine, session, answer_final(engine, session, came))
    if answer == ANSWER_PASSES or answer == ANSWER_CLOSES:
        answer_stores(engine, session)
    if answer != ANSWER_WAITS:
        answer_forget(engine, session)
    return answer
