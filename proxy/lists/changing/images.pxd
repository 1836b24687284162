# The images of one reference (images.pyx).

from libc.stdint cimport uint32_t, uint64_t

from proxy.lists.changing.area cimport ListArea
from proxy.lists.changing.image cimport LISTS_MAX, Changes, Group, ImageHead, Shape

cdef enum Keep:  # groups when an image is made anew
    KEEP_ALL
    KEEP_OTHERS  # than those of a version
    KEEP_LATER  # than a version, and those of it


cdef struct Row:  # of what is shown
    uint32_t order
    uint32_t at  # of a group, from the first one on


cdef Row *sorted_rows(const char *image, uint64_t *count) except NULL


cdef class Images:
    cdef ListArea area
    cdef uint32_t number
    cdef uint64_t start  # of the reference's window
    cdef uint64_t size
    cdef uint64_t place  # of the image, from the start of the area; 0: there is none
    cdef uint64_t root  # as the area's word is, or would be
    cdef bint published
    cdef uint32_t step  # that is in force
    cdef uint32_t lists
    cdef Shape shapes[LISTS_MAX + 1]
    cdef list outgoing  # pieces of the window that the next store of the root leaves
    cdef list retired  # those that it has left, with the epoch that readers have to have seen
    cdef readonly uint64_t patterns  # of all versions
    cdef public object beat  # called while something takes long; None: nothing is
    cdef uint32_t readings  # that are under way in this process

    cdef int take_time(self, uint64_t done) except -1
    cdef ImageHead *image(self) noexcept
    cdef Group *group_at(self, uint64_t offset) noexcept
    cdef void changes(self, uint32_t place, Changes *out) noexcept
    cdef uint64_t allot(self, uint64_t bytes) except 0
    cdef int lay_out(self, uint32_t version, uint64_t room, const uint64_t *cells) except -1
    cdef int remake(
        self, Keep keep, uint32_t version, uint64_t more, const uint64_t *more_cells) except -1
    cdef int ensure(self, uint64_t more, const uint64_t *more_cells) except -1
    cdef void count_cells(
        self, const Group *group, uint32_t version, const char *image, uint64_t *cells) noexcept
    cdef void copy_group(self, const Group *group, uint32_t former_at) noexcept
    cdef int recover(self) except -1
    cpdef void publish(self, bint visible=*)
