# Regular expressions by PCRE2, whose functions are found when the first is compiled (regex.pyx).

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from shm.atomics cimport load_pointer

ctypedef int (*match_function)(
    const void *code, const char *text, size_t length, size_t start, uint32_t options,
    void *found, void *limits) noexcept nogil

cdef enum:
    NO_MATCH = -1  # PCRE2_ERROR_NOMATCH; what is below it is an effort that is too dear

cdef enum:
    REGEXES_ADDED_MAX = 4096  # to one list, while its configuration is in force
    GROUPS_MAX = 10  # that a replacement can name: \0, which is all of it, to \9

cdef struct RegexView:  # expressions of one list
    match_function match
    void **codes  # by the order of their patterns; NULL: it is not compiled yet
    uint32_t count  # that came with the configuration
    uint32_t room  # with those that may be added
    uint32_t last  # that was found
    void *found  # room for what a match finds
    void *limits
    size_t *pairs  # in `found`, where each group begins and ends; NULL where none is asked for
    int groups  # that the last match has, and 1
    uint64_t dear  # matches that were given up


cdef inline bint regex_matches(
        RegexView *view, uint32_t number, const char *text, size_t length) noexcept nogil:
    """Whether it is found in the text; one that is too dear to be found is not."""
    cdef void *code = load_pointer(&view.codes[number])
    cdef int found
    if code == NULL:
        return False
    found = view.match(code, text, length, 0, 0, view.found, view.limits)
    view.dear += found < NO_MATCH
    view.groups = found
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
    cdef bint insensitive
    cdef object __weakref__

    cdef bint compile(
        self, uint32_t number, const char *text, size_t length) except -1


cdef class Substitution:
    cdef RegexView view
