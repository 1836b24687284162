"""Rates and recent averages of frontends, backends and servers, kept by one look a second.

What rates.py says of one total, in C and for all of them: a look costs one sum of a few words for
each frontend and backend, and only the servers of backends in which something happened are looked
at, SERVERS_LOOKED_MAX of them at the most, the others with the next look. A server's rate is then
over the longer time between its looks.

Control only. Maxima of gauges are noted on the way, where counters were cleared.
"""

from libc.math cimport rint
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from proxy.control.rows.cleared cimport KIND_BACKEND, KIND_FRONTEND, KIND_SERVER, KINDS, Cleared
from shm.atomics cimport load_relaxed
from shm.rows cimport BackendCounters, FrontendCounters, ServerCounters
from shm.segment cimport Segment, backend_counters, frontend_counters, server_counters

from proxy.control.rows.rates import AVERAGE_WINDOW, Reading

cdef enum:
    SERVERS_LOOKED_MAX = 5_000  # in one look: about 2 ms
    PASSES = 3  # over a backend's servers after a change: one may be half done, the last finds rest

cdef uint64_t WINDOW = AVERAGE_WINDOW

cdef struct Totals:
    uint64_t sessions
    uint64_t connections
    uint64_t connected
    uint64_t ended
    uint64_t connect_time_ms
    uint64_t queue_time_ms
    uint64_t total_time_ms

cdef struct Rate:
    uint64_t total
    int64_t looked_ms
    uint64_t current
    uint64_t highest

cdef struct Average:
    uint64_t total
    uint64_t count
    uint64_t began  # the count when it was cleared
    double mean

cdef struct Meter:
    Rate sessions
    Rate connections
    Average connect_time
    Average queue_time
    Average total_time


cdef void rate_look(Rate *rate, uint64_t total, int64_t since_ms, int64_t now) noexcept nogil:
    """Take the total of now; one that fell (a worker was replaced) counts as nothing."""
    cdef int64_t elapsed = now - max(rate.looked_ms, since_ms)
    cdef int64_t new = <int64_t>(total - rate.total)
    if elapsed <= 0:
        return
    rate.current = <uint64_t>rint(max(<int64_t>0, new) * 1000.0 / elapsed)
    rate.highest = max(rate.highest, rate.current)
    rate.total = total
    rate.looked_ms = now


cdef void average_look(Average *average, uint64_t total, uint64_t count) noexcept nogil:
    """Take sum and count of now."""
    cdef int64_t new = <int64_t>(count - average.count)
    cdef uint64_t known = min(count - average.began, WINDOW)
    cdef double weight
    if new > 0 and known > 0:
        weight = min(1.0, new / <double>known)
        average.mean += (
            (<int64_t>(total - average.total)) / <double>new - average.mean) * weight
    average.total = total
    average.count = count


cdef void average_begin(Average *average, uint64_t total, uint64_t count, bint anew) noexcept nogil:
    average.total = total
    average.count = count
    average.began = count if anew else 0
    average.mean = 0.0 if anew or count == 0 else total / <double>count


cdef void meter_begin(Meter *meter, const Totals *totals, int64_t now, bint anew) noexcept nogil:
    """Begin with these totals; `anew`: what was before them does not count."""
    meter.sessions = Rate(total=totals.sessions, looked_ms=now, current=0, highest=0)
    meter.connections = Rate(total=totals.connections, looked_ms=now, current=0, highest=0)
    average_begin(&meter.connect_time, totals.connect_time_ms, totals.connected, anew)
    average_begin(&meter.queue_time, totals.queue_time_ms, totals.connected, anew)
    average_begin(&meter.total_time, totals.total_time_ms, totals.ended, anew)


cdef class Meters:
    """The meters of one generation; `look` once a second."""

    cdef Segment segment
    cdef Cleared cleared
    cdef Meter *meters[KINDS]
    cdef uint8_t *passes  # by backend: those over its servers that are still to be made
    cdef int64_t *settled_ms  # by backend: when nothing had happened in it since the last look
    cdef uint32_t next_backend  # whose servers come next
    cdef uint32_t next_slot  # the next of them
    cdef readonly uint64_t server_looks  # so far

    def __cinit__(self, Segment segment, Cleared cleared, int64_t now_ms):
        cdef int kind
        cdef uint32_t index
        cdef Totals totals
        self.segment = segment
        self.cleared = cleared
        self.passes = <uint8_t *>calloc(segment.view.header.backends + 1, sizeof(uint8_t))
        self.settled_ms = <int64_t *>calloc(segment.view.header.backends + 1, sizeof(int64_t))
        if self.passes == NULL or self.settled_ms == NULL:
            raise MemoryError("meters")
        for kind in range(KINDS):
            self.meters[kind] = <Meter *>calloc(self.count(kind) + 1, sizeof(Meter))
            if self.meters[kind] == NULL:
                raise MemoryError("meters")
            for index in range(self.count(kind)):
                self.sum(kind, index, &totals)
                meter_begin(&self.meters[kind][index], &totals, now_ms, False)

    def __dealloc__(self):
        cdef int kind
        for kind in range(KINDS):
            free(self.meters[kind])
        free(self.passes)
        free(self.settled_ms)

    cdef uint32_t count(self, int kind) noexcept nogil:
        if kind == KIND_FRONTEND:
            return self.segment.view.header.frontends
        if kind == KIND_BACKEND:
            return self.segment.view.header.backends
        return self.segment.view.header.slots

    def frontend(self, uint32_t index):
        """Rates of a frontend, as a `Reading`; raises IndexError."""
        return self.reading(KIND_FRONTEND, index)

    def backend(self, uint32_t index):
        """Rates and averages of a backend."""
        return self.reading(KIND_BACKEND, index)

    def server(self, uint32_t slot):
        """Rates and averages of a server."""
        return self.reading(KIND_SERVER, slot)

    cdef object reading(self, int kind, uint32_t index):
        if index >= self.count(kind):
            raise IndexError(f"number {index} of {self.count(kind)}")
        cdef Meter *meter = &self.meters[kind][index]
        return Reading(
            meter.sessions.current, meter.sessions.highest, meter.connections.current,
            meter.connections.highest, meter.queue_time.mean, meter.connect_time.mean,
            meter.total_time.mean)

    def look(self, int64_t now_ms) -> None:
        """Take the totals of now."""
        cdef uint32_t index
        with nogil:
            for index in range(self.count(KIND_FRONTEND)):
                self.look_at(KIND_FRONTEND, index, 0, now_ms)
            for index in range(self.count(KIND_BACKEND)):
                if self.look_at(KIND_BACKEND, index, 0, now_ms):
                    self.passes[index] = PASSES
                elif self.passes[index] == 0:
                    self.settled_ms[index] = now_ms
            self.look_at_servers(now_ms)

    cdef void look_at_servers(self, int64_t now_ms) noexcept nogil:
        """Look at the next servers of backends in which something happened, each once at most."""
        cdef uint32_t first, last, backend, looked = 0
        cdef uint32_t backends = self.count(KIND_BACKEND)
        for _ in range(backends):
            backend = self.next_backend
            if self.passes[backend] != 0:
                first = self.segment.view.backends[backend].first_slot
                last = first + self.segment.view.backends[backend].slots
                self.next_slot = max(self.next_slot, first)
                while self.next_slot < last:
                    if looked == SERVERS_LOOKED_MAX:
                        return
                    self.look_at(KIND_SERVER, self.next_slot, self.settled_ms[backend], now_ms)
                    self.server_looks += 1
                    self.next_slot += 1
                    looked += 1
                self.passes[backend] -= 1
            self.next_backend = backend + 1 if backend + 1 < backends else 0
            self.next_slot = 0

    cdef bint look_at(self, int kind, uint32_t index, int64_t since_ms, int64_t now) noexcept nogil:
        """Bring one meter up to date; whether anything happened since its last look.

        `since_ms`: nothing had happened by then.
        """
        cdef Totals totals
        cdef Meter *meter = &self.meters[kind][index]
        cdef bint happened
        self.sum(kind, index, &totals)
        happened = (
            totals.sessions != meter.sessions.total
            or totals.connections != meter.connections.total
            or totals.connected != meter.connect_time.count
            or totals.ended != meter.total_time.count)
        rate_look(&meter.sessions, totals.sessions, since_ms, now)
        rate_look(&meter.connections, totals.connections, since_ms, now)
        if happened:
            average_look(&meter.connect_time, totals.connect_time_ms, totals.connected)
            average_look(&meter.queue_time, totals.queue_time_ms, totals.connected)
            average_look(&meter.total_time, totals.total_time_ms, totals.ended)
        if self.cleared.used:
            self.cleared.see(kind, index)
        return happened

    cdef void sum(self, int kind, uint32_t index, Totals *totals) noexcept nogil:
        """Add up what the meters of one thing are made from."""
        cdef uint32_t row
        cdef FrontendCounters *frontend
        cdef BackendCounters *backend
        cdef ServerCounters *server
        totals[0] = Totals(0, 0, 0, 0, 0, 0, 0)
        for row in range(self.segment.view.header.workers + 1):
            if kind == KIND_FRONTEND:
                frontend = frontend_counters(&self.segment.view, row, index)
                totals.sessions += load_relaxed(&frontend.sessions_total)
                totals.connections += load_relaxed(&frontend.connections_total)
            elif kind == KIND_BACKEND:
                backend = backend_counters(&self.segment.view, row, index)
                totals.sessions += load_relaxed(&backend.sessions_total)
                totals.connected += load_relaxed(&backend.connected)
                totals.ended += load_relaxed(&backend.ended)
                totals.connect_time_ms += load_relaxed(&backend.connect_time_sum_ms)
                totals.queue_time_ms += load_relaxed(&backend.queue_time_sum_ms)
                totals.total_time_ms += load_relaxed(&backend.total_time_sum_ms)
            else:
                server = server_counters(&self.segment.view, row, index)
                totals.sessions += load_relaxed(&server.sessions_total)
                totals.connected += load_relaxed(&server.connected)
                totals.ended += load_relaxed(&server.ended)
                totals.connect_time_ms += load_relaxed(&server.connect_time_sum_ms)
                totals.queue_time_ms += load_relaxed(&server.queue_time_sum_ms)
                totals.total_time_ms += load_relaxed(&server.total_time_sum_ms)

    def clear(
            self, str kind, uint32_t first, uint32_t last, int64_t now_ms, *, bint totals) -> None:
        """Begin maxima of rates anew, and with `totals` averages, of first..last-1."""
        cdef int number = {"frontend": KIND_FRONTEND, "backend": KIND_BACKEND}.get(
            kind, KIND_SERVER)
        cdef uint32_t index
        cdef Totals now
        if first < last and last > self.count(number):
            raise IndexError(f"number {last - 1} of {self.count(number)}")
        for index in range(first, last):
            if totals:
                self.sum(number, index, &now)
                meter_begin(&self.meters[number][index], &now, now_ms, True)
            else:
                self.meters[number][index].sessions.highest = 0
                self.meters[number][index].connections.highest = 0
