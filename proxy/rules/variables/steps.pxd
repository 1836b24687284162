# Converters that look at variables: `concat`, `strcmp`, and arithmetic; those that change them
# are in changes.pxd (manual section 7.3.1).

from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from proxy.rules.codes cimport (
    CONVERT_ADD, CONVERT_ADD_ITEM, CONVERT_CONCAT, CONVERT_SAME_BYTES, CONVERT_SET_VARIABLE,
    CONVERT_STRCMP, CONVERT_UNSET_VARIABLE, CONVERT_XOR)
from proxy.rules.convert cimport converted
from proxy.rules.sample cimport (
    as_bytes, as_number, as_text, end_at_nul, put_sample, set_number, set_text, set_truth,
    take_scratch)
from proxy.rules.types cimport SAMPLE_TEXT, SCRATCH_BYTES, Context, Sample, Scratch, Step, Variables
from proxy.rules.variables.changes cimport changed
from proxy.rules.variables.memory cimport variable_sample
from proxy.rules.variables.shared cimport PROCESS_VARIABLES, shared_sample
from shm.text cimport Text, put, text_over


cdef inline bint step_variable(
        const Context *context, const Step *step, Sample *sample) noexcept nogil:
    """What the variable of a converter has; False: nothing."""
    if step.numbers[2] >= PROCESS_VARIABLES:
        return shared_sample(context.view, context.scratch, step.numbers[2], sample)
    return context.kept != NULL and step.numbers[2] >= 0 and variable_sample(
        context.kept[0], step.numbers[2], sample)


cdef inline bint concatenated(
        const Context *context, const Step *step, Sample *sample) noexcept nogil:
    """The sample, a text, the variable, and another text; what has no room is cut."""
    cdef size_t before = <size_t>step.numbers[0]
    cdef Sample other
    cdef Text text
    if context.scratch == NULL or not as_text(sample, context.scratch):
        return False
    text = text_over(take_scratch(context.scratch), SCRATCH_BYTES - 1)
    put(&text, sample.text, sample.length)
    put(&text, step.text, before)
    if step_variable(context, step, &other):
        if other.type == SAMPLE_TEXT:
            end_at_nul(&other)
        put_sample(&text, &other)
    put(&text, step.text + before, step.length - before)
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint item_added(
        const Context *context, const Step *step, Sample *sample) noexcept nogil:
    """`add_item`: a delimiter between what is there and what comes, if both are something."""
    cdef size_t before = <size_t>step.numbers[0]
    cdef Sample other
    cdef Text text
    if context.scratch == NULL or not as_text(sample, context.scratch):
        return False
    if not step_variable(context, step, &other) or not as_text(&other, context.scratch):
        set_text(&other, NULL, 0)
    text = text_over(take_scratch(context.scratch), SCRATCH_BYTES - 1)
    put(&text, sample.text, sample.length)
    if sample.length != 0 and (other.length != 0 or step.length > before):
        put(&text, step.text, before)
    put(&text, other.text, other.length)
    put(&text, step.text + before, step.length - before)
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint same_bytes(
        const Context *context, const Step *step, Sample *sample) noexcept nogil:
    """`secure_memcmp`: in a time that tells nothing of where two of one length differ."""
    cdef Sample other
    cdef size_t at
    cdef int difference = 0
    if not step_variable(context, step, &other):
        return False
    if not as_bytes(sample, context.scratch) or not as_bytes(&other, context.scratch):
        return False
    if sample.length != other.length:
        return set_truth(sample, False)
    for at in range(sample.length):
        difference |= sample.text[at] ^ other.text[at]
    return set_truth(sample, difference == 0)


cdef inline bint compared(
        const Context *context, const Step *step, Sample *sample) noexcept nogil:
    """How the sample differs from the variable: at the first byte that does, or in length."""
    cdef Sample other
    cdef size_t at
    cdef int64_t difference = 0
    if not step_variable(context, step, &other):
        return False
    if not as_text(sample, context.scratch) or not as_text(&other, context.scratch):
        return False
    for at in range(min(sample.length, other.length)):
        difference = <int64_t><unsigned char>sample.text[at] - <unsigned char>other.text[at]
        if difference != 0:
            return set_number(sample, difference)
    return set_number(
        sample, <int64_t>(sample.length > other.length) - (sample.length < other.length))


cdef inline bint step_run(
        const Context *context, const Step *step, Sample *sample) noexcept nogil:
    """Run one converter; False: it gives no sample."""
    cdef Step plain
    cdef Sample other
    if step.convert == CONVERT_CONCAT:
        return concatenated(context, step, sample)
    if step.convert == CONVERT_STRCMP:
        return compared(context, step, sample)
    if step.convert == CONVERT_ADD_ITEM:
        return item_added(context, step, sample)
    if step.convert == CONVERT_SAME_BYTES:
        return same_bytes(context, step, sample)
    if step.convert == CONVERT_SET_VARIABLE or step.convert == CONVERT_UNSET_VARIABLE:
        return changed(context, step, sample)
    if CONVERT_ADD <= step.convert <= CONVERT_XOR and step.numbers[1] != 0:
        if not step_variable(context, step, &other) or not as_number(&other):
            return False
        plain = step[0]
        plain.numbers[0] = other.number
        return converted(&plain, context.scratch, sample)
    return converted(step, context.scratch, sample)
