# The lists of one reference, a file or a line, as they lie in memory when they have been changed.
#
# An image is a piece of the area (area.pyx) that all processes map. Control alone writes it, while
# relays look up in it:
#
#   ImageHead, a ListHead for the texts as they are written, one for each list of the reference,
#   the lists' bits and cells (layout.pxd), and groups
#
# A group is one pattern: its records, that of the text first, then its value. It is written behind
# the others, then its cells, and is there from the step on that its records were born in. What is
# removed has died in a step. One word of the area, the root, says which page an image begins at,
# and which step is in force: a look-up loads it once, and sees that step, whatever is written
# meanwhile. A change is whatever one store of that word makes true, and a writer that dies before
# has changed nothing. Groups of other versions than the image's are in no list but that of texts.

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from proxy.lists.layout cimport ListHead, Reading, Record
from shm.atomics cimport load_acquire

cdef enum:
    PAGE_BYTES = 4096
    LISTS_MAX = 128  # of one reference: more ways to compare there are not
    CHANGED_HEAD_BYTES = 24  # of a record before its key, with its life

cdef extern from * nogil:
    """
    #define NO_VALUE 0xFFFFFFFFU
    """
    const uint32_t NO_VALUE

cdef struct ImageHead:
    uint32_t lists  # beside the texts
    uint32_t version  # of the patterns that look-ups see
    uint32_t next_version  # the last one that was prepared
    uint32_t next_order
    uint64_t heap  # where the groups begin; from the image's start
    uint64_t used  # bytes of groups
    uint64_t room
    uint64_t end

cdef struct Group:
    uint32_t bytes  # all of it
    uint32_t version
    uint32_t value  # where its value is, from the first group on; or NO_VALUE
    uint32_t spare

cdef struct Shape:  # of a list: how its records are compared
    uint16_t kind
    bint insensitive
    bint from_end
    bint of_names

cdef struct Changes:  # of one list
    const uint64_t *root  # 0: it is as it was packed; NULL: and stays so
    const char *area
    uint32_t place  # of the list among those of its reference, from 1


cdef inline ListHead *head_in(const char *image, uint32_t place) noexcept nogil:
    return <ListHead *>(image + sizeof(ImageHead)) + place


cdef inline Reading reading_of(const ListHead *packed, const Changes *changes) noexcept nogil:
    """The list as it is now."""
    cdef Reading found
    cdef uint64_t root = load_acquire(changes.root) if changes.root != NULL else 0
    found.head, found.step = packed, 0
    if root != 0:
        found.head = head_in(changes.area + (root >> 32) * PAGE_BYTES, changes.place)
        found.step = <uint32_t>root
    return found


cdef inline size_t record_size(size_t key_length) noexcept nogil:
    """Of a record in a group."""
    return (CHANGED_HEAD_BYTES + key_length + 3) & ~<size_t>3


cdef inline Record *first_record(const Group *group) noexcept nogil:
    """That of the text."""
    return <Record *>(group + 1)


cdef inline Record *next_record(const Record *record) noexcept nogil:
    return <Record *>(<char *>record + record_size(record.key_length))
