"""The relay as Python sees it: built from the runtime, run without the GIL, told of new schedules.

Owns one relay thread's engine (state/types.pxd), which filling.pyx fills from the settings. The
loop itself is loop.pxd; what a session does is session/session.pxd and session/attempt.pxd. Knows
no DNS, no HTTP, no log.

Threads: `run` belongs to the relay thread, `rebuild` to the worker's main thread. They meet in one
pointer per backend, exchanged atomically: the thread that takes a schedule out of it owns it. Names
that servers get later go the same way (changes/renames.pyx).
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from proxy.lists.changing.area cimport ListArea
from proxy.relay.balance.schedule cimport schedule_build, schedule_free
from proxy.relay.changes.renames cimport Renames
from proxy.relay.filling cimport built_aside, configured_weight, engine_fill, engine_free
from proxy.relay.log.compile cimport AccessLogs
from proxy.relay.loop cimport engine_run
from proxy.relay.rules.compile cimport Rulesets
from proxy.relay.server_filling cimport asked_of_clients, server_fill
from proxy.relay.state.log_types cimport LogName
from proxy.relay.state.server_types cimport Schedule
from proxy.relay.state.types cimport TERMINATIONS, Backend, Engine, Session
from proxy.rules.types cimport NameFacts
from shm.announce cimport announce
from shm.atomics cimport exchange_pointer, store_relaxed
from shm.segment cimport Segment

from proxy.capacity import capacity_of
from proxy.relay.state.termination import Termination
from shm.members import empty_backend_row, empty_row
from shm.tables.shape import server_hash

SESSION_BYTES = sizeof(Session)
assert len(Termination) == TERMINATIONS, "state/termination.py and state/types.pxd disagree"


cdef class Relay:
    """One worker's relay: accepts on its sockets, forwards, counts.

    Raises OSError when the kernel gives no epoll set, MemoryError without memory, IndexError for a
    worker that does not exist.
    """

    cdef Engine engine
    cdef Segment segment
    cdef AccessLogs access_logs
    cdef Rulesets rulesets
    cdef Renames renames
    cdef readonly object runtime
    cdef readonly object capacity  # by the limit on descriptors of this process
    cdef readonly bint running  # between the first turn of `run` and its return

    def __cinit__(self, runtime, uint32_t worker):
        memset(&self.engine, 0, sizeof(self.engine))
        self.engine.epoll = -1

    def __init__(self, runtime, uint32_t worker):
        self.runtime = runtime
        self.capacity = capacity_of(runtime)
        self.segment = runtime.segment
        if worker >= runtime.workers:
            raise IndexError(f"worker {worker} of {runtime.workers}")
        if runtime.lists is not None:
            self.follow_lists(runtime.lists, worker)
        self.access_logs = AccessLogs(runtime)
        self.rulesets = Rulesets(
            self.segment, worker, runtime.settings, runtime.servers, runtime.every_list)
        self.renames = Renames()
        self.renames.engine = &self.engine
        engine_fill(
            &self.engine, self.segment, runtime, self.capacity, self.access_logs, self.rulesets,
            worker)

    cdef int follow_lists(self, ListArea lists, uint32_t worker) except -1:
        """Look up in lists that change: memory that they no more have is kept until then."""
        lists.join(2 * worker)
        self.engine.lists_epoch = lists.epoch
        self.engine.lists_seen = &lists.seen[2 * worker]
        return 0

    @property
    def sweep_ms(self) -> int:
        """Between two looks for places that no bell tells of; set it before `run`."""
        return self.engine.sweep_ms

    @sweep_ms.setter
    def sweep_ms(self, int64_t value):
        self.engine.sweep_ms = value

    def run(self) -> None:
        """Serve until the process record says stop; a soft stop waits for the last session.

        Call it in a thread of its own with all signals blocked. Raises OSError when epoll fails.
        """
        cdef int error
        self.running = True
        try:
            with nogil:
                error = engine_run(&self.engine)
        finally:
            self.running = False
        if error != 0:
            raise OSError(error, "epoll")

    def rebuild(self, uint32_t backend) -> None:
        """Build the schedule of a large backend anew and hand it to the relay thread.

        Call it when the backend's generation has changed. It does nothing where turns are not laid
        out, nor for small backends: the relay builds theirs at the next pick. Raises MemoryError,
        or IndexError for no such backend.
        """
        cdef Backend *target
        cdef Schedule *built
        if backend >= self.engine.backend_count:
            raise IndexError(f"backend {backend} of {self.engine.backend_count}")
        target = &self.engine.backends[backend]
        if not target.aside:
            return
        with nogil:
            built = schedule_build(&self.engine.view, backend, target.kind, target.allbackups)
            if built != NULL:
                schedule_free(<Schedule *>exchange_pointer(&target.delivered, built))
        if built == NULL:
            raise MemoryError(f"schedule of backend {backend}")

    def add(self, server) -> None:
        """Take up a server that was added to the table, or has come into an empty slot.

        From now on it gets sessions, as soon as its records let it. Raises MemoryError.
        """
        cdef Backend *backend = &self.engine.backends[<uint32_t>server.backend_index]
        proxy = self.runtime.servers.backends[server.backend_index]
        self.access_logs.set_server(server)
        if self.rulesets.facts is not None:
            self.rulesets.facts.set_server(server)
        server_fill(&self.engine, proxy, server, self.runtime.bells)
        self.engine.judge.asks |= asked_of_clients(server)
        if server.stopping.ends_sessions:
            backend.ends_sessions = True
        if built_aside(backend, proxy, self.runtime.servers.of(proxy)):
            backend.aside = True
        self.weigh(backend, proxy)
        announce(self.segment, server.slot)

    cdef int weigh(self, Backend *backend, proxy) except -1:
        """Other servers: their weights say to which scale a ring has nodes."""
        if backend.rota != NULL and backend.rota.rings != NULL:
            store_relaxed(
                &backend.rota.ring_weight, configured_weight(self.runtime.servers.of(proxy)))
        return 0

    def rename(self, server) -> None:
        """A server has another name: the relay thread takes it up before its next turn.

        Raises MemoryError.
        """
        cdef size_t slot = server.slot
        cdef LogName *logged = NULL
        cdef NameFacts *ruled = NULL
        if self.access_logs.log.servers != NULL:
            logged = &self.access_logs.log.servers[slot]
        if self.rulesets.facts is not None:
            ruled = self.rulesets.facts.server(slot)
        self.renames.give(
            server.slot, server.name.encode(), server_hash(server.name), logged, ruled)
        announce(self.segment, server.slot)

    def name_backend(self, proxy) -> None:
        """A spare backend has got a name: lines of the log have it."""
        self.access_logs.set_backend(proxy)

    def empty_backend(self, uint32_t backend) -> bool:
        """Forget what was counted of a deleted backend; False while a session is there.

        Raises IndexError for no such backend.
        """
        return empty_backend_row(self.segment, self.engine.worker, backend)

    def remove(self, uint32_t slot) -> None:
        """The server of the slot was deleted: no entry of a stick table names it any more."""
        cdef uint32_t backend = self.segment.view.statics[slot].backend
        self.engine.sticky[slot].name = 0
        self.engine.sticky[slot].number = 0
        self.weigh(&self.engine.backends[backend], self.runtime.servers.backends[backend])

    def empty(self, uint32_t slot) -> bool:
        """Forget what was counted of a deleted server; False while a session is there.

        Raises IndexError for no such slot.
        """
        return empty_row(self.segment, self.engine.worker, slot)

    def __dealloc__(self):
        engine_free(&self.engine)
