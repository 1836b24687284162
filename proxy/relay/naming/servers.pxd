# The server that a session is sent to, by rules, a cookie or entries of stick tables, in HAProxy's
# order; and whether it is sent there whatever the state of the server.

from libc.stdint cimport uint32_t

from proxy.relay.naming.cookie cimport cookie_server
from proxy.relay.naming.look cimport FirstBytes, look_set
from proxy.relay.rules.judge cimport next_rule, rule_judged, rule_sought
from proxy.relay.state.rule_types cimport (
    RULE_FORCE, RULE_SERVER, RULE_STICK_MATCH, RULE_STICK_STORE, Rule, Ruleset)
from proxy.relay.state.types cimport NO_SLOT, Engine, Session
from proxy.relay.tables.persistence cimport (
    entry_server, may_serve, store_is_planned, store_plan)
from proxy.relay.tables.table_key cimport table_key
from proxy.rules.tables.key cimport TableKey
from proxy.rules.types cimport HOLDS, ContentView, Context
from shm.atomics cimport count


cdef inline void force_judge(
        Engine *engine, Session *session, const FirstBytes *first) noexcept nogil:
    """The session has its backend, whose first rule that holds says whether persistence is forced.

    One that says to ignore it keeps those behind it back; cookies of HTTP, which it is about, are
    not looked at.
    """
    cdef const Ruleset *ruleset
    cdef const Rule *rule = NULL
    cdef uint32_t at = 0
    cdef Context context
    cdef ContentView view
    if session.backend.rules == NULL or session.backend.rules.persists.count == 0:
        return
    ruleset = &session.backend.rules.persists
    look_set(engine, session, ruleset, first, &context, &view)
    if next_rule(engine, ruleset, &context, &at, &rule) == HOLDS:
        session.addresses.forced = rule.action == RULE_FORCE


cdef inline uint32_t chosen_server(
        Engine *engine, Session *session, const FirstBytes *first) noexcept nogil:
    """The slot that the backend's rules send the session to; NO_SLOT: none does.

    A rule whose server is down, or in maintenance, leaves the session to the next one.
    """
    cdef const Ruleset *ruleset
    cdef const Rule *rule = NULL
    cdef uint32_t at = 0
    cdef Context context
    cdef ContentView view
    if session.backend.rules == NULL or session.backend.rules.server_rules.count == 0:
        return NO_SLOT
    ruleset = &session.backend.rules.server_rules
    look_set(engine, session, ruleset, first, &context, &view)
    while rule_sought(engine, ruleset, &context, &at, &rule) == HOLDS:
        if rule.action == RULE_SERVER and may_serve(
                engine, session.backend, <uint32_t>rule.target, session.addresses.forced):
            count(rule.hits, 1)
            return <uint32_t>rule.target
    return NO_SLOT


cdef inline uint32_t sticky_server(
        Engine *engine, Session *session, const FirstBytes *first,
        uint32_t chosen) noexcept nogil:
    """The slot that entries of stick tables send the session to, where it is not chosen yet.

    Entries that are found live on, and keys to be stored are kept, whatever server comes of it. A
    rule whose table has got a key already is passed over with its condition.
    """
    cdef const Ruleset *ruleset
    cdef const Rule *rule
    cdef uint32_t at, found
    cdef Context context
    cdef ContentView view
    cdef TableKey key
    if session.backend.rules == NULL or session.backend.rules.sticks.count == 0:
        return chosen
    ruleset = &session.backend.rules.sticks
    look_set(engine, session, ruleset, first, &context, &view)
    for at in range(ruleset.count):
        rule = &ruleset.rules[at]
        if store_is_planned(session, 0, <uint32_t>rule.target) or (
                rule_judged(engine, rule, &context) != HOLDS) or (
                HOLDS != table_key(
                    &context, rule.key, &engine.tables[rule.target], &key)):
            continue
        if rule.action != RULE_STICK_STORE:
            found = entry_server(
                engine, session, <uint32_t>rule.target, &key.key, chosen == NO_SLOT)
            chosen = found if chosen == NO_SLOT else chosen
        if rule.action != RULE_STICK_MATCH:
            store_plan(session, <uint32_t>rule.target, &key.key)
        elif found == NO_SLOT:
            continue
        count(rule.hits, 1)
    return chosen


cdef inline uint32_t named_server(
        Engine *engine, Session *session, const FirstBytes *first) noexcept nogil:
    """The server that a session is sent to; NO_SLOT: it is balanced."""
    cdef uint32_t chosen = chosen_server(engine, session, first)
    return sticky_server(engine, session, first, cookie_server(engine, session, first, chosen))
