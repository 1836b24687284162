# cython: language_level=3, boundscheck=False
"""How many lines of other workers' memory a worker looks at: the product's functions, counted.

Compiled with MILLRACE_LOADED, every load of shared memory tells where it is (shm/atomics.pxd). A
line counts when it is in the row of another worker; where a rate is limited or asked for, when it
is anywhere in the segment but in the worker's own row.
"""

from libc.stdint cimport uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free

from proxy.relay.admission.admission cimport (
    client_place_take, client_places_leave, limit_next, limit_total)
from proxy.relay.admission.ahead cimport ahead_trim, ahead_wanted
from proxy.relay.admission.setup cimport limit_bind, limit_frontend, limit_listener, limit_process
from proxy.relay.admission.stopped cimport limit_tell
from proxy.relay.state.counting cimport count_in_backend, count_opened
from proxy.relay.state.rule_types cimport ASKED_RATES
from proxy.relay.state.server_places cimport (
    gauge_begin, next_for_place, place_leave, place_try, ticket_publish, waiting_everywhere)
from proxy.relay.state.types cimport Backend, Engine, Frontend, Limit, Listener, Session
from proxy.rules.connection.fetch cimport session_rate
from shm.atomics cimport count
from shm.rows cimport ServerCounters
from shm.segment cimport (
    Segment, View, backend_counters, frontend_counters, server_counters, worker_counters)
from shm.sums cimport backend_sessions, frontend_sessions, process_sessions, server_sessions

cdef extern from *:
    """
    #define LINES_MAX 4096
    static struct { const char *from, *end, *own, *own_end; uint64_t lines[LINES_MAX]; int count; }
        looked;
    static void loaded(const void *word) {
        const char *at = word;
        uint64_t line = (uint64_t)at / 64;
        if (at < looked.from || at >= looked.end || (at >= looked.own && at < looked.own_end))
            return;
        for (int index = 0; index < looked.count; index++)
            if (looked.lines[index] == line)
                return;
        if (looked.count < LINES_MAX)
            looked.lines[looked.count++] = line;
    }
    static void look_begin(const char *from, uint64_t size, const char *own, uint64_t row) {
        looked.from = from;
        looked.end = from + size;
        looked.own = own;
        looked.own_end = own + row;
        looked.count = 0;
        millrace_loaded = loaded;
    }
    static int look_end(void) {
        millrace_loaded = 0;
        return looked.count;
    }
    """
    void look_begin(const char *start, uint64_t size, const char *own, uint64_t row) nogil
    int look_end() nogil

cdef enum:
    TAG = 7
    DESCRIPTORS = 1_000_000


cdef class Worker:
    """One worker of a segment with a frontend, a bind address, a backend and servers."""

    cdef Segment segment
    cdef Engine *engine
    cdef Frontend frontend
    cdef Backend backend
    cdef Listener listener
    cdef Limit bind
    cdef Session session

    def __cinit__(self, Segment segment, uint32_t worker, uint64_t maxconn, uint64_t rate=0):
        self.segment = segment
        self.engine = <Engine *>calloc(1, sizeof(Engine))
        self.engine.view = segment.view
        self.engine.worker = worker
        self.engine.workers = segment.view.header.workers
        self.engine.counters = worker_counters(&segment.view, worker)
        self.engine.now_ms = 1_000_000
        self.engine.binds = &self.bind
        self.frontend.counters = frontend_counters(&segment.view, worker, 0)
        self.listener.frontend = &self.frontend
        limit_process(self.engine, DESCRIPTORS, maxconn, rate)
        limit_frontend(self.engine, &self.frontend, maxconn, rate)
        limit_bind(self.engine, 0, maxconn)
        limit_listener(self.engine, &self.listener)
        gauge_begin(&segment.view, worker, 0)
        self.backend.counters = backend_counters(&segment.view, worker, 0)
        self.backend.shared = &segment.view.backends[0]
        self.session.listener = &self.listener
        self.session.backend = &self.backend
        self.engine.judge.asks = ASKED_RATES

    def __dealloc__(self):
        free(self.engine)

    cdef void begin(self):
        cdef uint64_t row = self.engine.view.header.row_bytes
        look_begin(
            self.engine.view.rows, row * self.engine.workers,
            <const char *>self.engine.counters, row)

    cdef void begin_anywhere(self):
        look_begin(
            <const char *>self.engine.view.header, self.engine.view.header.size,
            <const char *>self.engine.counters, self.engine.view.header.row_bytes)

    def accept(self):
        """Whether a client is accepted, and how many lines that has taken."""
        self.begin()
        taken = client_place_take(self.engine, &self.listener) == NULL
        return taken, look_end()

    def pass_one(self):
        """The same with all lines of the segment."""
        self.begin_anywhere()
        taken = client_place_take(self.engine, &self.listener) == NULL
        return taken, look_end()

    def ask(self, bint of_frontend):
        """The rate that a rule asks for, and how many lines that has taken."""
        cdef const View *view = &self.engine.view
        self.begin_anywhere()
        found = session_rate(view, 0, of_frontend, self.engine.now_ms)
        return found, look_end()

    def come(self):
        """A session comes to frontend and backend, counted as for such rules: how many lines."""
        self.begin_anywhere()
        count_opened(self.engine, &self.session)
        count_in_backend(self.engine, &self.session)
        return look_end()

    def end(self):
        """A session ends, and the turn with it: how many lines that has taken."""
        cdef Limit *limit
        self.begin()
        client_places_leave(self.engine, &self.listener)
        limit = self.engine.freed
        self.engine.freed = NULL
        while limit != NULL:
            limit.freed = False
            ahead_trim(self.engine, limit)
            ahead_wanted(self.engine, limit)
            limit_tell(self.engine, limit)
            limit = limit.next_freed
        return look_end()

    def connect(self, uint64_t limit):
        """A place at the server is taken: how many lines, but for those of its cells."""
        self.begin()
        next_for_place(&self.engine.view, 0, 0, self.engine.now_ms)
        place_try(&self.engine.view, self.engine.worker, 0, TAG, limit)
        return look_end()

    def leave(self):
        """The place is given back, and the next that waits is sought."""
        self.begin()
        place_leave(&self.engine.view, self.engine.worker, 0, TAG)
        next_for_place(&self.engine.view, 0, 0, self.engine.now_ms)
        return look_end()

    def wait(self, bint at_server):
        """A session waits for the server, or for any of the backend, as queue.pxd has it."""
        cdef View *view = &self.engine.view
        cdef ServerCounters *server = server_counters(view, self.engine.worker, 0)
        if at_server:
            count(&server.queued, 1)
            ticket_publish(
                &view.servers_shared[0].waited, &server.queue_ticket, self.engine.worker, 1)
        else:
            count(&self.backend.counters.queued, 1)
            ticket_publish(
                &self.backend.shared.waited, &self.backend.counters.queue_ticket,
                self.engine.worker, 1)

    def waiting(self, bint at_server):
        """How many sessions wait, and how many lines that has taken."""
        self.begin()
        found = waiting_everywhere(&self.engine.view, 0, 0, at_server)
        return found, look_end()

    def tell(self):
        """The sums that a line of `option tcplog` has: how many lines, and what they are."""
        cdef const View *view = &self.engine.view
        cdef uint32_t worker = self.engine.worker
        self.begin()
        sums = (
            process_sessions(view, worker, self.engine.now_ms),
            frontend_sessions(view, 0, worker, self.engine.now_ms),
            backend_sessions(view, 0, worker, self.engine.now_ms),
            server_sessions(view, 0, worker, self.engine.now_ms))
        return look_end(), sums

    def pass_ms(self, int passed):
        self.engine.now_ms += passed

    def total(self):
        """What counts against the global limit."""
        return limit_total(self.engine, &self.engine.places)
