# `regsub`: what a regular expression finds is replaced (manual section 7.3.1).
#
# As sed(1) does: the first match, or all of them; a match of nothing passes one byte on. The effort
# of each search is limited (proxy/lists/regex.pyx); where one is too dear there is no sample.

from libc.stdint cimport int64_t

from proxy.lists.regex cimport GROUPS_MAX, NO_MATCH, RegexView
from proxy.rules.converting.texts cimport hex_digit
from proxy.rules.sample cimport as_text, set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step
from shm.text cimport Text, put, put_character, text_over

cdef enum:
    NO_GROUP = -1  # PCRE2_UNSET: one that took no part


cdef inline void put_replacement(
        Text *text, const char *form, size_t length, const RegexView *regex, int groups,
        const char *bytes) noexcept nogil:
    """Write the replacement: groups by their digits, bytes by \\x and two digits."""
    cdef size_t at = 0
    cdef int group
    while at < length:
        if form[at] != c"\\" or at + 1 == length:
            put_character(text, form[at])
            at += 1
            continue
        at += 1
        if c"0" <= form[at] <= c"9":
            group = form[at] - c"0"
            if group < groups and <int64_t>regex.pairs[2 * group] != NO_GROUP:
                put(text, bytes + regex.pairs[2 * group],
                    regex.pairs[2 * group + 1] - regex.pairs[2 * group])
        elif form[at] == c"x" and length - at > 2 and (
                hex_digit(form[at + 1]) >= 0 and hex_digit(form[at + 2]) >= 0):
            put_character(text, <char>(hex_digit(form[at + 1]) << 4 | hex_digit(form[at + 2])))
            at += 2
        else:
            put_character(text, form[at])
        at += 1


cdef inline bint substituted(
        const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """Replace the first match, or each; what has no room is cut."""
    cdef RegexView *regex = step.regex
    cdef size_t at = 0, begin, end
    cdef Text text
    cdef int groups = 0
    if scratch == NULL or not as_text(sample, scratch):
        return False
    text = text_over(take_scratch(scratch), SCRATCH_BYTES - 1)
    while at <= sample.length:
        groups = regex.match(
            regex.codes[0], sample.text, sample.length, at, 0, regex.found, regex.limits)
        if groups <= 0:
            break
        begin, end = regex.pairs[0], regex.pairs[1]
        put(&text, sample.text + at, begin - at)
        put_replacement(
            &text, step.text + step.numbers[0], step.length - step.numbers[0], regex, groups,
            sample.text)
        at = end
        if begin == end and step.numbers[1] != 0:
            if at < sample.length:
                put_character(&text, sample.text[at])
            at += 1
        if step.numbers[1] == 0:
            break
    if groups < NO_MATCH:
        regex.dear += 1
        return False
    if at < sample.length:
        put(&text, sample.text + at, sample.length - at)
    set_text(sample, text.start, text.at - text.start)
    return True
