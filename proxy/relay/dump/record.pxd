# What is told of one session. Pure but for the kernel's names of its ends, which sessions do not
# keep: those are asked for here, so that sessions grow by no byte.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from proxy.relay.session.deadline cimport DEADLINE_NONE, Deadline, session_deadline
from proxy.relay.state.ends cimport set_end
from proxy.relay.state.syscalls cimport (
    getpeername, getsockname, sockaddr, sockaddr_in6, sockaddr_storage, socklen_t)
from proxy.relay.state.types cimport ASSIGNED, CLIENT, CONNECTED, SERVER, Engine, Session, Side
from shm.dumps cimport DUMP_ANY, DumpAddress, SessionRecord


cdef inline void address_write(DumpAddress *told, const sockaddr_in6 *address) noexcept nogil:
    """An address as records have it; a Unix socket's is its family."""
    told.family = address.sin6_family
    set_end(told.bytes, &told.port, address)


cdef inline void end_write(DumpAddress *told, int fd, bint peer) noexcept nogil:
    """One end of a connection as the kernel names it; nothing if that fails."""
    cdef sockaddr_storage address
    cdef socklen_t length = sizeof(address)
    cdef int failed
    memset(&address, 0, sizeof(address))
    if peer:
        failed = getpeername(fd, <sockaddr *>&address, &length)
    else:
        failed = getsockname(fd, <sockaddr *>&address, &length)
    if failed == 0:
        address_write(told, <const sockaddr_in6 *>&address)


cdef inline void client_ends_write(SessionRecord *record, const Session *session) noexcept nogil:
    """Where the client comes from and came to, as its PROXY header says where it sent one."""
    cdef int fd = session.sides[CLIENT].fd
    if session.addresses != NULL:
        address_write(&record.source, &session.addresses.source)
        address_write(&record.front, &session.addresses.destination)
    if record.source.family == 0:
        end_write(&record.source, fd, True)
    if record.front.family == 0:
        end_write(&record.front, fd, False)


cdef inline uint32_t waiting_bytes(const Side *side) noexcept nogil:
    """How many bytes wait for a side."""
    cdef uint32_t held = side.pending.end - side.pending.start if side.pending != NULL else 0
    return held + (side.pipe.filled if side.pipe != NULL else 0)


cdef inline void record_write(
        Engine *engine, Session *session, SessionRecord *record) noexcept nogil:
    """Tell of one session that has not ended."""
    cdef Deadline deadline = session_deadline(session)
    cdef const Side *client = &session.sides[CLIENT]
    cdef const Side *server = &session.sides[SERVER]
    memset(record, 0, sizeof(record[0]))
    record.object = <uint64_t>session
    record.started_ms = session.started_ms
    record.attempt_ms = session.attempt_ms
    record.deadline_kind = deadline.kind
    record.deadline_ms = 0 if deadline.kind == DEADLINE_NONE else deadline.at_ms
    record.client_activity_ms = client.activity_ms
    record.server_activity_ms = server.activity_ms
    record.client_bytes = client.bytes
    record.server_bytes = server.bytes
    record.client_waiting = waiting_bytes(client)
    record.server_waiting = waiting_bytes(server)
    record.frontend = session.listener.frontend.index
    record.backend = session.backend.index if session.backend != NULL else DUMP_ANY
    record.slot = session.slot if session.flags & ASSIGNED else DUMP_ANY
    record.client_fd = client.fd
    record.server_fd = server.fd
    record.client_flags = client.flags
    record.server_flags = server.flags
    record.retries = session.retries
    record.state = session.state
    record.flags = session.flags
    record.error = session.error
    record.bind = session.listener.bind
    client_ends_write(record, session)
    if server.fd >= 0:
        end_write(&record.own, server.fd, False)
        if session.flags & CONNECTED:
            end_write(&record.server, server.fd, True)
