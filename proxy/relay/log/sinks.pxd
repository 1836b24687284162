# Finished lines on their way out: kept in a sink's buffer, sent in batches, never waited for.
#
# A sink takes lines until its buffer is full; what comes then is lost, and counted. It is emptied
# at the end of a turn of the loop: at once if the last time is long ago, else when LOG_FLUSH_MS
# have passed or LOG_BATCH lines wait. A receiver that takes nothing is tried again after
# LOG_RETRY_MS.
#
# A datagram is gone when the kernel took it. One without a receiver is known where the kernel
# says so with the next one (ECONNREFUSED). A Unix socket whose server went away is connected again
# by its path.

from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, EPERM, errno
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memmove, memset

from proxy.relay.state.log_types cimport (
    LOG_BATCH, LOG_BATCHES, LOG_BUFFER_BYTES, LOG_FLUSH_MS, LOG_LINES_MAX, LOG_PIPE_BYTES,
    LOG_RETRY_MS, SINK_DATAGRAM, SINK_STREAM, Log, LogSink)
from proxy.relay.state.syscalls cimport (
    AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, connect, iovec, mmsghdr, send, sendmmsg, sockaddr, write)
from shm.atomics cimport count
from shm.rows cimport WorkerCounters


cdef inline void sink_compact(LogSink *sink) noexcept nogil:
    """Move what was not sent to the front of the buffer."""
    cdef uint32_t index
    if sink.first == 0:
        return
    sink.lines -= sink.first
    if sink.lines != 0:
        index = sink.first + sink.lines - 1
        memmove(sink.bytes, sink.bytes + sink.start, sink.ends[index] - sink.start)
        for index in range(sink.lines):
            sink.ends[index] = sink.ends[index + sink.first] - sink.start
    sink.first = 0
    sink.start = 0


cdef inline uint32_t sink_used(const LogSink *sink) noexcept nogil:
    return sink.ends[sink.lines - 1] if sink.lines != 0 else 0


cdef inline char *sink_room(LogSink *sink, uint32_t wanted) noexcept nogil:
    """Where a line of so many bytes may be written; NULL when the buffer is full."""
    if sink.lines == LOG_LINES_MAX or sink_used(sink) + wanted > LOG_BUFFER_BYTES:
        sink_compact(sink)
        if sink.lines == LOG_LINES_MAX or sink_used(sink) + wanted > LOG_BUFFER_BYTES:
            return NULL
    return sink.bytes + sink_used(sink)


cdef inline void sink_keep(LogSink *sink, uint32_t length) noexcept nogil:
    """A line of so many bytes was written there."""
    cdef uint32_t end = sink_used(sink) + length
    sink.ends[sink.lines] = end
    sink.lines += 1


cdef inline void sink_sent(LogSink *sink, uint32_t lines) noexcept nogil:
    sink.first += lines
    sink.start = sink.ends[sink.first - 1]


cdef inline int send_datagrams(LogSink *sink, WorkerCounters *counters) noexcept nogil:
    """Send one batch, each line as a datagram; how many went, -1 with errno.

    The kernel keeps an error to itself when it ends a batch in which something went before. If the
    next batch goes at once, it was a datagram that came back: one line is lost.
    """
    cdef mmsghdr messages[LOG_BATCH]
    cdef iovec parts[LOG_BATCH]
    cdef uint32_t number = min(sink.lines - sink.first, <uint32_t>LOG_BATCH)
    cdef uint32_t start = sink.start
    cdef uint32_t index
    cdef int sent
    memset(messages, 0, number * sizeof(mmsghdr))
    for index in range(number):
        parts[index].iov_base = sink.bytes + start
        parts[index].iov_len = sink.ends[sink.first + index] - start
        start = sink.ends[sink.first + index]
        messages[index].msg_hdr.msg_iov = &parts[index]
        messages[index].msg_hdr.msg_iovlen = 1
    sent = sendmmsg(sink.fd, messages, number, MSG_DONTWAIT | MSG_NOSIGNAL)
    if sent > 0 and sink.refused and sink.address.ss_family != AF_UNIX:
        count(&counters.log_overflows, 1)
    sink.refused = 0 < sent < <int>number
    return sent


cdef inline bint write_lines(LogSink *sink) noexcept nogil:
    """Write as many lines as a pipe takes whole, or a part of a long one; False when it took none.

    Nothing here may block: what could is behind a socket and a thread (proxy/log_thread.pyx).
    """
    cdef uint32_t last = sink.first
    cdef size_t length
    cdef ssize_t written
    while last + 1 < sink.lines and sink.ends[last + 1] - sink.start <= LOG_PIPE_BYTES:
        last += 1
    length = min(sink.ends[last] - sink.start, <uint32_t>LOG_PIPE_BYTES)
    if sink.kind == SINK_STREAM:
        written = send(sink.fd, sink.bytes + sink.start, length, MSG_DONTWAIT | MSG_NOSIGNAL)
    else:
        written = write(sink.fd, sink.bytes + sink.start, length)
    if written < 0:
        return False
    sink.start += <uint32_t>written
    while sink.first != sink.lines and sink.ends[sink.first] <= sink.start:
        sink.first += 1
    return True


cdef inline bint sink_connect(LogSink *sink) noexcept nogil:
    return sink.address_length != 0 and (
        connect(sink.fd, <sockaddr *>&sink.address, sink.address_length) == 0)


cdef inline bint send_some(LogSink *sink, WorkerCounters *counters, bint again) noexcept nogil:
    """One system call's worth; False when it is better to wait. `again`: the last call failed."""
    cdef int sent, error
    if sink.kind != SINK_DATAGRAM:
        return write_lines(sink)
    sent = send_datagrams(sink, counters)
    if sent > 0:
        sink_sent(sink, sent)
        return True
    error = errno
    if error == EINTR:
        return True
    if error in (EAGAIN, ENOBUFS, ENOMEM):
        return False
    if error in (EMSGSIZE, EPERM):  # will never go
        count(&counters.log_overflows, 1)
        sink_sent(sink, 1)
        return True
    if error == ECONNREFUSED and sink.address.ss_family != AF_UNIX:  # one sent before
        count(&counters.log_overflows, 1)
        return not again
    return not again and sink_connect(sink)


cdef inline void sink_flush(LogSink *sink, WorkerCounters *counters, int64_t now_ms) noexcept nogil:
    """Send what waits, as far as the receiver takes it."""
    cdef int calls = 0
    cdef uint32_t before
    cdef bint again = False
    sink.next_ms = now_ms + LOG_FLUSH_MS
    while sink.first != sink.lines and calls < 2 * LOG_BATCHES:
        before = sink.start
        if not send_some(sink, counters, again):
            sink.next_ms = now_ms + LOG_RETRY_MS
            return
        again = sink.start == before
        calls += 1
    if sink.refused:
        sink.next_ms = now_ms + LOG_RETRY_MS
    if sink.first == sink.lines:
        sink.first = 0
        sink.lines = 0
        sink.start = 0


cdef inline bint sink_due(const LogSink *sink, int64_t now_ms) noexcept nogil:
    """Whether it is time to send: at once after a pause, or a batch is full, or it has waited."""
    if now_ms >= sink.next_ms:
        return True
    return sink.next_ms - now_ms <= LOG_FLUSH_MS and sink.lines - sink.first >= LOG_BATCH


cdef inline void log_flush(Log *log, WorkerCounters *counters, int64_t now_ms) noexcept nogil:
    """Send what is due from each sink."""
    cdef LogSink *sink
    cdef uint32_t index
    log.waiting = False
    for index in range(log.sink_count):
        sink = &log.sinks[index]
        if sink.lines != 0 and sink_due(sink, now_ms):
            sink_flush(sink, counters, now_ms)
        log.waiting = log.waiting or sink.lines != 0


cdef inline int64_t log_next_ms(const Log *log) noexcept nogil:
    """When lines that wait have to be looked at; only where some do."""
    cdef int64_t earliest = 0
    cdef uint32_t index
    for index in range(log.sink_count):
        if log.sinks[index].lines != 0 and (
                earliest == 0 or log.sinks[index].next_ms < earliest):
            earliest = log.sinks[index].next_ms
    return earliest


cdef inline void log_end(Log *log, WorkerCounters *counters, int64_t now_ms) noexcept nogil:
    """The relay ends: send what still can be sent, count the rest as lost."""
    cdef LogSink *sink
    cdef uint32_t index, before
    for index in range(log.sink_count):
        sink = &log.sinks[index]
        while sink.lines != 0:
            before = sink.start
            sink_flush(sink, counters, now_ms)
            if sink.lines != 0 and sink.start == before:
                count(&counters.log_overflows, sink.lines - sink.first)
                sink.lines = 0
