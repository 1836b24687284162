# A binary heap of moments: the earliest first, of equal ones the lowest number. Plain memory.
#
# Owns the order only. What an entry means, and whether it still holds, is known to its user, who
# skips those that do not when they come up.

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

cdef struct Entry:
    int64_t at_ms
    int64_t number

cdef struct Heap:
    Entry *entries
    Py_ssize_t count
    Py_ssize_t room


cdef inline bint entry_before(const Entry *one, const Entry *other) noexcept nogil:
    """Whether one entry comes up before another."""
    if one.at_ms != other.at_ms:
        return one.at_ms < other.at_ms
    return one.number < other.number


cdef inline void heap_rise(Heap *heap, Py_ssize_t place) noexcept nogil:
    """Move an entry up to where it belongs."""
    cdef Entry moved = heap.entries[place]
    cdef Py_ssize_t above
    while place > 0:
        above = (place - 1) >> 1
        if not entry_before(&moved, &heap.entries[above]):
            break
        heap.entries[place] = heap.entries[above]
        place = above
    heap.entries[place] = moved


cdef inline void heap_sink(Heap *heap, Py_ssize_t place) noexcept nogil:
    """Move an entry down to where it belongs."""
    cdef Entry moved = heap.entries[place]
    cdef Py_ssize_t below
    while True:
        below = 2 * place + 1
        if below >= heap.count:
            break
        if below + 1 < heap.count and entry_before(
                &heap.entries[below + 1], &heap.entries[below]):
            below += 1
        if not entry_before(&heap.entries[below], &moved):
            break
        heap.entries[place] = heap.entries[below]
        place = below
    heap.entries[place] = moved


cdef inline int heap_push(Heap *heap, int64_t at_ms, int64_t number) except -1:
    """Add an entry; raises MemoryError."""
    cdef Py_ssize_t room
    cdef Entry *entries
    if heap.count == heap.room:
        room = heap.room + (heap.room >> 1) + 16
        entries = <Entry *>realloc(heap.entries, room * sizeof(Entry))
        if entries == NULL:
            raise MemoryError("times of checks")
        heap.entries, heap.room = entries, room
    heap.entries[heap.count].at_ms = at_ms
    heap.entries[heap.count].number = number
    heap.count += 1
    heap_rise(heap, heap.count - 1)
    return 0


cdef inline void heap_pop(Heap *heap) noexcept nogil:
    """Remove the first entry. Precondition: there is one."""
    heap.count -= 1
    if heap.count > 0:
        heap.entries[0] = heap.entries[heap.count]
        heap_sink(heap, 0)


cdef inline void heap_order(Heap *heap) noexcept nogil:
    """Bring entries that lie anyhow into order."""
    cdef Py_ssize_t place
    for place in range((heap.count >> 1) - 1, -1, -1):
        heap_sink(heap, place)


cdef inline void heap_free(Heap *heap) noexcept nogil:
    """Give the memory back."""
    free(heap.entries)
    heap.entries = NULL
    heap.count = heap.room = 0
