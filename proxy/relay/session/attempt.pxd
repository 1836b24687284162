# Reaching a server: pick, connect without blocking, try again.
#
# Owns everything from the picked server to the connection. As in HAProxy, a failed attempt is
# followed, while `retries` last, by
#   - another server at once, when `option redispatch` is set and says so for this retry, or the
#     backend balances by turns and has other servers (the session does not care which it gets);
#   - else the same server: at once after a time-out, after min(`timeout connect`, 1 s) if it
#     refused.
# Every attempt looks at the slot anew, so a server that DNS moved meanwhile is found; one that
# takes no sessions any more is left for another. A session that was sent to its server by a rule,
# an entry or a cookie stays; with `option redispatch` it leaves one that is down at once.
#
# A failed attempt asks resolverd for a resolution: a request counter first, then its bell.

from libc.errno cimport (
    EADDRNOTAVAIL, EAGAIN, EINPROGRESS, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETIMEDOUT,
    errno)
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from proxy.relay.balance.pick cimport members_in_turn
from proxy.relay.balance.present cimport away_set
from proxy.relay.log.session cimport log_connected, log_toward
from proxy.relay.proxy_protocol.addresses cimport came_to, came_to_port
from proxy.relay.proxy_protocol.format cimport HEADER_NONE
from proxy.relay.session.early cimport early_held
from proxy.relay.session.enter cimport (
    PICK_NONE, PICK_QUEUED, PICK_REFUSED, PICK_TAKEN, is_direct, session_pick, session_pick_this)
from proxy.relay.session.server_socket cimport (
    marks_set, outgoing_prepare, port_taken, ports_to_try)
from proxy.relay.session.session cimport (
    EVENT_ATTEMPT, EVENT_CONNECTED, EVENT_WAIT, session_arm, session_break, session_step, watch)
from proxy.relay.sides.side_io cimport side_close
from proxy.relay.state.counting cimport (
    count_attempt, count_connected, count_retry, count_unreachable, retries_of)
from proxy.relay.state.observed cimport observe_error, observe_success
from proxy.relay.state.server_types cimport Outgoing
from proxy.relay.state.server_view cimport has_address, server_cached, standing_of
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, EPOLL_CTL_ADD, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM,
    TCP_QUICKACK, close, connect, htons, setsockopt, sockaddr, sockaddr_in, sockaddr_in6,
    sockaddr_storage, socket, socklen_t)
from proxy.relay.tables.persistence cimport stores_make
from proxy.relay.state.types cimport (
    ACKS_LATE, BALANCE_RANDOM, BALANCE_ROUNDROBIN, BALANCE_STATIC, CONNECTED, JUDGED_LATER,
    NO_SLOT, RESETS, SERVER, STANDING_AWAY, TERMINATION_RESOURCE_CONNECT,
    TERMINATION_SERVER_ABORT_CONNECT,
    TERMINATION_SERVER_ABORT_QUEUE, TERMINATION_SERVER_TIMEOUT_CONNECT, WRITABLE, Backend, Engine,
    Session)
from shm.atomics cimport count, fence_release, load_acquire, store_relaxed
from shm.eligibility cimport WARM_STEPS, ServerView, warmth
from shm.layout cimport Request
from shm.records cimport STATIC_PORT_RELATIVE
from shm.segment cimport request_of

cdef enum:
    FAILED_FOR_GOOD = 0
    FAILED_WAIT = 1
    FAILED_AGAIN = 2
    FAILED_QUEUED = 3

cdef enum:  # what the client's first bytes are when an attempt begins
    EARLY_NONE = 0  # none yet: the server may speak first
    EARLY_KEPT = 1  # held (early.pxd)
    EARLY_AT_HAND = 2  # the caller sends them right after connect()


cdef inline bint names_none(const ServerView *server) noexcept nogil:
    """Whether the server's address is 0.0.0.0 or ::, for where the client came to."""
    cdef uint64_t parts[2]
    memset(parts, 0, sizeof(parts))
    memcpy(parts, server.address, 4 if server.family == 4 else 16)
    return parts[0] == 0 and parts[1] == 0


cdef inline socklen_t address_of(
        Engine *engine, Session *session, const ServerView *server,
        sockaddr_storage *address) noexcept nogil:
    """The socket address of a server, or where the client came to; its length."""
    cdef uint16_t port = server.port
    cdef sockaddr_in *address4 = <sockaddr_in *>address
    cdef sockaddr_in6 *address6 = <sockaddr_in6 *>address
    cdef const Outgoing *words = engine.outgoing[session.slot]
    if engine.view.statics[session.slot].flags & STATIC_PORT_RELATIVE:
        port = <uint16_t>(port + came_to_port(session))
    memset(address, 0, sizeof(address[0]))
    if words != NULL and words.local_length != 0:
        memcpy(address, words.local, words.local_length)
        return words.local_length
    if names_none(server):
        came_to(session, address6)
        address6.sin6_port = htons(port)  # the same place in both families
        if address.ss_family == AF_INET:
            return sizeof(sockaddr_in)
        if address.ss_family == AF_INET6:
            return sizeof(sockaddr_in6)
        memset(address, 0, sizeof(address[0]))  # from a Unix socket: this host
    if server.family == 4:
        address4.sin_family = AF_INET
        address4.sin_port = htons(port)
        memcpy(&address4.sin_addr, server.address, 4)
        return sizeof(sockaddr_in)
    address6.sin6_family = AF_INET6
    address6.sin6_port = htons(port)
    memcpy(&address6.sin6_addr, server.address, 16)
    return sizeof(sockaddr_in6)


cdef inline int connect_once(
        Session *session, Outgoing *words, const sockaddr_storage *address, socklen_t length,
        bint prompt) noexcept nogil:
    """Begin to connect with a new socket; 0 or an errno, which leaves none open.

    Where bytes follow promptly the last packet of the handshake rides on them; else it must not
    wait. So do later acknowledgements, until the server's first bytes have come (`acks_resume`).
    """
    cdef int zero = 0
    cdef int error = 0
    cdef int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if fd < 0:
        return errno
    if words != NULL:
        error = outgoing_prepare(words, fd, session, address.ss_family, prompt)
    if session.addresses != NULL and session.addresses.marked != 0:
        marks_set(session.addresses, fd, address.ss_family)
    if prompt:
        setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &zero, sizeof(zero))
    if error == 0 and connect(fd, <sockaddr *>address, length) != 0 and errno != EINPROGRESS:
        error = errno
    if error != 0:
        close(fd)
        return error
    session.sides[SERVER].fd = fd
    session.flown = 0
    session.sides[SERVER].flags = (RESETS if session.backend.nolinger else 0) | (
        ACKS_LATE if prompt else 0)
    return 0


cdef inline int open_toward(
        Engine *engine, Session *session, const ServerView *server, int early) noexcept nogil:
    """Begin to connect; 0 or an errno."""
    cdef sockaddr_storage address
    cdef socklen_t length = address_of(engine, session, server, &address)
    cdef Outgoing *words = engine.outgoing[session.slot]
    cdef uint32_t left = ports_to_try(words)
    cdef bint prompt = early != EARLY_NONE or engine.headers[session.slot] != HEADER_NONE
    cdef int error
    while True:
        error = connect_once(session, words, &address, length, prompt)
        left -= 1
        if left == 0 or not port_taken(error):
            break
    if error != 0:
        return error
    log_toward(session, &address)
    session.generation = server.generation
    session.removed_end_ms = 0
    if early != EARLY_AT_HAND and not watch(engine, session, SERVER, EPOLL_CTL_ADD, True):
        side_close(&session.sides[SERVER], False)
        return ENOMEM
    return 0


cdef inline bint is_local_error(int error) noexcept nogil:
    return error in (EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EAGAIN)


cdef inline void ask_resolution(Engine *engine, Session *session) noexcept nogil:
    """The slot's address did not answer: tell resolverd, unless the fault was ours."""
    cdef Request *request
    if is_local_error(session.error):
        return
    request = request_of(&engine.view, engine.worker, session.slot)
    if session.error == ETIMEDOUT:
        store_relaxed(&request.client_began_ms, session.attempt_ms)
        fence_release()  # a reader that sees the count sees the time
        count(&request.client_timeouts, 1)
    else:
        count(&request.client_refusals, 1)
    engine.ring_resolverd = True


cdef inline void session_unreachable(Engine *engine, Session *session) noexcept nogil:
    """No attempt is left, or no server to try."""
    if session.error == ETIMEDOUT:
        session_break(engine, session, TERMINATION_SERVER_TIMEOUT_CONNECT, -1)
    elif is_local_error(session.error):
        session_break(engine, session, TERMINATION_RESOURCE_CONNECT, -1)
    else:
        session_break(engine, session, TERMINATION_SERVER_ABORT_CONNECT, -1)


cdef inline bint is_down(Engine *engine, uint32_t slot) noexcept nogil:
    """Whether a server is down, in maintenance, or warms up after that."""
    cdef const ServerView *server = server_cached(
        engine, slot, load_acquire(&engine.view.header.table_generation))
    return standing_of(server) == STANDING_AWAY or WARM_STEPS != warmth(
        server.warm_from_ms, engine.view.statics[slot].slowstart_ms, engine.now_ms)


cdef inline bint seeks_another(Engine *engine, const Session *session) noexcept nogil:
    """Whether a session leaves its server because of its state: one that was named has to go on.

    There it has to be something to connect to.
    """
    cdef const ServerView *server = server_cached(
        engine, session.slot, load_acquire(&engine.view.header.table_generation))
    if is_direct(session):
        return not has_address(engine, session.slot, server)
    return not server.eligible


cdef inline bint redispatches(
        Engine *engine, const Session *session, uint32_t retry) noexcept nogil:
    """Whether this retry (from 1) may go to another server (manual, `option redispatch`).

    Where a server was balanced by turns, with others to go to, every retry may.
    """
    cdef const Backend *backend = session.backend
    cdef int interval = backend.redispatch
    cdef int retries = <int>retries_of(session) + 1
    if interval == 0 or (session.addresses != NULL and session.addresses.forced):
        return False
    if is_down(engine, session.slot):
        return True
    if interval > 0 and retry % interval == 0:
        return True
    if interval < 0 and retries + interval > 0 and retry % <uint32_t>(retries + interval) == 0:
        return True
    if is_direct(session):
        return False
    return backend.balance in (BALANCE_ROUNDROBIN, BALANCE_STATIC, BALANCE_RANDOM) and (
        members_in_turn(backend) > 1)


cdef inline void session_unpicked(Engine *engine, Session *session, int picked) noexcept nogil:
    """There is no server for the session, or no room in the queue of the only one."""
    count_unreachable(engine, session)
    if picked == PICK_REFUSED:
        session_break(engine, session, TERMINATION_SERVER_ABORT_QUEUE, -1)
    else:
        session_unreachable(engine, session)


cdef inline int attempt_failed(Engine *engine, Session *session, int error) noexcept nogil:
    """Decide what follows a failed attempt; the session has its next server already."""
    cdef uint32_t former = session.slot
    cdef int picked = PICK_TAKEN
    cdef bint elsewhere
    session.error = <uint8_t>error
    side_close(&session.sides[SERVER], False)
    ask_resolution(engine, session)
    if not is_local_error(error):
        observe_error(engine, former)
    session.retries += 1
    if session.retries > retries_of(session):
        count_unreachable(engine, session)
        return FAILED_FOR_GOOD
    elsewhere = redispatches(engine, session, session.retries) or seeks_another(engine, session)
    if elsewhere:
        picked = session_pick(engine, session, former)
    if picked == PICK_NONE or picked == PICK_REFUSED:
        count_unreachable(engine, session)
        return FAILED_FOR_GOOD
    count_retry(engine, session, former)
    if picked == PICK_QUEUED:
        return FAILED_QUEUED
    if session.slot != former or error == ETIMEDOUT:
        return FAILED_AGAIN
    return FAILED_WAIT


cdef inline int place_moved(
        Engine *engine, Session *session, const ServerView *server) noexcept nogil:
    """The server has another address than when the place was taken: seek one anew, if it has any.

    A place is for an address: the limit of the new one knows nothing of this session.
    """
    if is_direct(session) and has_address(engine, session.slot, server):
        return session_pick_this(engine, session, session.slot)
    if server.maxconn != 0 or engine.servers[session.slot].presence.gauged:
        return session_pick(engine, session, NO_SLOT)
    session.tag = engine.servers[session.slot].tag
    away_set(engine, session, False)
    return PICK_TAKEN


cdef inline void session_attempt(Engine *engine, Session *session, int early) noexcept nogil:
    """Connect to the picked server; goes on until an attempt is under way or none is left."""
    cdef uint64_t generation
    cdef const ServerView *server
    cdef int error, verdict, picked
    while True:
        generation = load_acquire(&engine.view.header.table_generation)
        server = server_cached(engine, session.slot, generation)
        if session.tag != engine.servers[session.slot].tag:
            picked = place_moved(engine, session, server)
            if picked == PICK_QUEUED:
                return
            if picked != PICK_TAKEN:
                session_unpicked(engine, session, picked)
                return
            continue
        session.attempt_ms = engine.now_ms
        session.sides[SERVER].activity_ms = engine.now_ms
        count_attempt(engine, session)
        error = open_toward(engine, session, server, early)
        if error == 0:
            session_arm(engine, session)
            return
        verdict = attempt_failed(engine, session, error)
        if verdict == FAILED_FOR_GOOD:
            session_unreachable(engine, session)
            return
        if verdict == FAILED_QUEUED:
            return
        if verdict == FAILED_WAIT:
            session_wait(engine, session)
            return
        session_step(session, EVENT_ATTEMPT)


cdef inline void session_wait(Engine *engine, Session *session) noexcept nogil:
    """Leave a server that refused alone for the turn-around time."""
    session.attempt_ms = engine.now_ms
    session_step(session, EVENT_WAIT)
    session_arm(engine, session)


cdef inline int early_kept(const Session *session) noexcept nogil:
    return EARLY_KEPT if early_held(session) else EARLY_NONE


cdef inline void session_retry(Engine *engine, Session *session, int error) noexcept nogil:
    """An attempt that was under way failed."""
    cdef int verdict = attempt_failed(engine, session, error)
    if verdict == FAILED_FOR_GOOD:
        session_unreachable(engine, session)
    elif verdict == FAILED_WAIT:
        session_wait(engine, session)
    elif verdict == FAILED_AGAIN:
        session_step(session, EVENT_ATTEMPT)
        session_attempt(engine, session, early_kept(session))


cdef inline void session_again(Engine *engine, Session *session) noexcept nogil:
    """The turn-around time is over."""
    cdef uint32_t former = session.slot
    cdef int picked = PICK_TAKEN
    if seeks_another(engine, session):
        picked = session_pick(engine, session, former)
    if picked == PICK_QUEUED:
        return
    if picked != PICK_TAKEN:
        session_unpicked(engine, session, picked)
        return
    session_step(session, EVENT_ATTEMPT)
    session_attempt(engine, session, early_kept(session))


cdef inline void session_connected(Engine *engine, Session *session) noexcept nogil:
    session_step(session, EVENT_CONNECTED)
    session.flags |= CONNECTED
    session.sides[SERVER].flags |= WRITABLE
    session.sides[SERVER].activity_ms = engine.now_ms
    count_connected(engine, session)
    observe_success(engine, session.slot)
    if session.backend.rules != NULL and (
            session.backend.rules.response.count + session.backend.rules.answers.count != 0):
        session.flags |= JUDGED_LATER
        session.attempt_ms = engine.now_ms
    else:
        stores_make(engine, session)
    log_connected(engine, session)
    session_arm(engine, session)
