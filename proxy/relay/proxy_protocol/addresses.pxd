# The addresses of a session: kept where they are needed, told to a server by a PROXY header.
#
# Kept beside the session, from a pool of their own: most sessions need none. The client's come with
# accept4(); where it came to is the listener's address, asked of the kernel only where a listener
# has several. A PROXY header from the client replaces both (session/accept_proxy.pxd).

from libc.stdint cimport uint16_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from proxy.relay.proxy_protocol.format cimport (
    HEADER_AUTHORITY, HEADER_KIND, HEADER_NONE, HEADER_TLS, HEADER_UNIQUE_ID)
from proxy.relay.proxy_protocol.write cimport HEADER_ROOM, HeaderTexts, header_write
from proxy.relay.state.ends cimport packet_family
from proxy.relay.state.pool cimport pool_give, pool_take
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, getpeername, getsockname, ntohs, sockaddr, sockaddr_in, sockaddr_in6,
    sockaddr_storage, socklen_t)
from proxy.rules.variables.memory cimport variables_free
from proxy.relay.state.types cimport CLIENT, SCRATCH_BYTES, Addresses, Engine, Listener, Session

cdef enum:
    EARLY_BYTES_MAX = SCRATCH_BYTES - HEADER_ROOM  # received with room for a header before them


cdef inline void listener_address(Listener *listener) noexcept nogil:
    """Note where a listener listens, if its clients all come to one address."""
    cdef socklen_t length = sizeof(listener.address)
    cdef const unsigned char *bytes = listener.address.sin6_addr.s6_addr
    cdef unsigned char any_bit = 0
    cdef int index
    if getsockname(listener.fd, <sockaddr *>&listener.address, &length) != 0:
        listener.address.sin6_family = 0
    elif listener.address.sin6_family == AF_INET:
        if (<sockaddr_in *>&listener.address).sin_addr.s_addr == 0:
            listener.address.sin6_family = 0
    elif listener.address.sin6_family == AF_INET6:
        for index in range(16):
            any_bit |= bytes[index]
        if any_bit == 0:
            listener.address.sin6_family = 0


cdef inline bint addresses_keep(
        Engine *engine, Session *session, const sockaddr_storage *client,
        Addresses *judged) noexcept nogil:
    """Keep where the client comes from and came to; False without memory.

    `judged`: what rules have noted of it already, which is given away; NULL: nothing.
    """
    cdef Addresses *addresses = <Addresses *>pool_take(&engine.addresses)
    if addresses == NULL:
        return False
    if judged != NULL:
        addresses[0] = judged[0]
        judged.variables = NULL
    else:
        memcpy(&addresses.source, client, sizeof(addresses.source))
        addresses.destination = session.listener.address
        addresses.family = packet_family(&addresses.source)
    addresses.opened = True
    session.addresses = addresses
    return True


cdef inline void addresses_drop(Engine *engine, Session *session) noexcept nogil:
    if session.addresses != NULL:
        variables_free(engine.judge.room, &session.addresses.variables)
        free(session.addresses.fields)
        pool_give(&engine.addresses, session.addresses)
        session.addresses = NULL


cdef inline void destination_learn(Session *session, sockaddr_in6 *address) noexcept nogil:
    """Ask the kernel where the client came to; a Unix socket's name is cut, its family is right."""
    cdef socklen_t length = sizeof(address[0])
    if getsockname(session.sides[CLIENT].fd, <sockaddr *>address, &length) != 0:
        address.sin6_family = 0


cdef inline void client_learn(Session *session, Addresses *addresses) noexcept nogil:
    """Ask the kernel where the client comes from; family 0 where it is gone."""
    cdef socklen_t length = sizeof(addresses.source)
    memset(addresses, 0, sizeof(addresses[0]))
    if getpeername(session.sides[CLIENT].fd, <sockaddr *>&addresses.source, &length) != 0:
        addresses.source.sin6_family = 0
    addresses.family = packet_family(&addresses.source)


cdef inline void came_to(Session *session, sockaddr_in6 *address) noexcept nogil:
    """Where the client came to; another family on a Unix socket."""
    address.sin6_family = 0
    if session.addresses != NULL:
        address[0] = session.addresses.destination
    if address.sin6_family == 0:
        destination_learn(session, address)


cdef inline uint16_t came_to_port(Session *session) noexcept nogil:
    """The port that the client came to; 0 on a Unix socket."""
    cdef sockaddr_in6 address
    came_to(session, &address)
    if address.sin6_family != AF_INET and address.sin6_family != AF_INET6:
        return 0
    return ntohs(address.sin6_port)  # the same place in both families


cdef inline size_t header_before(Engine *engine, Session *session, char *bytes) noexcept nogil:
    """Write the PROXY header that the server wants right before `bytes`; its length, 0: none.

    The listeners of servers that want one keep addresses. Those of a server that was added at run
    time need not: then the kernel is asked, which knows both ends.
    """
    cdef char text[HEADER_ROOM]
    cdef int wanted = engine.headers[session.slot]
    cdef Addresses *addresses = session.addresses
    cdef Addresses learned
    cdef HeaderTexts texts
    cdef size_t length
    if wanted == HEADER_NONE:
        return 0
    memset(&texts, 0, sizeof(texts))
    if addresses == NULL:
        client_learn(session, &learned)
        addresses = &learned
    if wanted & HEADER_AUTHORITY and addresses.fields != NULL and (
            addresses.fields.authority_length >= 0):
        texts.authority = addresses.fields.bytes
        texts.authority_length = addresses.fields.authority_length
    if wanted & HEADER_UNIQUE_ID and session.log != NULL:
        texts.unique_id = session.log.unique_id
        texts.unique_id_length = session.log.unique_id_length
    texts.tls = wanted & HEADER_TLS != 0
    if addresses.destination.sin6_family == 0:
        destination_learn(session, &addresses.destination)
    length = header_write(text, wanted & HEADER_KIND, addresses, &texts)
    memcpy(bytes - length, text, length)
    return length
