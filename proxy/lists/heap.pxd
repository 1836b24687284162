# What grows while a list is packed: records, and texts that are kept once. Owned by its packer.

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

from proxy.lists.layout cimport HASH_START, VALUE_HEAD_BYTES, hash_end, hash_on

cdef enum:
    GROWTH_MIN = 4096  # bytes
    POOL_CELLS_MIN = 64

cdef struct Heap:
    char *bytes
    size_t used
    size_t room

cdef struct Pool:  # of texts that are there once
    Heap heap  # each with its length in front
    uint32_t *cells  # the place of a text, and 1
    uint32_t size  # a power of 2
    uint32_t count


cdef inline char *grown(Heap *heap, size_t more) except NULL:
    """Room for so many bytes at the end."""
    cdef size_t room
    cdef char *bytes
    if heap.used + more > heap.room:
        room = max(2 * heap.room, heap.used + more, <size_t>GROWTH_MIN)
        bytes = <char *>realloc(heap.bytes, room)
        if bytes == NULL:
            raise MemoryError("list of patterns")
        heap.bytes = bytes
        heap.room = room
    heap.used += more
    return heap.bytes + heap.used - more


cdef inline uint32_t text_hash(const char *text, size_t length) noexcept nogil:
    cdef uint64_t hashed = HASH_START
    cdef size_t at
    for at in range(length):
        hashed = hash_on(hashed, text[at])
    return hash_end(hashed)


cdef inline uint32_t *pool_cell(Pool *pool, const char *text, size_t length) noexcept nogil:
    """The cell of a text, or a free one where it belongs."""
    cdef uint32_t at = text_hash(text, length) & (pool.size - 1)
    cdef const char *found
    cdef uint16_t size
    while pool.cells[at] != 0:
        found = pool.heap.bytes + pool.cells[at] - 1
        memcpy(&size, found, VALUE_HEAD_BYTES)
        if size == length and memcmp(found + VALUE_HEAD_BYTES, text, length) == 0:
            break
        at = at + 1 & (pool.size - 1)
    return &pool.cells[at]


cdef inline int pool_widen(Pool *pool) except -1:
    """Twice as many cells."""
    cdef Pool wider = pool[0]
    cdef const char *text
    cdef uint16_t size
    cdef size_t at = 0
    wider.size = max(2 * pool.size, <uint32_t>POOL_CELLS_MIN)
    wider.cells = <uint32_t *>calloc(wider.size, sizeof(uint32_t))
    if wider.cells == NULL:
        raise MemoryError("list of patterns")
    while at < pool.heap.used:
        text = pool.heap.bytes + at
        memcpy(&size, text, VALUE_HEAD_BYTES)
        pool_cell(&wider, text + VALUE_HEAD_BYTES, size)[0] = <uint32_t>at + 1
        at += VALUE_HEAD_BYTES + size
    free(pool.cells)
    pool[0] = wider
    return 0


cdef inline uint32_t pooled(Pool *pool, const char *text, uint16_t length) except? 0xFFFFFFFF:
    """The place of a text, which is added if it is not there."""
    cdef uint32_t *cell
    cdef char *made
    if 2 * pool.count >= pool.size:
        pool_widen(pool)
    cell = pool_cell(pool, text, length)
    if cell[0] == 0:
        if pool.heap.used + length >= 0xFFFFFFF0:
            raise ValueError("a map has more than 4 GiB of values")
        made = grown(&pool.heap, VALUE_HEAD_BYTES + length)
        memcpy(made, &length, VALUE_HEAD_BYTES)
        memcpy(made + VALUE_HEAD_BYTES, text, length)
        cell[0] = <uint32_t>(made - pool.heap.bytes) + 1
        pool.count += 1
    return cell[0] - 1
