# The first rule of a ruleset whose condition holds, for one connection.
#
# Knows addresses and bytes, and no session: what a rule does is for the caller, who goes on behind
# the one that was found if that does not decide.

from libc.string cimport memset
from libc.stdint cimport uint32_t

from proxy.relay.state.ends cimport set_end
from proxy.relay.state.rule_types cimport ALWAYS, INSPECT_BYTES_MAX, Rule, Ruleset
from proxy.relay.state.syscalls cimport getsockname, sockaddr, socklen_t
from proxy.relay.state.types cimport Addresses, Engine
from proxy.rules.evaluate cimport condition_judged
from proxy.rules.types cimport HEAD_UNKNOWN, HOLDS, HOLDS_NOT, ContentView, Context
from shm.atomics cimport count


cdef inline void context_set(
        Engine *engine, const Ruleset *ruleset, Context *context, int fd,
        Addresses *ends) noexcept nogil:
    """What conditions see of a connection before its bytes; the kernel is asked if one needs it."""
    cdef socklen_t length = sizeof(ends.destination)
    memset(context, 0, sizeof(Context))
    context.view = &engine.view
    context.scratch = engine.judge.scratch
    context.tables = engine.tables
    context.table_writer = engine.table_writer
    context.now_ms = engine.now_ms
    context.tracks = &ends.tracks
    context.kept = &ends.variables
    context.room = engine.judge.room
    context.client_family = set_end(context.client, &context.client_port, &ends.source)
    if ruleset.front and ends.destination.sin6_family == 0 and (
            getsockname(fd, <sockaddr *>&ends.destination, &length) != 0):
        ends.destination.sin6_family = 0
    context.front_family = set_end(context.front, &context.front_port, &ends.destination)


cdef inline void content_set(
        Context *context, ContentView *view, const char *bytes, size_t length,
        bint final) noexcept nogil:
    """What the client has sent so far, as far as rules look; `final`: no more is waited for."""
    view.bytes = bytes
    view.length = min(length, <size_t>INSPECT_BYTES_MAX)
    view.from_server = False
    view.hello.known = view.hello.named = False
    view.headed = HEAD_UNKNOWN
    context.content = view
    context.final = final


cdef inline int rule_judged(
        const Engine *engine, const Rule *rule, const Context *context) noexcept nogil:
    return HOLDS if rule.condition == ALWAYS else condition_judged(
        context, engine.judge.terms, engine.judge.patterns, rule.condition)


cdef inline int rule_sought(
        const Engine *engine, const Ruleset *ruleset, const Context *context, uint32_t *at,
        const Rule **found) noexcept nogil:
    """Find the next rule that holds from `at` on, and step behind it; whether it acts is open.

    HOLDS_NOT: there is none. UNDECIDED: the rule at `at` waits for bytes.
    """
    cdef const Rule *rule
    cdef int judged
    while at[0] < ruleset.count:
        rule = &ruleset.rules[at[0]]
        judged = rule_judged(engine, rule, context)
        if judged == HOLDS:
            found[0] = rule
            at[0] += 1
            return HOLDS
        if judged != HOLDS_NOT:
            return judged
        at[0] += 1
    return HOLDS_NOT


cdef inline int next_rule(
        const Engine *engine, const Ruleset *ruleset, const Context *context, uint32_t *at,
        const Rule **found) noexcept nogil:
    """The same, for rules that always act where they hold: it counts."""
    cdef int judged = rule_sought(engine, ruleset, context, at, found)
    if judged == HOLDS:
        count(found[0].hits, 1)
    return judged
