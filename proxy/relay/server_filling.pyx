"""What the relay keeps of one server: filled at the start, or when it is added at run time.

Owns what each word of a server's line is in C. A server that is added gets its memory while no
session can be at its slot (state/server_view.pxd withholds it until `filled` says which server all
of it is of), so the main thread may write what the relay thread reads.
"""

from ipaddress import ip_address
from socket import AF_UNIX
from sys import byteorder

from libc.stdint cimport uint32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from proxy.relay.balance.present cimport present_begin
from proxy.relay.proxy_protocol.format cimport (
    HEADER_AUTHORITY, HEADER_NONE, HEADER_TLS, HEADER_UNIQUE_ID, HEADER_V1, HEADER_V2,
    HEADER_V2_CHECKSUM)
from proxy.relay.state.rule_types cimport ASKED_FIELDS, ASKED_UNIQUE_ID
from proxy.relay.state.server_types cimport Outgoing
from proxy.relay.state.types cimport Engine
from shm.atomics cimport store32_release

from proxy.config.model.settings import ProxyHeader
from proxy.server_table import checked_by_program
from shm.tables.shape import server_hash

HEADERS = {
    ProxyHeader.NONE: HEADER_NONE,
    ProxyHeader.V1: HEADER_V1,
    ProxyHeader.V2: HEADER_V2,
    ProxyHeader.V2_CHECKSUM: HEADER_V2_CHECKSUM,
    ProxyHeader.V2_TLS: HEADER_V2 | HEADER_TLS,
    ProxyHeader.V2_TLS_CHECKSUM: HEADER_V2_CHECKSUM | HEADER_TLS,
}


cdef void *zeroed(size_t number, size_t size) except NULL:
    cdef void *found = calloc(max(number, <size_t>1), size)
    if found == NULL:
        raise MemoryError("relay")
    return found


cdef int server_fill(Engine *engine, object proxy, object server, object bells) except -1:
    """All of one server, whose slot had nothing, or another one."""
    cdef uint32_t slot = server.slot
    if server.queueing.maxconn != 0 and not engine.servers[slot].presence.gauged:
        present_begin(engine, slot)
    engine.limits[slot].minconn = server.queueing.minconn
    engine.limits[slot].maxqueue = server.queueing.maxqueue
    engine.limits[slot].error_limit = 0
    if server.check is not None:
        engine.limits[slot].error_limit = server.check.error_limit
        engine.limits[slot].checker_bell = bells.checker(
            slot, is_program=checked_by_program(proxy, server))
    engine.headers[slot] = header_of(server.connecting)
    engine.sticky[slot].name = server_hash(server.name)
    engine.sticky[slot].number = server.id
    engine.sticky[slot].excluded = server.balancing.non_stick
    fill_outgoing(engine, proxy, server)
    store32_release(&engine.servers[slot].filled, server.added)
    return 0


cdef uint8_t header_of(object connecting) except? 255:
    """The kind of a server's PROXY header, and its further fields."""
    return <uint8_t>HEADERS[connecting.proxy_header] | (
        HEADER_AUTHORITY * connecting.header_authority) | (
        HEADER_UNIQUE_ID * connecting.header_unique_id)


cdef uint8_t asked_of_clients(object server) except? 255:
    """What is kept of clients because a header tells the server of it."""
    cdef uint8_t header = header_of(server.connecting)
    return ASKED_FIELDS * bool(header & HEADER_AUTHORITY) | (
        ASKED_UNIQUE_ID * bool(header & HEADER_UNIQUE_ID))


cdef int fill_outgoing(Engine *engine, object proxy, object server) except -1:
    """The options of connections to a server; NULL stays where there are none."""
    cdef Outgoing *words
    free(engine.outgoing[server.slot])
    engine.outgoing[server.slot] = NULL
    connecting = server.connecting
    source = connecting.source or proxy.source
    if not (proxy.server_keepalive or connecting.user_timeout_ms or connecting.fast_open
            or source or server.local):
        return 0
    words = <Outgoing *>zeroed(1, sizeof(Outgoing))
    engine.outgoing[server.slot] = words
    words.keepalive = proxy.server_keepalive
    words.keepalive_count = proxy.server_probes.count or 0
    words.keepalive_idle_s = proxy.server_probes.idle_s or 0
    words.keepalive_interval_s = proxy.server_probes.interval_s or 0
    words.user_timeout_ms = connecting.user_timeout_ms
    words.fast_open = connecting.fast_open
    if server.local is not None:
        packed = AF_UNIX.to_bytes(2, byteorder) + server.local.local_name
        words.local_length = len(packed)
        memcpy(words.local, <const char *>packed, len(packed))
    if source is not None:
        fill_source(engine, words, source)
    return 0


cdef int fill_source(const Engine *engine, Outgoing *words, object source) except -1:
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
        words.port_next = source.ports * engine.worker // engine.workers
    name = (source.interface or "").encode()
    memcpy(words.interface, <const char *>name, len(name))
    return 0
