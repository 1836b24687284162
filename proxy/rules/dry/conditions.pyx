"""Conditions of connections for a client that is only told of, by the relay's own evaluator.

Nothing is tracked, set or counted. What was not told is left open, and so is what the condition
says if that depends on it.
"""

from typing import NamedTuple

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint8_t, uint32_t

from proxy.rules.dry.walk cimport TERM_MET, TERM_OPEN, TERM_TOLD, dry_judged
from proxy.rules.program cimport Conditions, look_at
from proxy.rules.types cimport HOLDS, UNDECIDED, ContentView, Context, HttpView

class Judged(NamedTuple):
    """What a condition says; None: that depends.

    `open` are the numbers of those of its terms that it depends on; `waits`: bytes that come later
    may decide it.
    """

    holds: bool | None
    open: tuple[int, ...] = ()
    waits: bool = False


cdef class DryConditions(Conditions):
    """As Conditions, by their number."""

    cdef list lengths

    def __init__(self, segment, conditions, lists=()) -> None:
        """`lists` are those of the settings, by number."""
        Conditions.__init__(self, segment, conditions, lists)
        self.lengths = [len(condition.terms) for condition in conditions]

    def judged(self, uint32_t number, seen, known) -> Judged:
        """What a condition says of a client; `known` says of each of its terms whether it is told.

        IndexError for a number that there is not; ValueError for another number of terms.
        """
        cdef Context context
        cdef HttpView http
        cdef ContentView content
        cdef bytearray told = bytearray(TERM_TOLD if each else TERM_OPEN for each in known)
        cdef bint waits = False
        cdef int found
        if number >= self.count:
            raise IndexError(f"condition {number} of {self.count}")
        if len(told) != self.lengths[number]:
            raise ValueError(f"{len(told)} terms for {self.lengths[number]}")
        look_at(&context, &http, &content, self.segment, seen, 0)
        context.scratch = self.scratch
        found = dry_judged(
            &context, self.terms, self.patterns, self.firsts[number],
            <uint8_t *>PyByteArray_AS_STRING(told), &waits)
        if found != UNDECIDED:
            return Judged(found == HOLDS)
        met = tuple(at for at, each in enumerate(told) if each == TERM_MET)
        return Judged(None, met, waits)
