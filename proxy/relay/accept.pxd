# Accepting clients within the limits: batches, places, pauses.
#
# A place is taken before accept4() is called, so that no client is accepted and then dropped, and
# `maxconn` is never exceeded. For a limit over all workers each one raises its own row, fences, and
# adds up all rows; over the limit it takes its own back and stops accepting. Two workers may both
# step back from the last place; the sweep lets them try again. A stopped listener is out of the
# epoll set (level-triggered, it would fire without end). What comes faster than a limited rate
# waits in the kernel's queue likewise, and is looked for every RATE_PAUSE_MS.
#
# A server is sought at once, unless the last clients of the listener all spoke first: then a
# session waits a moment (EARLY_WAIT_MS) for the first bytes, which nearly always follow the
# handshake directly. With them at hand the handshake toward the server takes a packet and a wake-up
# less. One client that stays silent, or a server that speaks first, ends that for the next ones.
#
# Whoever frees a place while the sum is near the limit rings the other relays.

from libc.errno cimport EAGAIN, EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, errno
from libc.stdint cimport uint32_t, uint64_t, uint8_t

from proxy.relay.account cimport count_accepted, gauge_down
from proxy.relay.addresses cimport addresses_drop, addresses_keep
from proxy.relay.beginning cimport session_admit, session_begin
from proxy.relay.hashing cimport hash_address
from proxy.relay.log_session cimport log_accepted
from proxy.relay.pool cimport pool_give, pool_take
from proxy.relay.rates cimport RATE_PROCESS, rate_give, rate_take
from proxy.relay.session cimport session_arm, watch
from proxy.relay.syscalls cimport (
    EPOLLEXCLUSIVE, EPOLLIN, EPOLL_CTL_ADD, EPOLL_CTL_DEL, IPPROTO_TCP, SOCK_CLOEXEC,
    SOCK_NONBLOCK, TCP_MAXSEG, accept4, close, epoll_ctl, epoll_event, getsockopt, ring_bell,
    setsockopt, sockaddr, sockaddr_in6, sockaddr_storage, socklen_t)
from proxy.relay.types cimport (
    ACCEPT_BATCH, CLIENT, NODELAY, NO_SLOT, OVERLOAD_PAUSE_MS, RESETS, SERVER, STATE_ACCEPTED,
    STATE_HEADER, WRITABLE, Engine, Frontend, Listener, Session)
from shm.atomics cimport count, fence_full, load32_acquire, load_relaxed, store_relaxed
from shm.segment cimport bind_sessions, frontend_counters, rate_windows, worker_counters

cdef enum:
    CLIENT_FIRST_SURE = 16  # clients in a row that spoke first: the next one will too
    LISTENER_TAG = 2  # in the event's word; sessions have 0 and 1 there, the bell is all zero

cdef enum:  # AcceptResult
    ACCEPT_MORE = 0  # the batch is used up
    ACCEPT_DRAINED = 1  # the queue is empty
    ACCEPT_STOPPED = 2  # a limit or an overload


cdef inline uint64_t sessions_everywhere(Engine *engine) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t row
    for row in range(engine.workers):
        total += load_relaxed(&worker_counters(&engine.view, row).sessions)
    return total


cdef inline uint64_t frontend_everywhere(Engine *engine, Frontend *frontend) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t row
    for row in range(engine.workers):
        total += load_relaxed(&frontend_counters(&engine.view, row, frontend.index).sessions)
    return total


cdef inline uint64_t bind_everywhere(Engine *engine, Listener *listener) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t row
    for row in range(engine.workers):
        total += load_relaxed(bind_sessions(&engine.view, row, listener.bind))
    return total


cdef inline void place_give(Engine *engine, Listener *listener) noexcept nogil:
    gauge_down(&engine.counters.sessions)
    gauge_down(&listener.frontend.counters.sessions)
    if listener.maxconn != 0:
        gauge_down(listener.sessions)


cdef inline bint rates_take(Engine *engine, Frontend *frontend) noexcept nogil:
    """Count a session that is about to be accepted in its second; False when a limit forbids it."""
    cdef uint32_t worker = engine.worker
    if engine.rate != 0 and not rate_take(
            &engine.view, worker, RATE_PROCESS, engine.rate, engine.now_ms):
        engine.limited = engine.rate_limited = True
        return False
    if frontend.rate == 0 or rate_take(
            &engine.view, worker, 1 + frontend.index, frontend.rate, engine.now_ms):
        return True
    if engine.rate != 0:
        rate_give(&rate_windows(&engine.view, worker)[RATE_PROCESS], engine.now_ms)
    frontend.limited = engine.rate_limited = True
    return False


cdef inline void rates_give(Engine *engine, Frontend *frontend) noexcept nogil:
    """Nobody was there to be accepted."""
    if engine.rate != 0:
        rate_give(&rate_windows(&engine.view, engine.worker)[RATE_PROCESS], engine.now_ms)
    if frontend.rate != 0:
        rate_give(&rate_windows(&engine.view, engine.worker)[1 + frontend.index], engine.now_ms)


cdef inline bint place_take(Engine *engine, Listener *listener) noexcept nogil:
    """Count a session that is about to be accepted; False when a limit forbids it."""
    cdef Frontend *frontend = listener.frontend
    cdef uint64_t here = load_relaxed(&engine.counters.sessions)
    if here >= engine.sessions_max:
        engine.limited = True
        return False
    store_relaxed(&engine.counters.sessions, here + 1)
    count(&frontend.counters.sessions, 1)
    if listener.maxconn != 0:
        count(listener.sessions, 1)
    elif engine.maxconn == 0 and frontend.maxconn == 0:
        if rates_take(engine, frontend):
            return True
        place_give(engine, listener)
        return False
    fence_full()
    if engine.maxconn != 0 and sessions_everywhere(engine) > engine.maxconn:
        engine.limited = True
    elif frontend.maxconn != 0 and frontend_everywhere(engine, frontend) > frontend.maxconn:
        frontend.limited = True
    elif listener.maxconn != 0 and bind_everywhere(engine, listener) > listener.maxconn:
        listener.limited = True
        frontend.bind_limited = True
    elif rates_take(engine, frontend):
        return True
    place_give(engine, listener)
    return False


cdef inline void listener_register(Engine *engine, Listener *listener) noexcept nogil:
    cdef epoll_event event
    if listener.registered:
        return
    event.events = EPOLLIN | EPOLLEXCLUSIVE if listener.shared else EPOLLIN
    event.data.u64 = <uint64_t>listener | LISTENER_TAG
    listener.registered = epoll_ctl(engine.epoll, EPOLL_CTL_ADD, listener.fd, &event) == 0


cdef inline void listener_unregister(Engine *engine, Listener *listener) noexcept nogil:
    cdef epoll_event event
    if not listener.registered:
        return
    listener.registered = False
    epoll_ctl(engine.epoll, EPOLL_CTL_DEL, listener.fd, &event)


cdef inline bint listener_mine(Engine *engine, Listener *listener) noexcept nogil:
    """Whether this worker serves it: its own, one whose worker is away, or one that all share."""
    if listener.drained:
        return False
    return listener.shared or (
        load32_acquire(&engine.view.owners[listener.index]) == engine.worker)


cdef inline void listeners_refresh(Engine *engine) noexcept nogil:
    """Register what this worker is to serve now, and nothing else."""
    cdef Listener *listener
    cdef uint32_t index
    for index in range(engine.listener_count):
        listener = &engine.listeners[index]
        if listener_mine(engine, listener) and engine.resume_ms == 0 and not (
                engine.limited or listener.frontend.limited or listener.limited):
            listener_register(engine, listener)
        else:
            listener_unregister(engine, listener)


cdef inline void shorten_segments(int fd, int less) noexcept nogil:
    """Let a client's segments be shorter than its path allows (`mss` below 0)."""
    cdef int mss
    cdef socklen_t length = sizeof(mss)
    if getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, &length) == 0:
        mss += less
        setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss))


cdef inline bint session_open(
        Engine *engine, Listener *listener, int fd, const sockaddr_storage *address) noexcept nogil:
    """A session for an accepted client; False without memory (the client is closed)."""
    cdef Session *session = <Session *>pool_take(&engine.sessions)
    if session == NULL:
        close(fd)
        return False
    session.listener = listener
    session.frontend = listener.frontend
    session.state = STATE_HEADER if listener.accepts_proxy else STATE_ACCEPTED
    session.slot = NO_SLOT
    session.started_ms = engine.now_ms
    session.source_hash = hash_address(<const sockaddr *>address)
    session.sides[CLIENT].fd = fd
    session.sides[CLIENT].flags = WRITABLE | NODELAY
    session.sides[CLIENT].activity_ms = engine.now_ms
    session.sides[SERVER].fd = -1
    if (listener.keeps_addresses and not addresses_keep(engine, session, address)) or (
            not watch(engine, session, CLIENT, EPOLL_CTL_ADD, False)):
        addresses_drop(engine, session)
        pool_give(&engine.sessions, session)
        close(fd)
        return False
    if listener.frontend.nolinger:
        session.sides[CLIENT].flags |= RESETS
    if listener.mss_less != 0:
        shorten_segments(fd, listener.mss_less)
    count_accepted(engine, listener.frontend)
    if session.state == STATE_HEADER:
        session_arm(engine, session)
        return True
    session_admit(engine, session)
    if listener.frontend.log != NULL:
        log_accepted(engine, session, <const sockaddr_in6 *>address)
    if listener.client_first >= CLIENT_FIRST_SURE:
        session_arm(engine, session)
    else:
        session_begin(engine, session)
    return True


cdef inline void accept_overload(Engine *engine) noexcept nogil:
    """Descriptors or memory ran out: leave the queues to wait for a while."""
    count(&engine.counters.accept_pauses, 1)
    engine.resume_ms = engine.now_ms + OVERLOAD_PAUSE_MS
    listeners_refresh(engine)


cdef inline int accept_batch(Engine *engine, Listener *listener) noexcept nogil:
    """Accept a batch from one listener."""
    cdef sockaddr_storage address
    cdef socklen_t length
    cdef int taken, fd
    for taken in range(ACCEPT_BATCH):
        if not place_take(engine, listener):
            count(&engine.counters.maxconn_pauses, 1)
            listeners_refresh(engine)
            return ACCEPT_STOPPED
        length = sizeof(address)
        address.ss_family = 0
        fd = accept4(
            listener.fd, <sockaddr *>&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd >= 0:
            if not session_open(engine, listener, fd, &address):
                place_give(engine, listener)
                accept_overload(engine)
                return ACCEPT_STOPPED
            continue
        place_give(engine, listener)
        rates_give(engine, listener.frontend)
        if errno == EAGAIN:
            return ACCEPT_DRAINED
        if errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
            accept_overload(engine)
            return ACCEPT_STOPPED
        if errno in (EBADF, EINVAL, ENOTSOCK):  # no longer a listening socket
            listener.drained = True
            listener_unregister(engine, listener)
            return ACCEPT_DRAINED
    return ACCEPT_MORE


cdef inline void listener_event(Engine *engine, Listener *listener) noexcept nogil:
    """Clients wait; in a soft stop an empty queue is the end of a listener."""
    cdef int result = accept_batch(engine, listener)
    if result == ACCEPT_DRAINED and engine.stop_seen:
        listener.drained = True
        listener_unregister(engine, listener)


cdef inline void note_limited(Engine *engine) noexcept nogil:
    """Say of each frontend whether a listener of it is limited."""
    cdef uint32_t index
    for index in range(engine.frontend_count):
        engine.frontends[index].bind_limited = False
    for index in range(engine.listener_count):
        if engine.listeners[index].limited:
            engine.listeners[index].frontend.bind_limited = True


cdef inline void places_review(Engine *engine) noexcept nogil:
    """Try the listeners that a limit stopped; those with an empty queue are watched again.

    One that another worker serves now is stopped by nothing here.
    """
    cdef uint8_t limited = engine.limited
    cdef Listener *listener
    cdef uint32_t index
    engine.limited = engine.rate_limited = False
    for index in range(engine.listener_count):
        listener = &engine.listeners[index]
        if not (limited or listener.frontend.limited or listener.limited):
            continue
        listener.frontend.limited = False
        listener.limited = False
        if not listener_mine(engine, listener):
            continue
        listener_event(engine, listener)
        if engine.resume_ms != 0 or engine.limited:
            break
    note_limited(engine)
    listeners_refresh(engine)


cdef inline void ring_waiting(Engine *engine) noexcept nogil:
    """A place became free: wake the other relays if one of them may have stopped for want of it."""
    cdef bint near = False
    cdef Frontend *frontend
    cdef Listener *listener
    cdef uint32_t index
    if not engine.limits_shared:
        return
    fence_full()
    if engine.maxconn != 0:
        near = sessions_everywhere(engine) + engine.workers >= engine.maxconn
    for index in range(engine.frontend_count):
        frontend = &engine.frontends[index]
        if frontend.maxconn != 0 and frontend.place_freed:
            frontend.place_freed = False
            if frontend_everywhere(engine, frontend) + engine.workers >= frontend.maxconn:
                near = True
    for index in range(engine.listener_count):
        listener = &engine.listeners[index]
        if listener.place_freed:
            listener.place_freed = False
            if bind_everywhere(engine, listener) + engine.workers >= listener.maxconn:
                near = True
    if near:
        for index in range(engine.workers):
            if index != engine.worker:
                ring_bell(engine.relay_bells[index])
