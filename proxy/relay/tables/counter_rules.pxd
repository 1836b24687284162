# Rules that decide nothing: a session follows an entry of a stick table, or changes one it follows;
# something is noted of it (rules/notes.pxd), or it is changed itself (rules/adjust.pxd).
#
# As in HAProxy the first rule for each of the three places counts, those behind it are passed over;
# a rule without a key, an entry or the data does nothing. One that waits for bytes of its key, or
# of what it captures, lets all rules wait, and goes on when they have come: its condition has held,
# and what those before it count is counted.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.rules.adjust cimport session_adjust
from proxy.relay.rules.judge cimport rule_sought
from proxy.relay.rules.notes cimport note_made
from proxy.relay.state.rule_types cimport (
    RULE_COUNT, RULE_SET_SOURCE, RULE_SET_VARIABLE, RULE_TRACK, Rule, Ruleset)
from proxy.relay.state.types cimport Addresses, Engine
from proxy.relay.tables.table_key cimport table_key
from proxy.relay.tables.tracking cimport track_begin
from proxy.rules.evaluate cimport value_of
from proxy.rules.sample cimport as_number
from proxy.rules.tables.entry cimport data_of_number
from proxy.rules.tables.key cimport TableKey
from proxy.rules.types cimport HOLDS, HOLDS_NOT, UNDECIDED, Context, Sample, Tracked
from shm.atomics cimport count
from shm.tables.layout cimport Table
from shm.tables.values cimport Data, counter_add, tag_set

cdef enum:
    ACTION_WAITS = 3  # beside the Judgement of a rule
    RESUMED = 0x40000000  # beside the number of a rule: its action waited, its condition has held


cdef inline int rule_tracks(
        Engine *engine, const Rule *rule, const Context *context) noexcept nogil:
    cdef TableKey key
    cdef int found = HOLDS_NOT
    if context.tracks.entries[rule.tracked].table == 0:
        found = table_key(context, rule.key, &engine.tables[rule.target], &key)
        if found == HOLDS:
            track_begin(engine, context.tracks, rule.tracked, <uint32_t>rule.target, &key.key)
    return found


cdef inline void rule_changes(
        Engine *engine, const Rule *rule, const Context *context) noexcept nogil:
    """Count by an entry, or give it a tag."""
    cdef const Tracked *tracked = &context.tracks.entries[rule.tracked]
    cdef const Table *table
    cdef Sample value
    cdef Data data
    if tracked.table == 0:
        return
    table = &engine.tables[tracked.table - 1]
    data_of_number(rule.data, &data)
    if rule.action == RULE_COUNT:
        counter_add(table, tracked.cell, &data, engine.now_ms)
    elif value_of(context, rule.key, &value) and as_number(&value):
        tag_set(table, tracked.cell, &data, <uint64_t>value.number, engine.now_ms)


cdef inline int rule_resumed(
        Engine *engine, const Ruleset *ruleset, const Context *context, uint32_t *at,
        const Rule **found) noexcept nogil:
    """The rule whose action waited, else as rule_sought."""
    if not at[0] & <uint32_t>RESUMED:
        return rule_sought(engine, ruleset, context, at, found)
    at[0] &= ~<uint32_t>RESUMED
    found[0] = &ruleset.rules[at[0]]
    at[0] += 1
    return HOLDS


cdef inline bint action_waits(
        Engine *engine, const Rule *rule, const Context *context) noexcept nogil:
    """Let a rule follow an entry, or note what it says; whether it waits for bytes to do so."""
    if rule.action == RULE_TRACK:
        return rule_tracks(engine, rule, context) == UNDECIDED
    return rule.action >= RULE_SET_VARIABLE and not note_made(engine, rule, context)


cdef inline int next_decision(
        Engine *engine, const Ruleset *ruleset, Context *context, Addresses *ends, uint32_t *at,
        const Rule **found) noexcept nogil:
    """Find the next rule that holds and decides, and do what those before it say; as next_rule.

    ACTION_WAITS: what the rule at `at` does waits for bytes; the next look begins there.
    """
    cdef int judged
    while True:
        judged = rule_resumed(engine, ruleset, context, at, found)
        if judged != HOLDS:
            return judged
        if found[0].action >= RULE_SET_SOURCE:
            session_adjust(found[0], context, ends)
        elif action_waits(engine, found[0], context):
            at[0] = at[0] - 1 | <uint32_t>RESUMED
            return ACTION_WAITS
        count(found[0].hits, 1)
        if found[0].action < RULE_TRACK:
            return HOLDS
        if RULE_TRACK < found[0].action < RULE_SET_VARIABLE:
            rule_changes(engine, found[0], context)
