# Pipes for zero-copy forwarding, pooled: one awkward kernel mechanism, and nothing of sessions.
#
# A pipe is taken only while bytes are under way and given back empty, so a few serve many
# directions. The kernel grants 256 KiB pipes up to a limit per user and then makes small ones:
# such a pipe is closed again and no further one is tried, because splicing through it costs more
# than copying. Each worker has its share of those (proxy/capacity.py).

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc

from proxy.relay.syscalls cimport F_SETPIPE_SZ, O_CLOEXEC, O_NONBLOCK, close, fcntl, pipe2

cdef enum:
    PIPE_BYTES = 262144  # measured: 64 KiB pipes cost half as much again per GB

cdef struct Pipe:
    Pipe *next  # in the pool
    int read_end
    int write_end
    uint32_t filled  # bytes in it

cdef struct PipePool:
    Pipe *free
    uint32_t free_count
    uint32_t used_count
    uint32_t limit  # pipes this worker may have


cdef inline Pipe *pipe_make(PipePool *pool) noexcept nogil:
    """A new pipe of the full size; NULL, and no further tries, when the kernel refuses."""
    cdef int ends[2]
    cdef Pipe *made
    if pool.free_count + pool.used_count >= pool.limit:
        return NULL
    if pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0:
        return NULL
    made = <Pipe *>malloc(sizeof(Pipe))
    if made == NULL or fcntl(ends[1], F_SETPIPE_SZ, <int>PIPE_BYTES) < PIPE_BYTES:
        free(made)
        close(ends[0])
        close(ends[1])
        pool.limit = pool.free_count + pool.used_count
        return NULL
    made.read_end = ends[0]
    made.write_end = ends[1]
    made.filled = 0
    return made


cdef inline Pipe *pipe_take(PipePool *pool) noexcept nogil:
    """An empty pipe, or NULL: then copy."""
    cdef Pipe *found = pool.free
    if found != NULL:
        pool.free = found.next
        pool.free_count -= 1
    else:
        found = pipe_make(pool)
        if found == NULL:
            return NULL
    pool.used_count += 1
    return found


cdef inline void pipe_give(PipePool *pool, Pipe *pipe) noexcept nogil:
    """Take a pipe back; one that still holds bytes is closed with them."""
    pool.used_count -= 1
    if pipe.filled != 0:
        close(pipe.read_end)
        close(pipe.write_end)
        free(pipe)
        return
    pipe.next = pool.free
    pool.free = pipe
    pool.free_count += 1


cdef inline void pipes_close(PipePool *pool) noexcept nogil:
    """Close every pooled pipe."""
    cdef Pipe *pipe
    while pool.free != NULL:
        pipe = pool.free
        pool.free = pipe.next
        pool.free_count -= 1
        close(pipe.read_end)
        close(pipe.write_end)
        free(pipe)
