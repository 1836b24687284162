# How much a backend and its servers have to do, and could do yet (manual section 7.3.2).
#
# Reads the segment. What is said of a server looks at each worker once, what is said of a backend
# at each of its servers: as in HAProxy, nothing but a walk knows the limits of those that are up.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.rules.state cimport (
    backend_queue, backend_sessions, server_queue, server_sessions, usable_servers)
from proxy.rules.types cimport Facts
from shm.atomics cimport load_relaxed
from shm.eligibility cimport WARM_STEPS, ServerView, server_view, warmth, whole_weight
from shm.limits cimport dynamic_limit
from shm.segment cimport View, bind_counters

cdef enum:
    WITHOUT_LIMIT = -1  # instead of a number of free places


cdef inline int64_t average_queue(
        const View *view, uint32_t backend, bint all_backups) noexcept nogil:
    """Sessions in queues for each server, rounded up; without a server, twice their number."""
    cdef int64_t queued = backend_queue(view, backend)
    cdef int64_t servers = usable_servers(view, backend, all_backups)
    return 2 * queued if servers == 0 else (queued + servers - 1) // servers


cdef inline int64_t places_left(
        const View *view, const Facts *facts, uint32_t slot,
        const ServerView *server) noexcept nogil:
    """Sessions that a server with a limit could have besides those that it has."""
    cdef uint32_t backend = view.statics[slot].backend
    cdef uint64_t limit = server.maxconn
    if facts.minconns[slot] != 0:
        limit = dynamic_limit(
            server.maxconn, facts.minconns[slot], facts.fullconns[backend],
            <uint64_t>backend_sessions(view, backend))
    return max(<int64_t>limit - server_sessions(view, slot), <int64_t>0)


cdef inline int64_t server_free(
        const View *view, const Facts *facts, uint32_t slot) noexcept nogil:
    """Sessions that a server could have yet; -1 for one without a limit."""
    cdef ServerView server
    if not server_view(view, slot, &server) or server.maxconn == 0:
        return WITHOUT_LIMIT
    return places_left(view, facts, slot, &server)


cdef inline int64_t backend_free(
        const View *view, const Facts *facts, uint32_t backend,
        bint all_backups) noexcept nogil:
    """Sessions that the servers in use could have yet; -1 where one of them has no limit."""
    cdef ServerView server
    cdef uint32_t first = view.backends[backend].first_slot, at
    cdef int64_t active = 0, spare = 0, left
    cdef bint has_active = False, has_spare = False
    for at in range(view.backends[backend].slots):
        if not server_view(view, first + at, &server) or not server.eligible:
            continue
        left = WITHOUT_LIMIT
        if server.maxconn != 0:
            left = places_left(view, facts, first + at, &server)
        if not server.backup:
            has_active = True
            active = WITHOUT_LIMIT if left < 0 or active < 0 else active + left
        elif all_backups or not has_spare:
            has_spare = True
            spare = WITHOUT_LIMIT if left < 0 or spare < 0 else spare + left
    return active if has_active else spare


cdef inline int64_t free_slots(
        const View *view, const Facts *facts, uint32_t backend) noexcept nogil:
    """Places at servers and in their queues that are free; -1 where one of both has no limit."""
    cdef ServerView server
    cdef uint32_t first = view.backends[backend].first_slot, slot
    cdef int64_t found = 0
    for slot in range(first, first + view.backends[backend].slots):
        if not server_view(view, slot, &server) or server.maint or server.operational == 0:
            continue
        if server.maxconn == 0 or facts.maxqueues[slot] == 0:
            return WITHOUT_LIMIT
        found += <int64_t>server.maxconn - server_sessions(view, slot)
        found += <int64_t>facts.maxqueues[slot] - server_queue(view, slot)
    return found


cdef inline int64_t server_weight(
        const View *view, uint32_t slot, int64_t now_ms) noexcept nogil:
    """The weight that a server has now: while it warms up a part of the visible one."""
    cdef ServerView server
    cdef uint32_t warm
    if not server_view(view, slot, &server):
        return 0
    warm = warmth(server.warm_from_ms, view.statics[slot].slowstart_ms, now_ms)
    if server.drain:
        return 0
    return <int64_t>whole_weight(<uint64_t>server.weight * warm)


cdef inline int64_t visible_weight(const View *view, uint32_t slot) noexcept nogil:
    cdef ServerView server
    return server.weight if server_view(view, slot, &server) else 0


cdef inline int64_t bind_sessions(const View *view, uint32_t bind) noexcept nogil:
    cdef uint32_t row
    cdef int64_t count = 0
    for row in range(view.header.workers):
        count += <int64_t>load_relaxed(&bind_counters(view, row, bind).sessions)
    return count
