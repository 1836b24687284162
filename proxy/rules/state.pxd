# Samples of the shared state: servers that can be used, sessions, queues (manual section 7.3.2).
#
# Reads the segment only. `nbsrv` looks at each server of a backend, the others at each worker.

from libc.stdint cimport int64_t, uint32_t

from shm.atomics cimport load_relaxed
from shm.eligibility cimport ServerView, server_view
from shm.segment cimport (
    View, backend_counters, frontend_counters, server_counters, worker_counters)


cdef inline int64_t usable_servers(
        const View *view, uint32_t backend, bint all_backups) noexcept nogil:
    """Servers that take sessions: the active ones, without any the backups in use."""
    cdef ServerView server
    cdef uint32_t first = view.backends[backend].first_slot, at
    cdef int64_t active = 0, backups = 0
    for at in range(view.backends[backend].slots):
        if server_view(view, first + at, &server) and server.eligible:
            if server.backup:
                backups += 1
            else:
                active += 1
    if active:
        return active
    return backups if all_backups else min(backups, <int64_t>1)


cdef inline bint server_is_up(const View *view, uint32_t slot) noexcept nogil:
    """Whether a server may have sessions: not in maintenance, and not found to be down."""
    cdef ServerView server
    return server_view(view, slot, &server) and not server.maint and server.operational != 0


cdef inline int64_t server_sessions(const View *view, uint32_t slot) noexcept nogil:
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&server_counters(view, row, slot).sessions)
    return count


cdef inline int64_t backend_sessions(const View *view, uint32_t backend) noexcept nogil:
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&backend_counters(view, row, backend).sessions)
    return count


cdef inline int64_t process_sessions(const View *view) noexcept nogil:
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&worker_counters(view, row).sessions)
    return count


cdef inline int64_t frontend_sessions(const View *view, uint32_t frontend) noexcept nogil:
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&frontend_counters(view, row, frontend).sessions)
    return count


cdef inline int64_t server_queue(const View *view, uint32_t slot) noexcept nogil:
    """Sessions that wait for a place at one server."""
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&server_counters(view, row, slot).queued)
    return count


cdef inline int64_t backend_waiting(const View *view, uint32_t backend) noexcept nogil:
    """Sessions that wait for a place at any server of a backend."""
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&backend_counters(view, row, backend).queued)
    return count


cdef inline int64_t backend_queue(const View *view, uint32_t backend) noexcept nogil:
    """Sessions that wait for a place, at any server or at one."""
    cdef uint32_t at, first = view.backends[backend].first_slot
    cdef int64_t count = backend_waiting(view, backend)
    for at in range(view.backends[backend].slots):
        count += server_queue(view, first + at)
    return count
