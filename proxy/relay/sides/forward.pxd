# Moving bytes from one side to the other: copy through the scratch buffer, or splice.
#
# Knows sides, not sessions. One direction is a source and a target. Nothing is read while bytes
# wait for the target (backpressure), so a stalled direction owns at most one `Pending` of
# SCRATCH_BYTES or one pipe of PIPE_BYTES, and an idle one owns nothing.
#
# Descriptors are registered edge-triggered, so READABLE is kept until a receive proves that there
# is nothing: EAGAIN does; so does a receive that gave less than was asked for, unless the event
# carried PRI, RDHUP, HUP or ERR (CONFIRM): then a FIN, an error or bytes behind an urgent mark
# would be missed. A splice never proves it while CONFIRM is set: at an urgent mark it returns 0 or
# EAGAIN although bytes follow, so one recv() decides.

from libc.errno cimport EAGAIN, EINVAL, ENOMEM, ENOSYS, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from proxy.relay.sides.side_io cimport (
    side_nodelay, side_quickack, side_receive, side_send, side_splice_in, side_splice_out)
from proxy.relay.state.pipes cimport Pipe, PipePool, pipe_give, pipe_take
from proxy.relay.state.syscalls cimport MSG_MORE
from proxy.relay.state.types cimport (
    ACKS_LATE, BROKEN, CONFIRM, ENDED_READING, FAILED, FINISHED, NODELAY, READABLE, RESETS,
    SCRATCH_BYTES, SENT, WRITABLE, Pending, Side)

cdef enum:
    FULL_READ_BYTES = 32768  # a receive of so many counts towards splicing
    SPLICE_AFTER = 3  # such receives in a row
    SMALL_SPLICE_BYTES = 8192  # a splice of fewer counts against it
    SMALL_SPLICES_MAX = 8  # such splices in a row end it: copying is cheaper
    SMALL_SEND_BYTES = 512  # below any segment size: leaves at once when nothing is in flight

cdef struct Mover:  # what moving needs besides the two sides
    char *scratch  # SCRATCH_BYTES
    PipePool *pipes
    int64_t now_ms
    int64_t share  # bytes that may be moved for one direction
    int64_t buffered  # change of the memory held by stalled directions, to be collected
    int64_t spliced  # bytes spliced, to be collected


cdef inline bint waiting(const Side *target) noexcept nogil:
    """Whether bytes wait for this side."""
    return target.pending != NULL or (target.pipe != NULL and target.pipe.filled != 0)


cdef inline void drop_waiting(Mover *mover, Side *target) noexcept nogil:
    """Forget the bytes that wait for this side."""
    if target.pending != NULL:
        mover.buffered -= target.pending.end
        free(target.pending)
        target.pending = NULL
    if target.pipe != NULL:
        pipe_give(mover.pipes, target.pipe)
        target.pipe = NULL


cdef inline void note_broken(Mover *mover, Side *target) noexcept nogil:
    """A send failed: nothing more goes there, but what it sent before is still to be read."""
    drop_waiting(mover, target)
    target.flags = (target.flags & ~WRITABLE) | BROKEN
    if not target.flags & ENDED_READING:
        target.flags |= READABLE | CONFIRM


cdef inline void note_failed(Side *source) noexcept nogil:
    source.flags = (source.flags & ~(READABLE | CONFIRM)) | ENDED_READING | FAILED


cdef inline void send_at_once(Side *target, size_t length) noexcept nogil:
    """See to it that Nagle's rule holds nothing back, without a system call for a lone small send.

    A first send below one segment leaves at once in any case; TCP_NODELAY is set with the second,
    or with a large one. Clients' sockets have it from their listener.
    """
    if target.flags & NODELAY:
        return
    if length <= SMALL_SEND_BYTES and not target.flags & SENT:
        target.flags |= SENT
        return
    side_nodelay(target)
    target.flags |= NODELAY


cdef inline bint keep_rest(
        Mover *mover, Side *target, const char *bytes, size_t length) noexcept nogil:
    """Own the bytes that the target did not take; False without memory: the session must end."""
    cdef Pending *pending = <Pending *>malloc(sizeof(Pending) + length)
    if pending == NULL:
        return False
    memcpy(pending.bytes, bytes, length)
    pending.start = 0
    pending.end = <uint32_t>length
    target.pending = pending
    mover.buffered += length
    return True


cdef inline void send_bytes(
        Mover *mover, Side *target, const char *bytes, size_t length, int flags) noexcept nogil:
    """Send; what is not taken is kept in `target.pending`."""
    cdef ssize_t sent
    cdef size_t done = 0
    send_at_once(target, length)
    while done < length:
        sent = side_send(target, bytes + done, length - done, flags)
        if sent > 0:
            done += sent
            target.activity_ms = mover.now_ms
            continue
        if sent < 0 and errno == EAGAIN:
            target.flags &= ~WRITABLE
            if keep_rest(mover, target, bytes + done, length - done):
                return
        note_broken(mover, target)
        return


cdef inline void flush_pending(Mover *mover, Side *target) noexcept nogil:
    cdef Pending *pending = target.pending
    cdef ssize_t sent
    send_at_once(target, pending.end)
    while pending.start < pending.end:
        sent = side_send(
            target, pending.bytes + pending.start, pending.end - pending.start, 0)
        if sent > 0:
            pending.start += <uint32_t>sent
            target.activity_ms = mover.now_ms
            continue
        if sent < 0 and errno == EAGAIN:
            target.flags &= ~WRITABLE
        else:
            note_broken(mover, target)
        return
    drop_waiting(mover, target)


cdef inline void flush_pipe(Mover *mover, Side *target) noexcept nogil:
    cdef Pipe *pipe = target.pipe
    cdef ssize_t sent
    send_at_once(target, SCRATCH_BYTES)
    while pipe.filled != 0:
        sent = side_splice_out(target, pipe)
        if sent > 0:
            pipe.filled -= <uint32_t>sent
            target.activity_ms = mover.now_ms
            continue
        if sent < 0 and errno == EAGAIN:
            target.flags &= ~WRITABLE
        else:
            note_broken(mover, target)
        return


cdef inline bint flush_waiting(Mover *mover, Side *source, Side *target) noexcept nogil:
    """Send what waits; True when nothing waits any more and the target still takes bytes."""
    if not target.flags & WRITABLE:
        return False
    if target.pending != NULL:
        flush_pending(mover, target)
    else:
        flush_pipe(mover, target)
    if waiting(target) or target.flags & BROKEN:
        return False
    source.activity_ms = mover.now_ms  # it could not be read until now: its clock starts anew
    return True


cdef inline int64_t fill_scratch(Mover *mover, Side *source) noexcept nogil:
    """Receive until the scratch buffer is full or the source has nothing more for now."""
    cdef ssize_t received
    cdef size_t filled = 0
    while filled < SCRATCH_BYTES:
        received = side_receive(source, mover.scratch + filled, SCRATCH_BYTES - filled)
        if received > 0:
            filled += received
            if filled == SCRATCH_BYTES or source.flags & CONFIRM:
                continue
            source.flags &= ~READABLE
            break
        if received == 0:
            source.flags = (source.flags & ~(READABLE | CONFIRM)) | ENDED_READING
            break
        if errno == EAGAIN:
            source.flags &= ~(READABLE | CONFIRM)
        else:
            note_failed(source)
        break
    if filled != 0:
        source.bytes += filled
        source.activity_ms = mover.now_ms
    return filled


cdef inline int64_t copy_once(Mover *mover, Side *source, Side *target) noexcept nogil:
    """One scratch buffer at most from source to target; bytes moved.

    The last bytes before a FIN are sent with MSG_MORE: the shutdown or close that must follow at
    once carries them, in one segment. A reset would carry nothing.
    """
    cdef int64_t filled = fill_scratch(mover, source)
    if filled == 0:
        return 0
    if filled >= FULL_READ_BYTES:
        if source.full_reads < SPLICE_AFTER:
            source.full_reads += 1
    else:
        source.full_reads = 0
    send_bytes(
        mover, target, mover.scratch, filled,
        MSG_MORE if (source.flags & (ENDED_READING | FAILED)) == ENDED_READING and (
            not target.flags & RESETS) else 0)
    return filled


cdef inline int64_t splice_once(Mover *mover, Side *source, Side *target) noexcept nogil:
    """One pipe at most from source to target; bytes moved, -1: copy this time."""
    cdef ssize_t moved
    if target.pipe == NULL:
        target.pipe = pipe_take(mover.pipes)
        if target.pipe == NULL:
            source.full_reads = 0
            return -1
    moved = side_splice_in(source, target.pipe)
    if moved > 0:
        target.pipe.filled = <uint32_t>moved
        source.bytes += moved
        source.activity_ms = mover.now_ms
        mover.spliced += moved
        source.small_splices = source.small_splices + 1 if moved < SMALL_SPLICE_BYTES else 0
        if source.small_splices == SMALL_SPLICES_MAX:
            source.full_reads = source.small_splices = 0
        flush_pipe(mover, target)
        return moved
    if moved < 0 and errno == EAGAIN and not source.flags & CONFIRM:
        source.flags &= ~READABLE
        return 0
    if moved < 0 and errno in (EINVAL, ENOMEM, ENOSYS):  # no splicing here
        source.full_reads = 0
    elif moved < 0 and errno != EAGAIN:  # reported once: a recv() would read it as a FIN
        note_failed(source)
        return 0
    return -1


cdef inline void release_pipe(Mover *mover, Side *target) noexcept nogil:
    """Give an empty pipe back to the pool: directions own nothing while nothing moves."""
    if target.pipe != NULL and target.pipe.filled == 0:
        pipe_give(mover.pipes, target.pipe)
        target.pipe = NULL


cdef inline bint pump(Mover *mover, Side *source, Side *target, bint splicing) noexcept nogil:
    """Move what can be moved; True when the turn's share was used up and more may be there."""
    cdef int64_t budget = mover.share
    cdef int64_t moved
    while not target.flags & BROKEN:
        if waiting(target) and not flush_waiting(mover, source, target):
            return False
        if not source.flags & READABLE:
            break
        if budget <= 0:
            return True
        moved = -1
        if splicing and source.full_reads >= SPLICE_AFTER:
            moved = splice_once(mover, source, target)
        if moved < 0:
            release_pipe(mover, target)
            moved = copy_once(mover, source, target)
        budget -= moved
    release_pipe(mover, target)
    return False


cdef inline void acks_resume(Side *server) noexcept nogil:
    """Acknowledge a server's first bytes at once, and from now on as the kernel sees fit.

    A server that answers in two small writes, with Nagle's rule in force, sends the second when the
    first is acknowledged: it must not wait for a delayed one. A FIN is acknowledged in any case.
    """
    server.flags &= ~ACKS_LATE
    if not server.flags & FINISHED:
        side_quickack(server)
