# Regular expressions by PCRE2, whose functions are found when the first is compiled (regex.pyx).

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

ctypedef int (*match_function)(
    const void *code, const char *text, size_t length, size_t start, uint32_t options,
    void *found, void *limits) noexcept nogil

cdef enum:
    NO_MATCH = -1  # PCRE2_ERROR_NOMATCH; what is below it is an effort that is too dear

cdef struct RegexView:  # expressions of one list
    match_function match
    void **codes
    uint32_t count
    void *found  # room for what a match finds
    void *limits
    size_t *pairs  # in `found`, where each group begins and ends; only of a Substitution
    uint64_t dear  # matches that were given up


cdef inline bint regex_matches(
        RegexView *view, uint32_t number, const char *text, size_t length) noexcept nogil:
    """Whether it is found in the text; one that is too dear to be found is not."""
    cdef int found = view.match(view.codes[number], text, length, 0, 0, view.found, view.limits)
    view.dear += found < NO_MATCH
    return found >= 0


cdef inline bint regexes_match(RegexView *view, const char *text, size_t length) noexcept nogil:
    """Whether one of them is found in the text."""
    cdef uint32_t at
    for at in range(view.count):
        if regex_matches(view, at, text, length):
            return True
    return False


cdef class Regexes:
    cdef RegexView view


cdef class Substitution:
    cdef RegexView view
