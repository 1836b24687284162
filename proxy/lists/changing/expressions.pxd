# Regular expressions that are added while the program runs (expressions.pyx).

from libc.stdint cimport uint32_t, uint64_t

from proxy.lists.changing.area cimport ListArea
from proxy.lists.regex cimport Regexes


cdef class FollowedExpressions:
    cdef object regexes  # weak: they live as long as what looks for them
    cdef uint32_t reference
    cdef uint32_t place
    cdef uint64_t root  # at the last look
    cdef uint64_t at  # how far the groups of its image are compiled


cpdef follow(ListArea area, uint32_t number, Regexes regexes)
