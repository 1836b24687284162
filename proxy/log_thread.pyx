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
    int MSG_DONTWAIT

cdef extern from "<poll.h>" nogil:
    const short POLLIN, POLLOUT, POLLRDHUP
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


cdef volatile bint pausing = False


cdef bint copy_records(int source, int target, int pause) noexcept nogil:
    """True at the end of all records; False once `pausing` is set, which `pause` tells."""
    cdef char record[RECORD_BYTES]
    cdef ssize_t length
    cdef pollfd asked[2]
    asked[0].fd = source
    asked[1].fd = pause
    asked[0].events = asked[1].events = POLLIN
    while True:
        length = recv(source, record, RECORD_BYTES, MSG_DONTWAIT)
        if length > 0:
            write_record(source, target, record, length)
        elif length == 0:
            return True
        elif errno == EAGAIN:
            poll(asked, 2, -1)
        elif errno != EINTR:
            return True
        if pausing:
            return False


_pause: list[int] = []  # an eventfd, readable where the threads of this process are to pause


class LogThread(threading.Thread):
    """The thread of one target; a daemon, because a write may never return."""

    def __init__(self, receiver, target) -> None:
        """Both descriptors belong to the thread from its start on."""
        super().__init__(name="log", daemon=True)
        self._receiver = receiver
        self._target = target
        self.is_paused = True  # what it has is there for another one

    def run(self) -> None:
        """Write until there is no sender; signals are the other threads' matter."""
        cdef int source = self._receiver.fileno()
        cdef int target = self._target
        cdef int pause = _pause[0]
        cdef bint over
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with nogil:
            over = copy_records(source, target, pause)
        if over:
            self.is_paused = False
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
        if not _pause:
            _pause.append(os.eventfd(0, os.EFD_CLOEXEC))
        LogThread(receiver, target).start()
    except BaseException:
        sender.close()
        receiver.close()
        if target >= 0:
            os.close(target)
        raise
    return sender.detach()


def living_log_threads() -> list[LogThread]:
    """Those of this process."""
    return [thread for thread in threading.enumerate() if isinstance(thread, LogThread)]


def pause_log_threads(limit_seconds: float) -> list[LogThread]:
    """Let them end between two records, so that a fork can go on: its `start_again` gets them.

    One that writes for longer than the limit is left to it.
    """
    global pausing
    threads = living_log_threads()
    if threads:
        pausing = True
        os.eventfd_write(_pause[0], 1)
    deadline = time.monotonic() + limit_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return threads


def start_again(threads: list[LogThread]) -> None:
    """One in the place of each that was paused, in this process or in a fork of it."""
    global pausing
    if threads:
        pausing = False
        _pause[:] = [os.eventfd(0, os.EFD_CLOEXEC)]
    for thread in threads:
        if thread.is_paused:
            LogThread(thread._receiver, thread._target).start()


def finish_log_threads(limit_seconds: float) -> None:
    """At the end of a process: wait until what was sent is written, but no longer than that."""
    deadline = time.monotonic() + limit_seconds
    threads = living_log_threads()
    for thread in threads:
        thread.finish()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
