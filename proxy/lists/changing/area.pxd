# The memory of lists that may change (area.pyx).

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from proxy.lists.changing.image cimport Changes


cdef class ListArea:
    cdef char *base
    cdef size_t size
    cdef uint64_t *epoch
    cdef uint64_t *seen  # by reader
    cdef uint64_t *roots  # by reference
    cdef uint32_t readers
    cdef readonly tuple packed  # the lists as they were read, by number
    cdef readonly tuple windows  # where each reference's images may lie: start and bytes
    cdef list followed  # by this process: expressions.pyx
    cdef dict places  # by the number of a list: its reference, and its place there

    cdef void changes_of(self, uint32_t number, Changes *out)
    cdef void release(self, uint64_t start, uint64_t size) noexcept
