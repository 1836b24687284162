"""The relay as Python sees it: built from the runtime, run without the GIL, told of new schedules.

Owns the memory of one relay thread (state/types.pxd) and fills it from the settings. The loop
itself is loop.pxd; what a session does is session/session.pxd and session/attempt.pxd. Knows no
DNS, no HTTP, no log.

Threads: `run` belongs to the relay thread, `rebuild` to the worker's main thread. They meet in one
pointer per backend, exchanged atomically: the thread that takes a schedule out of it owns it.
"""

from ipaddress import ip_address
import os
from socket import AF_UNIX
from sys import byteorder

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from proxy.relay.admission.setup cimport limit_bind, limit_frontend, limit_listener, limit_process
from proxy.relay.balance.least cimport blocks_of
from proxy.relay.balance.present cimport present_begin
from proxy.relay.balance.schedule cimport schedule_build, schedule_free
from proxy.relay.log.compile cimport AccessLogs
from proxy.relay.loop cimport engine_run
from proxy.relay.proxy_protocol.format cimport HEADER_NONE, HEADER_V1, HEADER_V2, HEADER_V2_CHECKSUM
from proxy.relay.state.pipes cimport pipes_close
from proxy.relay.state.pool cimport pool_init
from proxy.relay.state.syscalls cimport EPOLL_CLOEXEC, close, epoll_create1
from proxy.relay.state.types cimport (
    BALANCE_FIRST, BALANCE_LEASTCONN, BALANCE_RANDOM, BALANCE_ROUNDROBIN, BALANCE_SOURCE,
    BALANCE_STATIC, NO_SLOT, RETRIES_MAX, SCHEDULE_LOADS, SCHEDULE_MAP, SCHEDULE_ORDER,
    SCHEDULE_RING, SCHEDULE_TURNS, SCRATCH_BYTES, TERMINATIONS, Addresses, Backend, Engine,
    Frontend, LeastBlock, Limit, Listener, Outgoing, Schedule, ServerCache, ServerLimits, Session,
    Waiter)
from shm.atomics cimport exchange_pointer
from shm.segment cimport Segment, backend_counters, frontend_counters, worker_counters

from proxy.capacity import capacity_of
from proxy.config.model.settings import Balance, ProxyHeader
from proxy.relay.state.termination import Termination
from proxy.runtime import now_ms

BALANCES = {
    Balance.ROUNDROBIN: BALANCE_ROUNDROBIN, Balance.LEASTCONN: BALANCE_LEASTCONN,
    Balance.SOURCE: BALANCE_SOURCE, Balance.STATIC_RR: BALANCE_STATIC,
    Balance.FIRST: BALANCE_FIRST, Balance.RANDOM: BALANCE_RANDOM,
}
KINDS = {
    Balance.ROUNDROBIN: SCHEDULE_TURNS, Balance.LEASTCONN: SCHEDULE_LOADS,
    Balance.SOURCE: SCHEDULE_MAP, Balance.STATIC_RR: SCHEDULE_MAP,
    Balance.FIRST: SCHEDULE_ORDER, Balance.RANDOM: SCHEDULE_TURNS,
}
HEADERS = {
    ProxyHeader.NONE: HEADER_NONE,
    ProxyHeader.V1: HEADER_V1,
    ProxyHeader.V2: HEADER_V2,
    ProxyHeader.V2_CHECKSUM: HEADER_V2_CHECKSUM,
}
# Up to so many servers the relay builds a schedule itself: it takes less than 0.3 ms.
INLINE_SLOTS = {
    SCHEDULE_TURNS: 64,
    SCHEDULE_MAP: 16,  # up to 4,096 turns, each a look at all members
    SCHEDULE_RING: 4,  # up to 16,384 nodes
    SCHEDULE_LOADS: 64,
    SCHEDULE_ORDER: 64,
}
SESSION_BYTES = sizeof(Session)
assert len(Termination) == TERMINATIONS, "state/termination.py and state/types.pxd disagree"


cdef void *zeroed(size_t number, size_t size) except NULL:
    cdef void *found = calloc(max(number, <size_t>1), size)
    if found == NULL:
        raise MemoryError("relay")
    return found


cdef int64_t milliseconds(object value) except -1:
    """A time-out of the settings; 0 for none, as in the file."""
    return 0 if value is None else value


cdef class Relay:
    """One worker's relay: accepts on its sockets, forwards, counts.

    Raises OSError when the kernel gives no epoll set, MemoryError without memory, IndexError for a
    worker that does not exist.
    """

    cdef Engine engine
    cdef Segment segment
    cdef AccessLogs access_logs
    cdef readonly object runtime
    cdef readonly object capacity  # by the limit on descriptors of this process
    cdef readonly bint running  # between the first turn of `run` and its return
    cdef int *bells
    cdef int *worker_bells

    def __cinit__(self, runtime, uint32_t worker):
        memset(&self.engine, 0, sizeof(self.engine))
        self.engine.epoll = -1
        self.bells = NULL
        self.worker_bells = NULL

    def __init__(self, runtime, uint32_t worker):
        self.runtime = runtime
        self.capacity = capacity_of(runtime)
        self.segment = runtime.segment
        if worker >= runtime.workers:
            raise IndexError(f"worker {worker} of {runtime.workers}")
        self.engine.view = self.segment.view
        self.engine.worker = worker
        self.engine.workers = runtime.workers
        self.engine.random = int.from_bytes(os.urandom(8), "little") | 1
        self.engine.process = &self.segment.view.processes[worker]
        self.engine.counters = worker_counters(&self.engine.view, worker)
        self.engine.scratch = <char *>zeroed(SCRATCH_BYTES, 1)
        self.engine.asked_first = NO_SLOT
        self.engine.counting_first = NO_SLOT
        self.engine.servers = <ServerCache *>zeroed(
            self.segment.view.header.slots, sizeof(ServerCache))
        self.engine.limits = <ServerLimits *>zeroed(
            self.segment.view.header.slots, sizeof(ServerLimits))
        self.engine.outgoing = <Outgoing **>zeroed(
            self.segment.view.header.slots, sizeof(void *))
        self.engine.headers = <uint8_t *>zeroed(self.segment.view.header.slots, 1)
        pool_init(&self.engine.sessions, sizeof(Session))
        pool_init(&self.engine.addresses, sizeof(Addresses))
        pool_init(&self.engine.waiters, sizeof(Waiter))
        self.set_limits()
        self.set_bells()
        self.set_backends()
        self.access_logs = AccessLogs(runtime)
        self.engine.log = &self.access_logs.log
        self.set_frontends()
        self.set_listeners()
        self.engine.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.engine.epoll < 0:
            raise OSError("no epoll set")

    cdef int set_limits(self) except -1:
        self.engine.pipes.limit = self.capacity.pipes
        words = self.runtime.settings.globals
        limit_process(
            &self.engine, self.capacity.sessions, words.maxconn, words.accept_rate)
        binds = self.runtime.settings.binds
        self.engine.binds = <Limit *>zeroed(len(binds), sizeof(Limit))
        for bind in binds:
            limit_bind(&self.engine, bind.index, bind.maxconn)
        return 0

    cdef int set_bells(self) except -1:
        bells = self.runtime.bells
        self.bells = <int *>zeroed(self.engine.workers, sizeof(int))
        for number, bell in enumerate(bells.relays):
            self.bells[number] = bell
        self.engine.relay_bells = self.bells
        self.worker_bells = <int *>zeroed(self.engine.workers, sizeof(int))
        for number, bell in enumerate(bells.workers):
            self.worker_bells[number] = bell
        self.engine.worker_bells = self.worker_bells
        self.engine.own_bell = self.bells[self.engine.worker]
        self.engine.resolverd_bell = bells.resolverd
        return 0

    cdef int set_backends(self) except -1:
        cdef Backend *backend
        proxies = self.runtime.settings.backends
        fullconn = self.runtime.settings.full_connections(self.capacity.maxconn)
        self.engine.backends = <Backend *>zeroed(len(proxies), sizeof(Backend))
        self.engine.backend_count = len(proxies)
        for proxy in proxies:
            backend = &self.engine.backends[proxy.backend_index]
            backend.index = proxy.backend_index
            backend.counters = backend_counters(
                &self.engine.view, self.engine.worker, backend.index)
            backend.shared = &self.engine.view.backends[backend.index]
            backend.first_slot = backend.shared.first_slot
            backend.slots = backend.shared.slots
            self.set_balance(backend, proxy)
            backend.retries = min(proxy.retries, RETRIES_MAX)
            backend.redispatch = proxy.redispatch
            backend.connect_ms = milliseconds(proxy.timeouts.connect_ms)
            backend.server_ms = milliseconds(proxy.timeouts.server_ms)
            backend.server_fin_ms = milliseconds(proxy.timeouts.server_fin_ms)
            backend.tunnel_ms = milliseconds(proxy.timeouts.tunnel_ms)
            backend.queue_ms = (
                milliseconds(proxy.timeouts.queue_ms) or backend.connect_ms)  # manual, section 4.2
            backend.fullconn = fullconn[proxy.name]
            servers = self.runtime.servers.of(proxy)
            for server in servers:
                if server.maxconn != 0:
                    present_begin(&self.engine, server.slot)
                self.engine.limits[server.slot].minconn = server.minconn
                self.engine.limits[server.slot].maxqueue = server.maxqueue
                if server.check is not None:
                    self.engine.limits[server.slot].error_limit = server.check.error_limit
                self.set_outgoing(proxy, server)
                self.engine.headers[server.slot] = HEADERS[server.proxy_header]
            backend.allbackups = proxy.allbackups
            backend.nolinger = proxy.nolinger
            backend.abortonclose = proxy.abortonclose
            backend.splice = proxy.splice
            backend.ends_sessions = any(
                server.on_marked_down_shutdown or server.on_marked_up_shutdown
                or server.removed_drain_ms is not None
                for server in servers)
            backend.generation_seen = <uint64_t>-1
            backend.schedule = schedule_build(
                &self.engine.view, backend.index, backend.kind, backend.allbackups, now_ms())
            if backend.schedule == NULL:
                raise MemoryError(f"schedule of backend {proxy.name}")
            backend.warm_next_ms = backend.schedule.warm_next_ms
        return 0

    cdef int set_outgoing(self, object proxy, object server) except -1:
        cdef Outgoing *words
        source = server.source or proxy.source
        if not (proxy.server_keepalive or server.user_timeout_ms or server.fast_open or source
                or server.local):
            return 0
        words = <Outgoing *>zeroed(1, sizeof(Outgoing))
        self.engine.outgoing[server.slot] = words
        words.keepalive = proxy.server_keepalive
        words.keepalive_count = proxy.server_probes.count or 0
        words.keepalive_idle_s = proxy.server_probes.idle_s or 0
        words.keepalive_interval_s = proxy.server_probes.interval_s or 0
        words.user_timeout_ms = server.user_timeout_ms
        words.fast_open = server.fast_open
        if server.local is not None:
            packed = AF_UNIX.to_bytes(2, byteorder) + server.local.local_name
            words.local_length = len(packed)
            memcpy(words.local, <const char *>packed, len(packed))
        if source is None:
            return 0
        words.from_client = source.from_client
        words.from_client_port = source.from_client_port
        words.transparent = source.from_client or source.foreign
        if source.address is not None:
            packed = ip_address(source.address).packed
            words.family = 4 if len(packed) == 4 else 6
            memcpy(words.address, <const char *>packed, len(packed))
        words.port_first = source.port_first
        words.ports = source.ports
        if source.ports:  # workers begin at ports of their own
            words.port_next = source.ports * self.engine.worker // self.engine.workers
        name = (source.interface or "").encode()
        memcpy(words.interface, <const char *>name, len(name))
        return 0

    cdef int set_balance(self, Backend *backend, object proxy) except -1:
        backend.balance = BALANCES[proxy.balance]
        backend.kind = KINDS[proxy.balance]
        if backend.balance == BALANCE_SOURCE and proxy.hash_consistent:
            backend.kind = SCHEDULE_RING
        warming = not proxy.weights_fixed and any(
            server.slowstart_ms for server in self.runtime.servers.of(proxy))
        backend.aside = warming or backend.slots > INLINE_SLOTS[backend.kind]
        backend.avalanche = proxy.hash_avalanche
        backend.balance_factor = proxy.hash_balance_factor
        backend.draws = proxy.random_draws
        if backend.balance == BALANCE_LEASTCONN and backend.slots != 0:
            backend.blocks = <LeastBlock *>zeroed(blocks_of(backend), sizeof(LeastBlock))
        return 0

    cdef int set_frontends(self) except -1:
        cdef Frontend *frontend
        proxies = self.runtime.settings.frontends
        self.engine.frontend_count = len(proxies)
        self.engine.frontends = <Frontend *>zeroed(len(proxies), sizeof(Frontend))
        for proxy in proxies:
            frontend = &self.engine.frontends[proxy.frontend_index]
            frontend.index = proxy.frontend_index
            frontend.counters = frontend_counters(
                &self.engine.view, self.engine.worker, frontend.index)
            frontend.backend = -1 if proxy.default_backend is None else proxy.default_backend
            limit_frontend(&self.engine, frontend, proxy.maxconn, proxy.session_rate)
            frontend.client_ms = milliseconds(proxy.timeouts.client_ms)
            frontend.client_fin_ms = milliseconds(proxy.timeouts.client_fin_ms)
            frontend.nolinger = proxy.nolinger
            frontend.splice = proxy.splice
            frontend.log = self.access_logs.of(frontend.index)
        return 0

    cdef int set_listeners(self) except -1:
        cdef Listener *listener
        sockets = self.runtime.listeners
        servers = self.runtime.servers
        headed = [  # backends some of whose servers want a PROXY header
            any(server.proxy_header is not ProxyHeader.NONE for server in servers.of(proxy))
            for proxy in servers.backends]
        self.engine.listener_count = len(sockets)
        self.engine.listeners = <Listener *>zeroed(len(sockets), sizeof(Listener))
        for number, listening in enumerate(sockets):
            if listening.socket.gettimeout() != 0:  # most are set up: no system call for each
                listening.socket.setblocking(False)
            listener = &self.engine.listeners[number]
            listener.fd = listening.socket.fileno()
            listener.index = listening.index
            listener.shared = listening.shared
            listener.bind = listening.bind.index
            listener.mss_less = min(listening.bind.mss, 0)
            listener.frontend = &self.engine.frontends[listening.bind.frontend_index]
            limit_listener(&self.engine, listener)
            listener.accepts_proxy = listening.bind.accept_proxy
            listener.keeps_addresses = listening.bind.accept_proxy or (
                listener.frontend.backend >= 0 and headed[listener.frontend.backend])
            listener.anywhere = listening.bind.transparent
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

        Call it when the backend's generation has changed. Small backends need none: the relay
        builds theirs at the next pick. Raises MemoryError, or IndexError for no such backend.
        """
        cdef Backend *target
        cdef Schedule *built
        if backend >= self.engine.backend_count:
            raise IndexError(f"backend {backend} of {self.engine.backend_count}")
        target = &self.engine.backends[backend]
        if not target.aside:
            return
        cdef int64_t now = now_ms()
        with nogil:
            built = schedule_build(
                &self.engine.view, backend, target.kind, target.allbackups, now)
            if built != NULL:
                target.warm_next_ms = built.warm_next_ms
                schedule_free(<Schedule *>exchange_pointer(&target.delivered, built))
        if built == NULL:
            raise MemoryError(f"schedule of backend {backend}")

    def warm_up(self) -> None:
        """Rebuild the schedules in which a server that came back gets more of its weight.

        Call it several times a second. Every worker finds the same weights at the same second.
        Raises MemoryError.
        """
        cdef uint32_t backend
        cdef int64_t now = now_ms()
        for backend in range(self.engine.backend_count):
            if 0 < self.engine.backends[backend].warm_next_ms <= now:
                self.rebuild(backend)

    def __dealloc__(self):
        cdef uint32_t index
        if self.engine.epoll >= 0:
            close(self.engine.epoll)
        pipes_close(&self.engine.pipes)
        for index in range(self.engine.backend_count):
            schedule_free(self.engine.backends[index].schedule)
            schedule_free(<Schedule *>self.engine.backends[index].delivered)
            free(self.engine.backends[index].blocks)
        free(self.engine.backends)
        free(self.engine.frontends)
        free(self.engine.listeners)
        free(self.engine.binds)
        free(self.engine.servers)
        free(self.engine.limits)
        if self.engine.outgoing != NULL:
            for index in range(self.segment.view.header.slots):
                free(self.engine.outgoing[index])
        free(self.engine.outgoing)
        free(self.engine.headers)
        free(self.engine.scratch)
        free(self.bells)
        free(self.worker_bells)
