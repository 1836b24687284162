# The timetable in compiled code: the three calls that each check makes.

from libc.stdint cimport int64_t

from proxy.health.heap cimport Heap

cdef enum:
    NO_SLOT = -1


cdef class Timetable:
    cdef Heap heap
    cdef int64_t *dues  # by slot, NO_TIME without one
    cdef int64_t *phases  # likewise
    cdef Py_ssize_t slots  # that the two have room for
    cdef readonly Py_ssize_t planned  # slots with a due time

    cdef int make_room(self, Py_ssize_t slot) except -1
    cdef void rebuild(self) noexcept
    cpdef int place(self, Py_ssize_t slot, int64_t due_ms) except -1
    cdef bint is_first(self) noexcept
    cdef Py_ssize_t taken(self, int64_t now_ms) noexcept
