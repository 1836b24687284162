# What is asked of the kernel for one side of a session: receive, send, splice, shut down, close.
#
# The only file that moves bytes between a side and its socket. An interrupted call is made again;
# what another error means is for the caller to judge, by errno. Knows no session and no policy:
# when bytes are read, and what follows from an end, is forward.pxd and the stages.

from libc.errno cimport EINTR, errno

from proxy.relay.state.pipes cimport PIPE_BYTES, Pipe
from proxy.relay.state.refusal cimport end_by_reset
from proxy.relay.state.syscalls cimport (
    IPPROTO_TCP, MSG_NOSIGNAL, MSG_PEEK, SHUT_WR, SOL_SOCKET, SO_ERROR, SPLICE_F_MOVE,
    SPLICE_F_NONBLOCK, TCP_NODELAY, TCP_QUICKACK, close, getsockopt, recv, send, setsockopt,
    shutdown, socklen_t, splice)
from proxy.relay.state.types cimport RESETS, Side


cdef inline ssize_t side_receive(const Side *side, char *bytes, size_t room) noexcept nogil:
    """Bytes received, 0 at the end of the stream, -1 with errno."""
    cdef ssize_t received
    while True:
        received = recv(side.fd, bytes, room, 0)
        if received >= 0 or errno != EINTR:
            return received


cdef inline bint side_at_end(const Side *side) noexcept nogil:
    """Whether the stream's end is the next that a receive would give."""
    cdef char byte
    cdef ssize_t received
    while True:
        received = recv(side.fd, &byte, 1, MSG_PEEK)
        if received >= 0 or errno != EINTR:
            return received == 0


cdef inline ssize_t side_send(
        const Side *side, const char *bytes, size_t length, int flags) noexcept nogil:
    """Bytes taken, -1 with errno; `flags` are MSG_MORE or none."""
    cdef ssize_t sent
    while True:
        sent = send(side.fd, bytes, length, MSG_NOSIGNAL | flags)
        if sent >= 0 or errno != EINTR:
            return sent


cdef inline ssize_t side_splice_in(const Side *side, const Pipe *pipe) noexcept nogil:
    """Bytes moved from the socket into an empty pipe, 0 at the end or an urgent mark, -1."""
    cdef ssize_t moved
    while True:
        moved = splice(
            side.fd, NULL, pipe.write_end, NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
        if moved >= 0 or errno != EINTR:
            return moved


cdef inline ssize_t side_splice_out(const Side *side, const Pipe *pipe) noexcept nogil:
    """Bytes moved from the pipe into the socket, -1 with errno."""
    cdef ssize_t moved
    while True:
        moved = splice(
            pipe.read_end, NULL, side.fd, NULL, pipe.filled, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
        if moved >= 0 or errno != EINTR:
            return moved


cdef inline void side_nodelay(const Side *side) noexcept nogil:
    """Let Nagle's rule hold nothing back."""
    cdef int one = 1
    setsockopt(side.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))


cdef inline void side_quickack(const Side *side) noexcept nogil:
    """Acknowledge at once what was received, and from now on as the kernel sees fit."""
    cdef int one = 1
    setsockopt(side.fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one))


cdef inline int side_error(const Side *side) noexcept nogil:
    """The pending error of the socket, which is taken with it; 0: none."""
    cdef int error = 0
    cdef socklen_t length = sizeof(error)
    getsockopt(side.fd, SOL_SOCKET, SO_ERROR, &error, &length)
    return error


cdef inline void side_shutdown(const Side *side) noexcept nogil:
    """Send a FIN behind what was sent."""
    shutdown(side.fd, SHUT_WR)


cdef inline void side_close(Side *side, bint reset) noexcept nogil:
    """Close the socket, with a RST instead of a FIN when `reset` or `option nolinger` is set."""
    if side.fd < 0:
        return
    if reset or side.flags & RESETS:
        end_by_reset(side.fd)
    close(side.fd)
    side.fd = -1
