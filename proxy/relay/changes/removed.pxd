# `on-removed drain|shutdown`: what becomes of sessions whose address the server has no longer.
#
# A session knows the generation of the slot that it connected to. Where the slot has another one,
# DNS has removed the address, moved the server, or taken that back: only then the socket is asked
# where it leads. An operator's maintenance or address leaves the generation as it is. A session
# that still connects leads nowhere yet and counts as removed.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from proxy.relay.session.attempt cimport address_of
from proxy.relay.session.session cimport session_arm, session_end_down
from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.syscalls cimport (
    AF_INET, getpeername, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t)
from proxy.relay.state.types cimport SERVER, Engine, Session
from shm.eligibility cimport ServerView
from shm.records cimport STATIC_SHUTDOWN_REMOVED


cdef inline bint moved_since(Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """Whether the slot is another one since the last call, and sessions are to be looked at."""
    cdef uint32_t present
    if not engine.view.statics[slot].flags & STATIC_SHUTDOWN_REMOVED:
        return False
    present = server_cached(engine, slot, generation).generation
    if present == engine.servers[slot].generation_walked:
        return False
    engine.servers[slot].generation_walked = present
    return True


cdef inline bint leads_there(
        Engine *engine, Session *session, const ServerView *server) noexcept nogil:
    """Whether the session's connection leads to where the server is now."""
    cdef sockaddr_storage wanted
    cdef sockaddr_storage found
    cdef socklen_t length = sizeof(found)
    cdef sockaddr_in6 *wanted6 = <sockaddr_in6 *>&wanted
    cdef sockaddr_in6 *found6 = <sockaddr_in6 *>&found
    if server.family == 0 or getpeername(
            session.sides[SERVER].fd, <sockaddr *>&found, &length) != 0:
        return False
    address_of(engine, session, server, &wanted)
    if found.ss_family != wanted.ss_family:
        return False
    if found.ss_family == AF_INET:
        return (
            (<sockaddr_in *>&found).sin_port == (<sockaddr_in *>&wanted).sin_port
            and (<sockaddr_in *>&found).sin_addr.s_addr == (
                <sockaddr_in *>&wanted).sin_addr.s_addr)
    return found6.sin6_port == wanted6.sin6_port and (
        memcmp(&found6.sin6_addr, &wanted6.sin6_addr, 16) == 0)


cdef inline void removed_look(Engine *engine, Session *session, uint64_t generation) noexcept nogil:
    """One session of a walk: it is where its server is, or its end is near."""
    cdef const ServerView *server
    if not engine.view.statics[session.slot].flags & STATIC_SHUTDOWN_REMOVED:
        return
    if session.sides[SERVER].fd < 0:  # it waits, and looks at the slot anew when it goes on
        return
    server = server_cached(engine, session.slot, generation)
    if session.generation == server.generation:
        return
    if leads_there(engine, session, server):
        session.generation = server.generation
        session.removed_end_ms = 0
        return
    if session.removed_end_ms != 0:
        return
    session.removed_end_ms = (
        engine.now_ms + engine.view.statics[session.slot].removed_drain_ms)
    if session.removed_end_ms <= engine.now_ms:
        session_end_down(engine, session)
    else:
        session_arm(engine, session)
