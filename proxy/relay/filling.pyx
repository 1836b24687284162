"""The memory of one relay, filled from the settings before its first turn.

Owns what each word of a section or a server is in C, and who is to free it (`engine_free`). Knows
no session and no turn of the loop: what the words do is in the rooms below.
"""

import os

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free

from proxy.relay.admission.setup cimport limit_bind, limit_frontend, limit_listener, limit_process
from proxy.relay.balance.least cimport blocks_of
from proxy.relay.balance.rota cimport rota_add_rings, rota_free, rota_make
from proxy.relay.balance.rota_news cimport rota_look_at_all
from proxy.relay.balance.schedule cimport schedule_build, schedule_free
from proxy.relay.log.compile cimport AccessLogs
from proxy.relay.rules.compile cimport Rulesets
from proxy.relay.server_filling cimport asked_of_clients, server_fill, zeroed
from proxy.relay.state.pipes cimport pipes_close, pipes_init
from proxy.relay.state.pool cimport pool_init
from proxy.relay.state.server_types cimport (
    FullBlock, LeastBlock, Outgoing, Schedule, ServerCache)
from proxy.relay.state.table_types cimport Sticky
from proxy.relay.state.syscalls cimport EPOLL_CLOEXEC, close, epoll_create1
from proxy.relay.state.types cimport (
    BALANCE_FIRST, BALANCE_LEASTCONN, BALANCE_RANDOM, BALANCE_ROUNDROBIN, BALANCE_SOURCE,
    BALANCE_STATIC, NO_SLOT, RETRIES_MAX, SCHEDULE_LOADS, SCHEDULE_MAP, SCHEDULE_ORDER,
    SCHEDULE_RING, SCHEDULE_TURNS, SCRATCH_BYTES, Addresses, Backend, Engine, Frontend, Limit,
    Listener, ServerLimits, Session, Waiter)
from shm.atomics cimport load_acquire
from shm.eligibility cimport WARM_STEPS
from shm.segment cimport Segment, backend_counters, frontend_counters, worker_counters
from shm.tables.layout cimport Table
from shm.tables.memory cimport StickTable, worker_writer

from proxy.config.model.settings import Balance, ProxyHeader
from proxy.members.laid_out import laid_out
from proxy.runtime import now_ms

BALANCES = {
    Balance.ROUNDROBIN: BALANCE_ROUNDROBIN, Balance.LEASTCONN: BALANCE_LEASTCONN,
    Balance.SOURCE: BALANCE_SOURCE, Balance.STATIC_RR: BALANCE_STATIC,
    Balance.FIRST: BALANCE_FIRST, Balance.RANDOM: BALANCE_RANDOM,
    Balance.HASH: BALANCE_SOURCE, Balance.RDP_COOKIE: BALANCE_SOURCE,
}
KINDS = {
    Balance.ROUNDROBIN: SCHEDULE_TURNS, Balance.LEASTCONN: SCHEDULE_LOADS,
    Balance.SOURCE: SCHEDULE_MAP, Balance.STATIC_RR: SCHEDULE_MAP,
    Balance.FIRST: SCHEDULE_ORDER, Balance.RANDOM: SCHEDULE_TURNS,
    Balance.HASH: SCHEDULE_MAP, Balance.RDP_COOKIE: SCHEDULE_MAP,
}
# Up to so many servers the relay builds a schedule itself: it takes less than 0.3 ms.
INLINE_SLOTS = {
    SCHEDULE_MAP: 16,  # up to 4,096 turns, each a look at all members
    SCHEDULE_ORDER: 64,
}


cdef int64_t milliseconds(object value) except -1:
    """A time-out of the settings; 0 for none, as in the file."""
    return 0 if value is None else value


cdef int engine_fill(
        Engine *engine, Segment segment, object runtime, object capacity, AccessLogs access_logs,
        Rulesets rulesets, uint32_t worker) except -1:
    """Fill an engine of zeros, whose `epoll` is -1; `engine_free` it even where this raises.

    Raises OSError when the kernel gives no epoll set, MemoryError without memory.
    """
    settings = runtime.settings
    engine.view = segment.view
    engine.worker = worker
    engine.workers = runtime.workers
    engine.random = int.from_bytes(os.urandom(8), "little") | 1
    engine.process = &segment.view.processes[worker]
    engine.counters = worker_counters(&engine.view, worker)
    engine.scratch = <char *>zeroed(SCRATCH_BYTES, 1)
    engine.asked_first = NO_SLOT
    engine.counting_first = NO_SLOT
    pool_init(&engine.sessions, sizeof(Session))
    pool_init(&engine.addresses, sizeof(Addresses))
    pool_init(&engine.waiters, sizeof(Waiter))
    fill_limits(engine, settings, capacity)
    fill_bells(engine, runtime.bells)
    fill_servers(engine, runtime.servers, runtime.bells)
    fill_tables(engine, runtime)
    engine.now_ms = now_ms()
    engine.journal_seen = engine.journal_ended = load_acquire(&engine.view.journal.head)
    fill_backends(engine, runtime, capacity, rulesets)
    engine.log = &access_logs.log
    engine.judge = rulesets.judge
    for proxy in runtime.servers.backends:
        for server in runtime.servers.of(proxy):
            engine.judge.asks |= asked_of_clients(server)
    fill_frontends(engine, settings, access_logs, rulesets)
    fill_listeners(engine, runtime)
    engine.epoll = epoll_create1(EPOLL_CLOEXEC)
    if engine.epoll < 0:
        raise OSError("no epoll set")
    return 0


cdef int fill_limits(Engine *engine, object settings, object capacity) except -1:
    pipes_init(&engine.pipes, capacity.pipes)
    words = settings.globals
    limit_process(engine, capacity.sessions, words.maxconn, words.accept_rate)
    binds = settings.binds
    engine.binds = <Limit *>zeroed(len(binds), sizeof(Limit))
    for bind in binds:
        limit_bind(engine, bind.index, bind.maxconn)
    return 0


cdef int fill_bells(Engine *engine, object bells) except -1:
    engine.relay_bells = descriptors(bells.relays, engine.workers)
    engine.own_bell = engine.relay_bells[engine.worker]
    engine.resolverd_bell = bells.resolverd
    return 0


cdef int *descriptors(object numbers, uint32_t count) except NULL:
    cdef int *found = <int *>zeroed(count, sizeof(int))
    for place, number in enumerate(numbers):
        found[place] = number
    return found


cdef int fill_servers(Engine *engine, object servers, object bells) except -1:
    """What the lines of servers say, by slot."""
    cdef uint32_t slots = engine.view.header.slots
    engine.servers = <ServerCache *>zeroed(slots, sizeof(ServerCache))
    engine.limits = <ServerLimits *>zeroed(slots, sizeof(ServerLimits))
    engine.outgoing = <Outgoing **>zeroed(slots, sizeof(void *))
    engine.sticky = <Sticky *>zeroed(slots, sizeof(Sticky))
    engine.slots = slots
    engine.headers = <uint8_t *>zeroed(slots, 1)
    for proxy in servers.backends:
        for server in servers.of(proxy):
            server_fill(engine, proxy, server, bells)
    return 0


cdef int fill_tables(Engine *engine, object runtime) except -1:
    """Stick tables by number."""
    cdef Table *tables = <Table *>zeroed(len(runtime.tables), sizeof(Table))
    cdef uint32_t number = 0
    engine.tables = tables
    for each in runtime.tables:
        tables[number] = (<StickTable>each).table
        number += 1
    engine.table_writer = worker_writer(&engine.view, engine.worker)
    return 0


cdef int fill_backends(
        Engine *engine, object runtime, object capacity, Rulesets rulesets) except -1:
    proxies = runtime.servers.backends
    fullconn = runtime.settings.full_connections(capacity.maxconn)
    engine.backends = <Backend *>zeroed(len(proxies), sizeof(Backend))
    engine.backend_count = len(proxies)
    for proxy in proxies:
        fill_backend(engine, proxy, runtime.servers.of(proxy), fullconn[proxy.backend_index])
        engine.backends[proxy.backend_index].rules = rulesets.of_backend(proxy)
        if rulesets.facts is not None:
            rulesets.facts.fullconns[<uint32_t>proxy.backend_index] = fullconn[proxy.backend_index]
    return 0


cdef int fill_backend(
        Engine *engine, object proxy, object servers, uint64_t fullconn) except -1:
    cdef Backend *backend = &engine.backends[proxy.backend_index]
    backend.index = proxy.backend_index
    backend.counters = backend_counters(&engine.view, engine.worker, backend.index)
    backend.shared = &engine.view.backends[backend.index]
    backend.first_slot = backend.shared.first_slot
    backend.slots = backend.shared.slots
    fill_balance(backend, proxy)
    backend.retries = min(proxy.retries, RETRIES_MAX)
    backend.redispatch = proxy.redispatch
    backend.connect_ms = milliseconds(proxy.timeouts.connect_ms)
    backend.server_ms = milliseconds(proxy.timeouts.server_ms)
    backend.server_fin_ms = milliseconds(proxy.timeouts.server_fin_ms)
    backend.tunnel_ms = milliseconds(proxy.timeouts.tunnel_ms)
    backend.queue_ms = (
        milliseconds(proxy.timeouts.queue_ms) or backend.connect_ms)  # manual, section 4.2
    backend.fullconn = fullconn
    backend.allbackups = proxy.allbackups
    backend.nolinger = proxy.nolinger
    backend.abortonclose = proxy.abortonclose
    backend.persist = proxy.persist
    backend.splice = proxy.splice
    backend.ends_sessions = any(server.stopping.ends_sessions for server in servers)
    backend.generation_seen = <uint64_t>-1
    if backend.shared.room != 0:
        backend.full.blocks = <FullBlock *>zeroed(
            blocks_of(backend, backend.shared.room), sizeof(FullBlock))
    return fill_turns(engine, backend, proxy, servers)


cdef int fill_turns(Engine *engine, Backend *backend, object proxy, object servers) except -1:
    """The first rota, or the first schedule."""
    if not laid_out(proxy, servers):
        backend.rota = rota_make(backend.shared.room, not backend.allbackups)
        if backend.rota == NULL:
            raise MemoryError(f"rota of backend {backend.index}")
        if backend.kind == SCHEDULE_RING:
            if not rota_add_rings(backend.rota, configured_weight(servers)):
                raise MemoryError(f"ring of backend {backend.index}")
        rota_look_at_all(engine, backend, load_acquire(&engine.view.header.table_generation))
        return 0
    backend.aside = built_aside(backend, proxy, servers)
    backend.schedule = schedule_build(
        &engine.view, backend.index, backend.kind, backend.allbackups)
    if backend.schedule == NULL:
        raise MemoryError(f"schedule of backend {backend.index}")
    backend.slots = backend.schedule.span
    return 0


cdef bint built_aside(const Backend *backend, object proxy, object servers) except -1:
    """Whether the main thread builds schedules; always, where there was a rota before."""
    return laid_out(proxy, servers) and (
        backend.rota != NULL or len(servers) > INLINE_SLOTS[backend.kind])


cdef uint64_t configured_weight(object servers) except? 0:
    """The sum of the weights of the file, in sixteenths."""
    return WARM_STEPS * sum(server.balancing.weight for server in servers)


cdef int fill_balance(Backend *backend, object proxy) except -1:
    backend.balance = BALANCES[proxy.balance]
    backend.kind = KINDS[proxy.balance]
    if backend.balance == BALANCE_SOURCE and proxy.hash_consistent:
        backend.kind = SCHEDULE_RING
    backend.avalanche = proxy.hash_avalanche
    backend.balance_factor = proxy.hash_balance_factor
    backend.draws = proxy.random_draws
    if backend.balance == BALANCE_LEASTCONN and backend.shared.room != 0:
        backend.blocks = <LeastBlock *>zeroed(
            blocks_of(backend, backend.shared.room), sizeof(LeastBlock))
    return 0


cdef int fill_frontends(
        Engine *engine, object settings, AccessLogs access_logs, Rulesets rulesets) except -1:
    cdef Frontend *frontend
    proxies = settings.frontends
    engine.frontend_count = len(proxies)
    engine.frontends = <Frontend *>zeroed(len(proxies), sizeof(Frontend))
    for proxy in proxies:
        frontend = &engine.frontends[proxy.frontend_index]
        frontend.index = proxy.frontend_index
        frontend.counters = frontend_counters(&engine.view, engine.worker, frontend.index)
        default = proxy.behind_switch if proxy.switched else proxy.default_backend
        frontend.backend = -1 if default is None else default
        limit_frontend(engine, frontend, proxy.maxconn, proxy.session_rate)
        frontend.client_ms = milliseconds(proxy.timeouts.client_ms)
        frontend.client_fin_ms = milliseconds(proxy.timeouts.client_fin_ms)
        frontend.nolinger = proxy.nolinger
        frontend.splice = proxy.splice
        frontend.log = access_logs.of(frontend.index)
        frontend.rules = rulesets.of_frontend(proxy)
    return 0


cdef int fill_listeners(Engine *engine, object runtime) except -1:
    cdef Listener *listener
    sockets = runtime.listeners
    keeping = frontends_that_keep_addresses(runtime)
    engine.listener_count = len(sockets)
    engine.listeners = <Listener *>zeroed(len(sockets), sizeof(Listener))
    for number, listening in enumerate(sockets):
        if listening.socket.gettimeout() != 0:  # most are set up: no system call for each
            listening.socket.setblocking(False)
        listener = &engine.listeners[number]
        listener.fd = listening.socket.fileno()
        listener.index = listening.index
        listener.shared = listening.shared
        listener.bind = listening.bind.index
        listener.mss_less = min(listening.bind.mss, 0)
        listener.frontend = &engine.frontends[listening.bind.frontend_index]
        limit_listener(engine, listener)
        listener.accepts_proxy = listening.bind.accept_proxy
        listener.keeps_addresses = listening.bind.accept_proxy or (
            listening.bind.frontend_index in keeping)
        listener.anywhere = listening.bind.transparent
    return 0


cdef set frontends_that_keep_addresses(object runtime):
    """Frontends whose sessions meet a rule, or a server that wants a PROXY header."""
    asking = {
        proxy.backend_index for proxy in runtime.servers.backends
        if proxy.rules or any(
            server.connecting.proxy_header is not ProxyHeader.NONE
            for server in runtime.servers.of(proxy))}
    return {
        proxy.frontend_index for proxy in runtime.settings.frontends
        if proxy.rules or proxy.default_backend in asking}


cdef void engine_free(Engine *engine) noexcept:
    """Give back the memory and the descriptors of an engine, filled wholly or in part."""
    cdef uint32_t index
    if engine.epoll >= 0:
        close(engine.epoll)
    pipes_close(&engine.pipes)
    for index in range(engine.backend_count):
        schedule_free(engine.backends[index].schedule)
        schedule_free(<Schedule *>engine.backends[index].delivered)
        rota_free(engine.backends[index].rota)
        free(engine.backends[index].blocks)
        free(engine.backends[index].full.blocks)
    free(engine.backends)
    free(engine.frontends)
    free(engine.listeners)
    free(engine.binds)
    free(engine.servers)
    free(engine.sticky)
    free(<void *>engine.tables)
    free(engine.limits)
    for index in range(engine.slots):
        free(engine.outgoing[index])
    free(engine.outgoing)
    free(engine.headers)
    free(engine.scratch)
    free(<void *>engine.relay_bells)
