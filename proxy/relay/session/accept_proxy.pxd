# Clients behind another proxy: a session that begins with a PROXY header (bind ... accept-proxy).
#
# The header may come in pieces: what is there is held until it is whole. What follows it are the
# client's first bytes. Until then the session has no backend, no server and no time-out but
# `timeout client`, counted from accept. A client that sends anything else is refused, with a reset
# as from HAProxy.

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from proxy.relay.balance.source_hash cimport hash_address
from proxy.relay.log.failed cimport log_failed
from proxy.relay.proxy_protocol.addresses cimport EARLY_BYTES_MAX
from proxy.relay.proxy_protocol.fields cimport fields_keep
from proxy.relay.proxy_protocol.format cimport HEADER_SIGNATURE_BYTES, MILLRACE_SIGNATURE
from proxy.relay.proxy_protocol.read cimport (
    HEADER_INCOMPLETE, HEADER_INVALID, LINE_PREFIX_BYTES, header_read)
from proxy.relay.session.early cimport Beginning, early_hold, early_take
from proxy.relay.session.session cimport EVENT_HEADER, session_step
from proxy.relay.sides.side_io cimport side_receive
from proxy.relay.session.stages cimport ENDS, GOES_ON, WAITS
from proxy.relay.state.rule_types cimport ASKED_FIELDS
from proxy.relay.state.syscalls cimport sockaddr
from proxy.relay.state.types cimport (
    CLIENT, CONFIRM, READABLE, STATE_HEADER, TERMINATION_CLIENT_ABORT_HEADER,
    TERMINATION_REFUSED, TERMINATION_RESOURCE_CONNECT, Engine, Session, Side)
from proxy.rules.connection.errors cimport (
    ERROR_ABORT, ERROR_BAD_HEADER, ERROR_BAD_PROTOCOL, ERROR_EMPTY, ERROR_NO_HEADER,
    ERROR_TRUNCATED)


cdef inline void header_accepted(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """The header is whole: the session is that of the client that it names."""
    session_step(session, EVENT_HEADER)
    beginning.source = &session.addresses.source
    session.source_hash = hash_address(<const sockaddr *>beginning.source)
    session.sides[CLIENT].bytes = beginning.length
    session.sides[CLIENT].activity_ms = engine.now_ms


cdef inline uint8_t error_at_end(size_t filled, ssize_t received) noexcept nogil:
    """Why there is no header where the client ended, or broke, its connection."""
    if filled != 0:
        return ERROR_TRUNCATED
    return ERROR_EMPTY if received == 0 else ERROR_ABORT


cdef inline uint8_t error_of(const unsigned char *bytes, size_t length) noexcept nogil:
    """Why bytes are no header."""
    if length > LINE_PREFIX_BYTES and memcmp(bytes, b"PROXY ", LINE_PREFIX_BYTES) == 0:
        bytes += LINE_PREFIX_BYTES
        if length >= LINE_PREFIX_BYTES + 4 and (
                memcmp(bytes, b"TCP4", 4) == 0 or memcmp(bytes, b"TCP6", 4) == 0
                or memcmp(bytes, b"UNKN", 4) == 0):
            return ERROR_BAD_HEADER
        return ERROR_BAD_PROTOCOL
    if length > HEADER_SIGNATURE_BYTES and bytes[HEADER_SIGNATURE_BYTES] >> 4 == 2 and (
            memcmp(bytes, MILLRACE_SIGNATURE, HEADER_SIGNATURE_BYTES) == 0):
        return ERROR_BAD_HEADER
    return ERROR_NO_HEADER


cdef inline int header_stage(
        Engine *engine, Session *session, Beginning *beginning) noexcept nogil:
    """Receive what the client has sent, until its header is whole."""
    cdef Side *client = &session.sides[CLIENT]
    cdef char *bytes = beginning.bytes
    cdef int header = HEADER_INCOMPLETE
    cdef size_t filled
    cdef ssize_t received
    if session.state != STATE_HEADER:
        return GOES_ON
    filled = early_take(engine, session, bytes)
    while header == HEADER_INCOMPLETE and client.flags & READABLE:
        received = side_receive(client, bytes + filled, EARLY_BYTES_MAX - filled)
        if received > 0:
            if received < <ssize_t>(EARLY_BYTES_MAX - filled) and not client.flags & CONFIRM:
                client.flags &= ~READABLE
            filled += received
            header = header_read(
                <const unsigned char *>bytes, <int>filled, session.addresses)
        elif received < 0 and errno == EAGAIN:
            client.flags &= ~(READABLE | CONFIRM)
        else:
            log_failed(engine, session, error_at_end(filled, received))
            beginning.termination = TERMINATION_CLIENT_ABORT_HEADER
            beginning.reset_side = CLIENT if filled != 0 else -1
            return ENDS
    if header == HEADER_INVALID:
        log_failed(engine, session, error_of(<const unsigned char *>bytes, filled))
        beginning.termination = TERMINATION_REFUSED
        beginning.reset_side = CLIENT
        return ENDS
    if header == HEADER_INCOMPLETE:
        if early_hold(engine, session, bytes, filled):
            return WAITS
        beginning.termination = TERMINATION_RESOURCE_CONNECT
        return ENDS
    if engine.judge.asks & ASKED_FIELDS:
        fields_keep(session.addresses, <const unsigned char *>bytes, header)
    beginning.bytes = bytes + header
    beginning.length = filled - header
    header_accepted(engine, session, beginning)
    return GOES_ON
