# Pipes for zero-copy forwarding, pooled: one awkward kernel mechanism, and nothing of sessions.
#
# A pipe is taken only while bytes are under way and given back empty, so a few serve many
# directions. The kernel grants 256 KiB pipes up to a limit per user and then makes small ones:
# such a pipe is closed again, because splicing through it costs more than copying. Other programs
# of the user give theirs back some day, so another try is made, after ever more directions that do
# without. Each worker has its share of pipes (proxy/capacity.py).

from libc.stdint cimport uint32_t

from proxy.relay.state.pool cimport Pool, pool_give, pool_init, pool_take
from proxy.relay.state.syscalls cimport F_SETPIPE_SZ, O_CLOEXEC, O_NONBLOCK, close, fcntl, pipe2

cdef enum:
    PIPE_BYTES = 262144  # measured: 64 KiB pipes cost half as much again per GB
    PASSED_MIN = 4  # directions that do without after the first refusal,
    PASSED_MAX = 4096  # and after many: a try costs four system calls

cdef struct Pipe:
    Pipe *next  # in the pool
    int read_end
    int write_end
    uint32_t filled  # bytes in it

cdef struct PipePool:
    Pool made  # all of them: slabs, so that one in use keeps no other memory of a peak mapped
    Pipe *free
    uint32_t free_count
    uint32_t used_count
    uint32_t limit  # pipes this worker may have
    uint32_t passed  # how many do without after a refusal: twice as many after each
    uint32_t to_pass  # of these, how many are to come


cdef inline void pipes_init(PipePool *pool, uint32_t limit) noexcept nogil:
    """No pipe yet, and so many at most."""
    pool_init(&pool.made, sizeof(Pipe))
    pool.limit = limit


cdef inline void pipe_refused(PipePool *pool) noexcept nogil:
    """Let the next ones do without: there is no pipe of the full size now."""
    pool.passed = min(2 * pool.passed, <uint32_t>PASSED_MAX) if pool.passed else PASSED_MIN
    pool.to_pass = pool.passed


cdef inline Pipe *pipe_make(PipePool *pool) noexcept nogil:
    """A new pipe of the full size; NULL when there is none, or none is tried this time."""
    cdef int ends[2]
    cdef Pipe *made
    if pool.free_count + pool.used_count >= pool.limit:
        return NULL
    if pool.to_pass != 0:
        pool.to_pass -= 1
        return NULL
    if pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0:
        return NULL
    made = <Pipe *>pool_take(&pool.made)
    if made == NULL or fcntl(ends[1], F_SETPIPE_SZ, <int>PIPE_BYTES) < PIPE_BYTES:
        if made != NULL:
            pool_give(&pool.made, made)
        close(ends[0])
        close(ends[1])
        pipe_refused(pool)
        return NULL
    pool.passed = 0
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
        pool_give(&pool.made, pipe)
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
        pool_give(&pool.made, pipe)
