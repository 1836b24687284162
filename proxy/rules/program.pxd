# What conditions and formats have in common; its documentation is in program.pyx.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uint8_t

from proxy.lists.changing.area cimport ListArea
from proxy.rules.types cimport (
    Call, ContentView, Context, HttpView, Part, Patterns, Scratch, Step, Term)
from shm.segment cimport Segment

cdef void *zeroed(size_t number, size_t size) except NULL
cdef uint8_t packed(object address, uint8_t *out) except 255
cdef int look_at(
    Context *context, HttpView *http, ContentView *content, Segment segment, object seen,
    uint64_t authorised) except -1

cdef class Program:
    cdef Segment segment  # keeps the mapping
    cdef list kept  # the bytes that the arrays point to
    cdef Step *steps
    cdef uint32_t step_count
    cdef object lists  # of the settings, as they were packed
    cdef ListArea area  # where they change; None: they do not
    cdef Patterns *patterns  # by the number of their list

    cdef int begin(self, Segment segment, size_t converters, lists=*) except -1
    cdef const Patterns *patterns_of(self, int64_t number, uint8_t matcher) except NULL
    cdef const char *keep(self, bytes content) except NULL
    cdef int set_call(self, Call *target, object value) except -1
    cdef int set_step(self, Step *target, object converter) except -1
    cdef int set_part(self, Part *target, object piece) except -1

cdef class Conditions(Program):
    cdef Term *terms
    cdef int32_t *numbers  # of the terms' lists
    cdef uint32_t number_count
    cdef int32_t *firsts  # terms, by the number of their condition
    cdef uint32_t count
    cdef Scratch *scratch

    cdef int set_term(self, Term *target, object term, int32_t first) except -1

cdef class Phrases(Program):
    cdef Call *calls
    cdef uint32_t call_count
    cdef Part *parts
    cdef uint32_t part_count

    cdef const Call *add(self, object value) except NULL
    cdef const Part *add_format(self, object form) except NULL
