# A condition of which some terms are open, because what they look at was not told.

from libc.stdint cimport int32_t, uint8_t

from proxy.rules.evaluate cimport term_judged
from proxy.rules.types cimport ACCEPTED, HOLDS, HOLDS_NOT, UNDECIDED, Context, Patterns, Term

cdef enum:  # of a term, as long as nothing else is known
    TERM_TOLD = 0
    TERM_OPEN = 1
    TERM_MET = 2  # open, and what the condition says may depend on it


cdef inline bint dry_walk(
        const Context *context, const Term *terms, const Patterns *patterns, int32_t first,
        bint hopeful, uint8_t *told, bint *waits) noexcept nogil:
    """As condition_walk, but that open terms are undecided, and noted; `told` begins at `first`."""
    cdef int32_t at = first
    cdef int judged
    while at >= 0:
        if told[at - first] != TERM_TOLD:
            told[at - first] = TERM_MET
            judged = UNDECIDED
        else:
            judged = term_judged(context, &terms[at], patterns)
            waits[0] = waits[0] or judged == UNDECIDED
        if judged == UNDECIDED:
            judged = HOLDS if hopeful != terms[at].negated else HOLDS_NOT
        at = terms[at].then if judged == HOLDS else terms[at].otherwise
    return at == ACCEPTED


cdef inline int dry_judged(
        const Context *context, const Term *terms, const Patterns *patterns, int32_t first,
        uint8_t *told, bint *waits) noexcept nogil:
    """Whether a condition holds whatever the open terms say; UNDECIDED where it depends."""
    cdef bint worst = dry_walk(context, terms, patterns, first, False, told, waits)
    cdef bint best = dry_walk(context, terms, patterns, first, True, told, waits)
    if worst != best:
        return UNDECIDED
    return HOLDS if best else HOLDS_NOT
