# What rules note: variables, of a session or of the program, and captures, which are variables of a
# session by their place.
#
# What finds no memory, or no room within the limits of `tune.vars.*`, is not noted, and counted.

from proxy.relay.state.rule_types cimport (
    RULE_CAPTURE, RULE_UNSET_VARIABLE, VARIABLE_NONE, Rule)
from proxy.relay.state.types cimport Engine
from proxy.rules.evaluate cimport value_of
from proxy.rules.format cimport put_format
from proxy.rules.sample cimport as_text, set_text
from proxy.rules.types cimport SCRATCH_BYTES, Context, Sample
from proxy.rules.variables.shared cimport forgotten, noted
from shm.atomics cimport count
from shm.text cimport Text, text_over


cdef inline void note_sample(
        const Engine *engine, const Rule *rule, const Context *context,
        const Sample *sample) noexcept nogil:
    if not noted(context, engine.judge.room, rule.target, sample, rule.when):
        count(&engine.counters.variables_lost, 1)


cdef inline void note_format(
        const Engine *engine, const Rule *rule, const Context *context) noexcept nogil:
    cdef Sample sample
    cdef Text text = text_over(engine.judge.text, SCRATCH_BYTES - 1)
    put_format(&text, context, rule.parts, rule.part_count)
    set_text(&sample, text.start, text.at - text.start)
    note_sample(engine, rule, context, &sample)


cdef inline bint note_made(
        const Engine *engine, const Rule *rule, const Context *context) noexcept nogil:
    """Note what a rule says; False: what it captures waits for bytes. Without a value, nothing."""
    cdef Sample sample
    if rule.target == VARIABLE_NONE:
        return True
    if rule.action == RULE_UNSET_VARIABLE:
        forgotten(context, engine.judge.room, rule.target)
    elif rule.part_count != 0:
        note_format(engine, rule, context)
    elif rule.action != RULE_CAPTURE:
        if value_of(context, rule.key, &sample):
            note_sample(engine, rule, context, &sample)
    elif value_of(context, rule.key, &sample):
        if as_text(&sample, context.scratch):
            sample.length = min(sample.length, <size_t>rule.length)
            note_sample(engine, rule, context, &sample)
    else:
        return context.final or not sample.unsettled
    return True
