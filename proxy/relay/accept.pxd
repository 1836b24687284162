# Accepting clients within the limits: batches, places, pauses.
#
# A place is taken before accept4() is called (admission/admission.pxd): no client is accepted and
# then dropped, and `maxconn` is never exceeded. A listener that a limit stops is out of the epoll
# set (level-triggered, it would fire without end), and gets one client each time its turn has come
# (admission/stopped.pxd). What comes faster than a limited rate waits in the kernel's queue
# likewise, and is looked for every RATE_PAUSE_MS.
#
# What becomes of an accepted client is session/begin.pxd.

from libc.errno cimport EAGAIN, EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, errno
from libc.stdint cimport uint32_t, uint64_t, uint8_t

from proxy.relay.admission.admission cimport (
    client_place_give, client_place_take, limit_ahead, limit_free)
from proxy.relay.admission.ahead cimport ahead_ask, ahead_trim, ahead_wanted
from proxy.relay.admission.connection_rules cimport (
    CONNECTION_HEADED, CONNECTION_REFUSED, CONNECTION_TAKEN, connection_judge)
from proxy.relay.admission.setup cimport limits_ordered
from proxy.relay.admission.stopped cimport (
    clients_wait, limit_tell, limits_publish, stop_enter, stop_leave, ticket_take, turn_served)
from proxy.relay.balance.source_hash cimport hash_address
from proxy.relay.proxy_protocol.addresses cimport addresses_drop, addresses_keep, listener_address
from proxy.relay.session.begin cimport session_begin
from proxy.relay.session.session cimport watch
from proxy.relay.session.stages cimport STAGE_HEADER
from proxy.relay.state.counting cimport count_accepted
from proxy.relay.state.pool cimport pool_give, pool_take
from proxy.relay.state.syscalls cimport (
    EPOLLEXCLUSIVE, EPOLLIN, EPOLL_CTL_ADD, EPOLL_CTL_DEL, IPPROTO_TCP, SOCK_CLOEXEC,
    SOCK_NONBLOCK, TCP_MAXSEG, accept4, close, epoll_ctl, epoll_event, getsockopt,
    setsockopt, sockaddr, sockaddr_in6, sockaddr_storage, socklen_t)
from proxy.relay.state.types cimport (
    ACCEPT_BATCH, CLIENT, HEADED, LIMIT_PLACES, NODELAY, NO_SLOT, OVERLOAD_PAUSE_MS, RESETS, SERVER,
    STATE_ACCEPTED, STATE_HEADER, WRITABLE, Addresses, Engine, Limit, Listener, Session)
from proxy.relay.tables.tracking cimport tracks_leave
from proxy.rules.variables.memory cimport variables_free
from shm.atomics cimport count, fence_full, load32_acquire, load_acquire
from shm.layout cimport OWNER_CLOSES

cdef enum:
    LISTENER_TAG = 2  # in the event's word; sessions have 0 and 1 there, the bell is all zero

cdef enum:  # AcceptResult
    ACCEPT_MORE = 0  # a client, or a batch of them, was accepted
    ACCEPT_DRAINED = 1  # the queue is empty
    ACCEPT_STOPPED = 2  # a limit or an overload


cdef inline void listener_register(Engine *engine, Listener *listener) noexcept nogil:
    cdef epoll_event event
    if listener.registered:
        return
    event.events = EPOLLIN | EPOLLEXCLUSIVE if listener.shared else EPOLLIN
    event.data.u64 = <uint64_t>listener | LISTENER_TAG
    listener.registered = epoll_ctl(engine.epoll, EPOLL_CTL_ADD, listener.fd, &event) == 0
    if listener.address.sin6_family == 0 and not listener.anywhere:
        listener_address(listener)
        listener.anywhere = listener.address.sin6_family == 0


cdef inline void listener_unregister(Engine *engine, Listener *listener) noexcept nogil:
    cdef epoll_event event
    if not listener.registered:
        return
    listener.registered = False
    epoll_ctl(engine.epoll, EPOLL_CTL_DEL, listener.fd, &event)


cdef inline bint listener_mine(Engine *engine, Listener *listener) noexcept nogil:
    """Whether this worker serves it: its own, one whose worker is away, or one that all share.

    An operator may have closed its frontend.
    """
    if listener.drained or load_acquire(
            &engine.view.client_orders[1 + listener.frontend.index].state) != 0:
        return False
    return listener.shared or engine.worker == (
        load32_acquire(&engine.view.owners[listener.index]) & ~<uint32_t>OWNER_CLOSES)


cdef inline void listener_closes(Engine *engine, Listener *listener) noexcept nogil:
    """It will be closed: clients that wait for a place are accepted now, or they would be reset."""
    if load32_acquire(&engine.view.owners[listener.index]) & OWNER_CLOSES:
        listener.limit_count = 0
        if listener.stopped_by != NULL:
            stop_leave(engine, listener)


cdef inline void listener_reconsider(Engine *engine, Listener *listener) noexcept nogil:
    """Other limits may hold for it, and it may listen again."""
    if listener.stopped_by != NULL:
        stop_leave(engine, listener)
    listener.drained = listener.drained and engine.stop_seen


cdef inline void listeners_refresh(Engine *engine) noexcept nogil:
    """Register what this worker is to serve now, and nothing else."""
    cdef bint ordered = limits_ordered(engine)
    cdef Listener *listener
    cdef uint32_t index
    for index in range(engine.listener_count):
        listener = &engine.listeners[index]
        if ordered:
            listener_reconsider(engine, listener)
        listener_closes(engine, listener)
        if listener.stopped_by != NULL and not listener_mine(engine, listener):
            stop_leave(engine, listener)
        listener_watch(engine, listener)


cdef inline void listener_watch(Engine *engine, Listener *listener) noexcept nogil:
    """Hear of clients exactly while this worker may accept them."""
    if listener.stopped_by == NULL and engine.resume_ms == 0 and listener_mine(engine, listener):
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
        Engine *engine, Listener *listener, int fd, const sockaddr_storage *address,
        bint headed, Addresses *judged) noexcept nogil:
    """A session for an accepted client; False without memory (the client is closed).

    `judged`: what rules have noted of it already; NULL: they have not looked at it.
    """
    cdef Session *session = <Session *>pool_take(&engine.sessions)
    if session == NULL:
        close(fd)
        return False
    session.listener = listener
    session.state = STATE_HEADER if headed else STATE_ACCEPTED
    if headed:
        session.flags = HEADED
    session.slot = NO_SLOT
    session.started_ms = engine.now_ms
    session.source_hash = hash_address(<const sockaddr *>address)
    session.sides[CLIENT].fd = fd
    session.sides[CLIENT].flags = WRITABLE | NODELAY
    session.sides[CLIENT].activity_ms = engine.now_ms
    session.sides[SERVER].fd = -1
    if (listener.keeps_addresses and not addresses_keep(engine, session, address, judged)) or (
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
    session_begin(engine, session, STAGE_HEADER, <const sockaddr_in6 *>address)
    return True


cdef inline void accept_overload(Engine *engine) noexcept nogil:
    """Descriptors or memory ran out: leave the queues to wait for a while."""
    count(&engine.counters.accept_pauses, 1)
    engine.resume_ms = engine.now_ms + OVERLOAD_PAUSE_MS
    listeners_refresh(engine)
    limits_publish(engine)


cdef inline void accept_resume(Engine *engine) noexcept nogil:
    """The pause is over."""
    engine.resume_ms = 0
    listeners_refresh(engine)
    limits_publish(engine)


cdef inline int client_accepted(
        Engine *engine, Listener *listener, int fd, sockaddr_storage *address) noexcept nogil:
    """Begin the session of a client, unless a rule refuses it."""
    cdef int verdict = CONNECTION_HEADED if listener.accepts_proxy else CONNECTION_TAKEN
    cdef Addresses ends
    cdef Addresses *judged = NULL
    if listener.frontend.rules != NULL:
        judged = &ends
        verdict = max(verdict, connection_judge(engine, listener, fd, address, judged))
    if verdict == CONNECTION_REFUSED:
        client_place_give(engine, listener)
        return ACCEPT_MORE
    if session_open(engine, listener, fd, address, verdict == CONNECTION_HEADED, judged):
        return ACCEPT_MORE
    if judged != NULL:
        tracks_leave(engine, &judged.tracks)
        variables_free(engine.judge.room, &judged.variables)
    client_place_give(engine, listener)
    accept_overload(engine)
    return ACCEPT_STOPPED


cdef inline int accept_one(Engine *engine, Listener *listener) noexcept nogil:
    """Accept a client, whose place is taken already; without a client the place is given back."""
    cdef sockaddr_storage address
    cdef socklen_t length = sizeof(address)
    cdef int fd
    address.ss_family = 0
    fd = accept4(listener.fd, <sockaddr *>&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if fd >= 0:
        return client_accepted(engine, listener, fd, &address)
    client_place_give(engine, listener)
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


cdef inline int listener_stop(
        Engine *engine, Listener *listener, Limit *limit) noexcept nogil:
    """A limit forbids another client: if one waits, it does so until the listener's turn comes."""
    if not clients_wait(listener):
        return ACCEPT_DRAINED
    count(&engine.counters.maxconn_pauses, 1)
    ticket_take(engine, listener)
    stop_enter(engine, listener, limit)
    listener_watch(engine, listener)
    return ACCEPT_STOPPED


cdef inline int accept_batch(Engine *engine, Listener *listener) noexcept nogil:
    """Accept from one listener as many as a turn allows it."""
    cdef Limit *limit
    cdef int taken, result
    for taken in range(engine.accepts):
        limit = client_place_take(engine, listener)
        if limit != NULL:
            return listener_stop(engine, listener, limit)
        result = accept_one(engine, listener)
        if result != ACCEPT_MORE:
            return result
    return ACCEPT_MORE


cdef inline void listener_drained(Engine *engine, Listener *listener) noexcept nogil:
    """The queue of a listener is empty; in a soft stop that is its end."""
    if engine.stop_seen:
        listener.drained = True
        listener_unregister(engine, listener)


cdef inline void listener_leave(Engine *engine, Listener *listener) noexcept nogil:
    """In a soft stop: give back a socket on which others listen, once this worker has emptied it.

    When they close it, it must not stay open for the sake of a long session here: clients would
    wait in its queue for nobody. What a limit keeps this worker from, the others accept.
    """
    if listener.fd < 0 or listener.registered or engine.resume_ms != 0 or (
            load32_acquire(&engine.view.owners[listener.index]) & OWNER_CLOSES):
        return
    if listener.stopped_by != NULL:
        stop_leave(engine, listener)
    listener.drained = True
    close(listener.fd)
    listener.fd = -1


cdef inline void listener_event(Engine *engine, Listener *listener) noexcept nogil:
    """Clients wait, unless another worker was faster."""
    if listener.registered and listener.stopped_by == NULL and (
            accept_batch(engine, listener) == ACCEPT_DRAINED):
        listener_drained(engine, listener)


cdef inline bint stopped_accept(Engine *engine, Limit *limit) noexcept nogil:
    """Let the first listener that a limit stops accept one client; False: it stays stopped."""
    cdef Listener *listener = limit.first
    cdef Limit *ahead
    cdef int result
    if listener == NULL or engine.resume_ms != 0:
        return False
    ahead = limit_ahead(engine, listener)
    if ahead == NULL:
        ahead = client_place_take(engine, listener)
    if ahead == limit:
        return False
    if ahead != NULL:  # this limit keeps it no more, but another one does
        stop_leave(engine, listener)
        stop_enter(engine, listener, ahead)
        return True
    result = accept_one(engine, listener)
    if result == ACCEPT_MORE:
        turn_served(engine, listener)
    elif result == ACCEPT_DRAINED:
        stop_leave(engine, listener)
        listener_drained(engine, listener)
    listener_watch(engine, listener)
    return True


cdef inline void limits_settle(Engine *engine) noexcept nogil:
    """At the end of a turn: what was given back goes to the listeners whose turn has come.

    First to this worker's, as far as it is theirs; then another worker is told.
    """
    cdef Limit *limit = engine.freed
    cdef Limit *following
    cdef int taken
    engine.freed = NULL
    if limit != NULL:
        fence_full()
    while limit != NULL:
        following = limit.next_freed
        limit.freed = False
        taken = 0
        ahead_trim(engine, limit)
        if ahead_wanted(engine, limit):
            fence_full()
        while taken < ACCEPT_BATCH and stopped_accept(engine, limit):
            taken += 1
        if taken == ACCEPT_BATCH:
            limit_free(engine, limit)
        if taken != 0:
            fence_full()
        limit_tell(engine, limit)
        if limit.kind == LIMIT_PLACES and limit.first != NULL:
            ahead_ask(engine, limit)
        limit = following
