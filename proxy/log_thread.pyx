"""Writes lines of logs to descriptors that may block, each in a thread that takes no GIL meanwhile.

Owns these threads and the sockets before them. O_NONBLOCK means nothing to a file: a write waits
for the disk, and without end while the filesystem is frozen; ext4 and tmpfs refuse RWF_NOWAIT for
writes (EOPNOTSUPP). A pipe of another user cannot be opened anew. So the lines go as records
through a socket, which refuses at once what it has no room for, and a thread of the process that
opened it writes them: no process that only inherits the socket waits for what is behind it.

A thread ends when the last sender is closed and all records are written. Knows nothing of lines.
"""

import os
import signal
import socket
import threading
import time
from contextlib import suppress

from libc.errno cimport EAGAIN, EINTR, errno
from posix.unistd cimport write

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void *bytes, size_t length, int flags)

cdef extern from "<poll.h>" nogil:
    const short POLLOUT, POLLRDHUP
    cdef struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *descriptors, unsigned long count, int timeout_ms)

cdef enum:
    RECORD_BYTES = 4096  # PIPE_BUF: what a pipe takes whole; no sender sends more at once
    RETRY_MS = 100  # after an error, as on a full disk

QUEUE_BYTES = 1 << 20  # of records that wait; the kernel gives less (net.core.wmem_max)


cdef bint ready_within(int fd, short events, int limit_ms) noexcept nogil:
    cdef pollfd asked
    asked.fd = fd
    asked.events = events
    asked.revents = 0
    return poll(&asked, 1, limit_ms) > 0


cdef void write_record(int source, int target, const char *record, size_t length) noexcept nogil:
    """Write all of it. What the target refuses is tried again until no sender is left."""
    cdef size_t done = 0
    cdef ssize_t written
    while done < length:
        written = write(target, record + done, length - done)
        if written >= 0:
            done += written
        elif errno == EAGAIN:  # a full pipe that was given as a non-blocking one
            ready_within(target, POLLOUT, RETRY_MS)
        elif errno != EINTR and ready_within(source, POLLRDHUP, RETRY_MS):
            return


cdef void copy_records(int source, int target) noexcept nogil:
    cdef char record[RECORD_BYTES]
    cdef ssize_t length
    while True:
        length = recv(source, record, RECORD_BYTES, 0)
        if length > 0:
            write_record(source, target, record, length)
        elif length == 0 or errno != EINTR:
            return


class LogThread(threading.Thread):
    """The thread of one target; a daemon, because a write may never return."""

    def __init__(self, receiver, target) -> None:
        """Both descriptors belong to the thread from its start on."""
        super().__init__(name="log", daemon=True)
        self._receiver = receiver
        self._target = target

    def run(self) -> None:
        """Write until there is no sender; signals are the other threads' matter."""
        cdef int source = self._receiver.fileno()
        cdef int target = self._target
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with nogil:
            copy_records(source, target)
        self._receiver.close()
        os.close(target)

    def finish(self) -> None:
        """Take no more records; those that wait are written."""
        with suppress(OSError):
            self._receiver.shutdown(socket.SHUT_RD)


def start_log_thread(descriptor: int) -> int:
    """A socket that takes records of at most PIPE_BUF bytes, and never blocks, for `descriptor`.

    Raises OSError when descriptors run out, RuntimeError without room for a thread.
    """
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    target = -1
    try:
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
        target = os.dup(descriptor)
        LogThread(receiver, target).start()
    except BaseException:
        sender.close()
        receiver.close()
        if target >= 0:
            os.close(target)
        raise
    return sender.detach()


def finish_log_threads(limit_seconds: float) -> None:
    """At the end of a process: wait until what was sent is written, but no longer than that."""
    deadline = time.monotonic() + limit_seconds
    threads = [thread for thread in threading.enumerate() if isinstance(thread, LogThread)]
    for thread in threads:
        thread.finish()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
