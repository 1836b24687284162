# Counting: what a session's steps add to this worker's rows. No decisions, no sockets.
#
# Every word belongs to this worker, so a relaxed load and store is enough; only the hints of
# leastconn are shared. Counters follow HAProxy's: a session counts for its server from the moment
# the server was picked, a failed connection when the last attempt has failed.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.rule_types cimport ASKED_RATES
from proxy.relay.state.types cimport (
    ASSIGNED, AWAY, CLIENT, EARLY_OWED, NO_SLOT, Backend, Engine, Frontend, Session)
from shm.atomics cimport count, load_relaxed, store_relaxed
from shm.rates cimport rate_count
from shm.rows cimport BackendCounters, FrontendCounters, ServerCounters
from shm.segment cimport hint_step, server_counters


cdef inline void gauge_up(uint64_t *gauge, uint64_t *gauge_max) noexcept nogil:
    cdef uint64_t value = load_relaxed(gauge) + 1
    store_relaxed(gauge, value)
    if value > load_relaxed(gauge_max):
        store_relaxed(gauge_max, value)


cdef inline void gauge_down(uint64_t *gauge) noexcept nogil:
    store_relaxed(gauge, load_relaxed(gauge) - 1)


cdef inline void raise_max(uint64_t *word, uint64_t value) noexcept nogil:
    if value > load_relaxed(word):
        store_relaxed(word, value)


cdef inline ServerCounters *counters_of(Engine *engine, Session *session) noexcept nogil:
    """The row of the session's server; without one, a row that is never read.

    Whatever ends, queues or picks again may leave a session without a slot: every count for its
    server goes through here.
    """
    if session.slot == NO_SLOT:
        return &engine.no_server
    return server_counters(&engine.view, engine.worker, session.slot)


cdef inline void count_accepted(Engine *engine, Frontend *frontend) noexcept nogil:
    """A client was accepted; its place was taken before (accept.pxd)."""
    count(&engine.counters.accepts, 1)
    raise_max(&engine.counters.sessions_max, load_relaxed(&engine.counters.sessions))
    count(&frontend.counters.connections_total, 1)
    raise_max(&frontend.counters.sessions_max, load_relaxed(&frontend.counters.sessions))


cdef inline void count_denied_connection(Frontend *frontend) noexcept nogil:
    """A rule refused a client before anything was read."""
    count(&frontend.counters.denied_connections, 1)


cdef inline void count_denied_session(Frontend *frontend) noexcept nogil:
    """A rule refused a client behind its PROXY header."""
    count(&frontend.counters.denied_sessions, 1)


cdef inline void count_denied_request(Frontend *frontend) noexcept nogil:
    """A rule refused a client for its first bytes, or without a word: as HAProxy counts both."""
    count(&frontend.counters.denied_requests, 1)


cdef inline void count_dropped(Session *session) noexcept nogil:
    """A rule ended a session in silence: in its backend that counts, too, if it has one."""
    count_denied_request(session.listener.frontend)
    if session.backend != NULL:
        count(&session.backend.counters.denied_requests, 1)


cdef inline void count_failed_request(Frontend *frontend) noexcept nogil:
    """A client broke off while rules waited for its bytes."""
    count(&frontend.counters.failed_requests, 1)


cdef inline void count_denied_response(Engine *engine, Session *session) noexcept nogil:
    """A rule refused what a server has sent."""
    count(&session.listener.frontend.counters.denied_responses, 1)
    count(&session.backend.counters.denied_responses, 1)
    count(&counters_of(engine, session).denied_responses, 1)


cdef inline void count_opened(Engine *engine, Session *session) noexcept nogil:
    """An accepted client has a session: at once, or when its PROXY header is there."""
    cdef Frontend *frontend = session.listener.frontend
    count(&frontend.counters.sessions_total, 1)
    if engine.judge.asks & ASKED_RATES:
        rate_count(&engine.view.frontends_shared[1 + frontend.index].came[0], engine.now_ms)


cdef inline void count_in_backend(Engine *engine, Session *session) noexcept nogil:
    """The session has its backend."""
    cdef Backend *backend = session.backend
    count(&backend.counters.sessions_total, 1)
    if engine.judge.asks & ASKED_RATES:
        rate_count(&backend.shared.came[0], engine.now_ms)
    gauge_up(&backend.counters.sessions, &backend.counters.sessions_max)
    store_relaxed(&backend.counters.last_session_ms, engine.now_ms)


cdef inline void count_assigned(
        Engine *engine, Session *session, bint balanced) noexcept nogil:
    """A server was picked, by balancing or a rule; the place was taken (balance/queue.pxd)."""
    cdef ServerCounters *server = counters_of(engine, session)
    session.flags |= ASSIGNED
    if session.flags & EARLY_OWED:  # what came while it had no server
        session.flags &= ~EARLY_OWED
        count(&server.bytes_in, session.sides[CLIENT].bytes)
    if session.log != NULL:
        session.log.assigned_ms = engine.now_ms
    count(&server.sessions_total, 1)
    if engine.judge.asks & ASKED_RATES:
        rate_count(&engine.view.servers_shared[session.slot].came[0], engine.now_ms)
    if balanced:
        count(&server.loadbalanced, 1)
        count(&session.backend.counters.loadbalanced, 1)
    store_relaxed(&server.last_session_ms, engine.now_ms)
    session.counted = engine.count_of_place
    session.tag = engine.tag_of_place
    hint_step(&engine.view, engine.worker, session.slot, 1)


cdef inline void count_released(Engine *engine, Session *session) noexcept nogil:
    """The session has left its server and its place there."""
    if not session.flags & AWAY:
        hint_step(&engine.view, engine.worker, session.slot, -1)
    session.flags &= ~(ASSIGNED | AWAY)


cdef inline void count_queued(
        Engine *engine, Session *session, uint64_t everywhere) noexcept nogil:
    """The session waits in a queue with so many over all workers."""
    cdef ServerCounters *server
    if session.slot == NO_SLOT:
        count(&session.backend.counters.queued, 1)
        raise_max(&session.backend.counters.queued_max, everywhere)
        return
    server = counters_of(engine, session)
    count(&server.queued, 1)
    raise_max(&server.queued_max, everywhere)


cdef inline void count_unqueued(Engine *engine, Session *session) noexcept nogil:
    """The session waits no more, for whatever reason."""
    if session.slot == NO_SLOT:
        gauge_down(&session.backend.counters.queued)
    else:
        gauge_down(&counters_of(engine, session).queued)


cdef inline void count_waited(
        Engine *engine, Session *session, uint64_t waited_ms) noexcept nogil:
    """The session has waited so long for the server that it got."""
    cdef ServerCounters *server = counters_of(engine, session)
    count(&server.queue_time_sum_ms, waited_ms)
    raise_max(&server.queue_time_max_ms, waited_ms)
    count(&session.backend.counters.queue_time_sum_ms, waited_ms)
    raise_max(&session.backend.counters.queue_time_max_ms, waited_ms)


cdef inline uint32_t retries_of(const Session *session) noexcept nogil:
    """How often a failed connection is tried again: by its backend, or by a rule."""
    if session.addresses != NULL and session.addresses.retries_plus_one != 0:
        return session.addresses.retries_plus_one - 1
    return <uint32_t>session.backend.retries


cdef inline void count_attempt(Engine *engine, Session *session) noexcept nogil:
    count(&counters_of(engine, session).connect_attempts, 1)
    count(&session.backend.counters.connect_attempts, 1)


cdef inline void count_retry(Engine *engine, Session *session, uint32_t former) noexcept nogil:
    """Another attempt: a retry at the same server, or a redispatch away from `former`."""
    cdef ServerCounters *server = server_counters(&engine.view, engine.worker, former)
    if session.slot == former:
        count(&server.retries, 1)
        count(&session.backend.counters.retries, 1)
    else:
        if session.log != NULL:
            session.log.redispatched = True
        count(&server.redispatches, 1)
        count(&session.backend.counters.redispatches, 1)


cdef inline void count_unreachable(Engine *engine, Session *session) noexcept nogil:
    """The last attempt failed, or no server had a place in time."""
    count(&counters_of(engine, session).connection_errors, 1)
    count(&session.backend.counters.connection_errors, 1)


cdef inline void count_connected(Engine *engine, Session *session) noexcept nogil:
    cdef uint64_t took_ms = engine.now_ms - session.attempt_ms
    cdef ServerCounters *server = counters_of(engine, session)
    cdef BackendCounters *backend = session.backend.counters
    count(&server.connected, 1)
    count(&server.connect_time_sum_ms, took_ms)
    raise_max(&server.connect_time_max_ms, took_ms)
    count(&backend.connected, 1)
    count(&backend.connect_time_sum_ms, took_ms)
    raise_max(&backend.connect_time_max_ms, took_ms)


cdef inline void count_bytes(
        Engine *engine, Session *session, uint64_t from_client,
        uint64_t from_server) noexcept nogil:
    """Bytes moved in one go; each direction in one store per row."""
    cdef ServerCounters *server = counters_of(engine, session)
    if from_client != 0:
        count(&session.listener.frontend.counters.bytes_in, from_client)
        count(&session.backend.counters.bytes_in, from_client)
        count(&server.bytes_in, from_client)
    if from_server != 0:
        count(&session.listener.frontend.counters.bytes_out, from_server)
        count(&session.backend.counters.bytes_out, from_server)
        count(&server.bytes_out, from_server)
        count(&engine.counters.bytes_out, from_server)


cdef inline void count_aborted(Engine *engine, Session *session, bint by_client) noexcept nogil:
    if session.backend == NULL:
        return
    if by_client:
        count(&session.backend.counters.client_aborts, 1)
        count(&counters_of(engine, session).client_aborts, 1)
    else:
        count(&session.backend.counters.server_aborts, 1)
        count(&counters_of(engine, session).server_aborts, 1)


cdef inline void count_ended(Engine *engine, Session *session, int termination) noexcept nogil:
    """The session is over: its termination state, its time, and its backend's gauge down."""
    cdef uint64_t took_ms = engine.now_ms - session.started_ms
    cdef ServerCounters *server = counters_of(engine, session)
    count(&engine.counters.terminations[termination], 1)
    if session.backend != NULL:
        gauge_down(&session.backend.counters.sessions)
        count(&session.backend.counters.ended, 1)
        count(&session.backend.counters.total_time_sum_ms, took_ms)
        raise_max(&session.backend.counters.total_time_max_ms, took_ms)
        count(&server.ended, 1)
        count(&server.total_time_sum_ms, took_ms)
        raise_max(&server.total_time_max_ms, took_ms)
