# A pool of equal objects in slabs: knows sizes and addresses, not what is kept in them.
#
# A slab is 64 KiB, aligned to its size, so an object finds its slab by masking its own address. A
# slab without objects in use goes back to the kernel, all but one; what an idle connection costs is
# therefore one object and its share of a slab header, also after a peak.
#
# A walk over all objects in use costs the path nothing: it asks each slab which of its objects are
# free. A walk in several turns goes on in `walks`, where a slab that is unmapped hands over to the
# next one; slabs that are mapped meanwhile come before it, and are not visited. Under the address
# sanitizer the objects that are not in use are forbidden memory.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from proxy.relay.state.syscalls cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap)

cdef extern from * nogil:
    """
    #ifdef __SANITIZE_ADDRESS__
    #include <sanitizer/asan_interface.h>
    #define forbid_memory(start, size) __asan_poison_memory_region(start, size)
    #define allow_memory(start, size) __asan_unpoison_memory_region(start, size)
    #else
    #define forbid_memory(start, size) ((void)(start))
    #define allow_memory(start, size) ((void)(start))
    #endif
    """
    void forbid_memory(const void *start, size_t size)
    void allow_memory(const void *start, size_t size)

cdef enum:
    SLAB_BYTES = 65536
    SLAB_HEADER = 64
    SLAB_OBJECTS_MAX = 1024  # in a slab that is walked

cdef enum:  # who walks
    WALK_CHANGES = 0
    WALK_DUMP = 1
    WALKS = 2

cdef struct Slab:
    Slab *next  # with room
    Slab *previous
    Slab *next_mapped
    Slab *previous_mapped
    void *free  # chain of free objects through their first word
    uint32_t used  # objects in use
    uint32_t fresh  # objects never used yet start here

cdef struct Pool:
    Slab *partial  # slabs with room
    Slab *spare  # one empty slab, kept
    Slab *mapped  # all slabs
    Slab *walks[WALKS]  # the next one of each walk; NULL: it is over
    uint32_t object_bytes
    uint32_t capacity  # objects in a slab
    uint64_t slabs  # mapped now


cdef inline void pool_init(Pool *pool, uint32_t object_bytes) noexcept nogil:
    memset(pool, 0, sizeof(Pool))
    pool.object_bytes = object_bytes
    pool.capacity = (SLAB_BYTES - SLAB_HEADER) // object_bytes


cdef inline Slab *slab_map() noexcept nogil:
    """Map one aligned slab: twice the size is asked for and the edges are given back."""
    cdef char *start = <char *>mmap(
        NULL, 2 * SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    cdef char *aligned
    if start == MAP_FAILED:
        return NULL
    aligned = <char *>((<uint64_t>start + SLAB_BYTES - 1) & ~<uint64_t>(SLAB_BYTES - 1))
    if aligned != start:
        munmap(start, aligned - start)
    if aligned + SLAB_BYTES != start + 2 * SLAB_BYTES:
        munmap(aligned + SLAB_BYTES, (start + SLAB_BYTES) - aligned)
    return <Slab *>aligned


cdef inline void slab_link(Pool *pool, Slab *slab) noexcept nogil:
    slab.previous = NULL
    slab.next = pool.partial
    if slab.next != NULL:
        slab.next.previous = slab
    pool.partial = slab


cdef inline void slab_unlink(Pool *pool, Slab *slab) noexcept nogil:
    if slab.previous != NULL:
        slab.previous.next = slab.next
    else:
        pool.partial = slab.next
    if slab.next != NULL:
        slab.next.previous = slab.previous


cdef inline void slab_enlist(Pool *pool, Slab *slab) noexcept nogil:
    """The slab was mapped."""
    pool.slabs += 1
    slab.previous_mapped = NULL
    slab.next_mapped = pool.mapped
    if slab.next_mapped != NULL:
        slab.next_mapped.previous_mapped = slab
    pool.mapped = slab


cdef inline void slab_delist(Pool *pool, Slab *slab) noexcept nogil:
    """The slab is about to be unmapped."""
    cdef int walk
    pool.slabs -= 1
    for walk in range(WALKS):
        if pool.walks[walk] == slab:
            pool.walks[walk] = slab.next_mapped
    if slab.previous_mapped != NULL:
        slab.previous_mapped.next_mapped = slab.next_mapped
    else:
        pool.mapped = slab.next_mapped
    if slab.next_mapped != NULL:
        slab.next_mapped.previous_mapped = slab.previous_mapped


cdef inline uint32_t slab_objects(Pool *pool, Slab *slab, void **objects) noexcept nogil:
    """Fill `objects` (SLAB_OBJECTS_MAX) with the slab's objects in use; how many."""
    cdef bint is_free[SLAB_OBJECTS_MAX]
    cdef char *first = <char *>slab + SLAB_HEADER
    cdef void *item = slab.free
    cdef void *following
    cdef uint32_t index
    cdef uint32_t found = 0
    memset(is_free, 0, sizeof(is_free))
    while item != NULL:
        is_free[(<char *>item - first) // pool.object_bytes] = True
        allow_memory(item, pool.object_bytes)
        following = (<void **>item)[0]
        forbid_memory(item, pool.object_bytes)
        item = following
    for index in range(min(slab.fresh, <uint32_t>SLAB_OBJECTS_MAX)):
        if not is_free[index]:
            objects[found] = first + index * pool.object_bytes
            found += 1
    return found


cdef inline void *pool_take(Pool *pool) noexcept nogil:
    """One zeroed object; NULL when the kernel has no memory."""
    cdef Slab *slab = pool.partial
    cdef void *found
    if slab == NULL:
        slab = pool.spare
        pool.spare = NULL
        if slab == NULL:
            slab = slab_map()
            if slab == NULL:
                return NULL
            slab_enlist(pool, slab)
        slab_link(pool, slab)
    if slab.free != NULL:
        found = slab.free
        allow_memory(found, pool.object_bytes)
        slab.free = (<void **>found)[0]
    else:
        found = <char *>slab + SLAB_HEADER + slab.fresh * pool.object_bytes
        slab.fresh += 1
    slab.used += 1
    if slab.used == pool.capacity:
        slab_unlink(pool, slab)
    memset(found, 0, pool.object_bytes)
    return found


cdef inline void pool_give(Pool *pool, void *item) noexcept nogil:
    """Take an object back."""
    cdef Slab *slab = <Slab *>(<uint64_t>item & ~<uint64_t>(SLAB_BYTES - 1))
    if slab.used == pool.capacity:
        slab_link(pool, slab)
    (<void **>item)[0] = slab.free
    slab.free = item
    forbid_memory(item, pool.object_bytes)
    slab.used -= 1
    if slab.used != 0:
        return
    slab_unlink(pool, slab)
    if pool.spare == NULL:
        pool.spare = slab
        return
    slab_delist(pool, slab)
    allow_memory(slab, SLAB_BYTES)
    munmap(slab, SLAB_BYTES)
