# Rules that change what a session is: where it comes from and came to, marks of packets, the level
# of its log line, how often a server is tried.
#
# Each acts at once, with the bytes that are there, and decides nothing. An address without a value
# stays as it is; a port is kept by a new address, and an address by a new port. What the kernel
# refuses changes nothing, as in HAProxy.

from libc.stdint cimport int64_t, uint16_t, uint8_t
from libc.string cimport memcpy, memset

from proxy.relay.state.ends cimport set_end
from proxy.relay.state.rule_types cimport (
    MARKED_PACKETS, MARKED_TOS, RULE_CLIENT_MARK, RULE_CLIENT_TOS, RULE_LOG_LEVEL,
    RULE_RETRIES, RULE_SERVER_MARK,
    RULE_SERVER_TOS, RULE_SET_DESTINATION_PORT, RULE_SET_SOURCE_PORT, Rule)
from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPV6_TCLASS, IP_TOS, SOL_SOCKET, SO_MARK, htons,
    setsockopt, sockaddr_in, sockaddr_in6)
from proxy.relay.state.types cimport RETRIES_MAX, Addresses
from proxy.rules.evaluate cimport value_of
from proxy.rules.sample cimport as_address, as_number
from proxy.rules.types cimport Context, Sample


cdef inline void mark_packets(int fd, int mark) noexcept nogil:
    """Let netfilter and routing know the packets of a socket."""
    setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark))


cdef inline void mark_service(int fd, int tos, int family) noexcept nogil:
    """Set the field that routers look at."""
    if family == AF_INET6:
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos))
    else:
        setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos))


cdef inline void address_set(const Sample *sample, sockaddr_in6 *end) noexcept nogil:
    cdef uint16_t port = 0
    if end.sin6_family == AF_INET or end.sin6_family == AF_INET6:
        port = end.sin6_port  # the same place in both families
    memset(end, 0, sizeof(end[0]))
    end.sin6_port = port
    if sample.family == 4:
        end.sin6_family = <uint16_t>AF_INET
        memcpy(&(<sockaddr_in *>end).sin_addr, sample.address, 4)
    else:
        end.sin6_family = <uint16_t>AF_INET6
        memcpy(&end.sin6_addr, sample.address, 16)


cdef inline void port_set(int64_t number, sockaddr_in6 *end) noexcept nogil:
    if end.sin6_family != AF_INET and end.sin6_family != AF_INET6:
        memset(end, 0, sizeof(end[0]))
        end.sin6_family = <uint16_t>AF_INET
    end.sin6_port = htons(<uint16_t>number)


cdef inline void end_adjust(
        const Rule *rule, Context *context, Addresses *ends) noexcept nogil:
    """Set an address or a port; conditions behind this rule see it."""
    cdef bint of_source = rule.action <= RULE_SET_SOURCE_PORT
    cdef sockaddr_in6 *end = &ends.source if of_source else &ends.destination
    cdef Sample sample
    if not value_of(context, rule.key, &sample):
        return
    if rule.action == RULE_SET_SOURCE_PORT or rule.action == RULE_SET_DESTINATION_PORT:
        if not as_number(&sample):
            return
        port_set(sample.number, end)
    elif as_address(&sample):
        address_set(&sample, end)
    else:
        return
    ends.moved = True
    context.client_family = set_end(context.client, &context.client_port, &ends.source)
    context.front_family = set_end(context.front, &context.front_port, &ends.destination)
    if ends.opened:
        ends.renamed = True
        context.connection.renamed = True
    elif of_source:
        ends.first.peer_family = set_end(ends.first.peer, &ends.first.peer_port, end)
    else:
        ends.first.own_family = set_end(ends.first.own, &ends.first.own_port, end)


cdef inline void session_adjust(
        const Rule *rule, Context *context, Addresses *ends) noexcept nogil:
    """Do what a rule from RULE_SET_SOURCE on says."""
    cdef Sample sample
    cdef int number
    if rule.action <= RULE_SET_DESTINATION_PORT:
        end_adjust(rule, context, ends)
        return
    if not value_of(context, rule.key, &sample) or not as_number(&sample):
        return
    number = <int>sample.number
    if rule.action == RULE_CLIENT_MARK:
        mark_packets(context.connection.fd, number)
    elif rule.action == RULE_CLIENT_TOS:
        mark_service(context.connection.fd, number, ends.family)
    elif rule.action == RULE_SERVER_MARK:
        ends.server_mark = number
        ends.marked |= MARKED_PACKETS
    elif rule.action == RULE_SERVER_TOS:
        ends.server_tos = number
        ends.marked |= MARKED_TOS
    elif rule.action == RULE_LOG_LEVEL:
        ends.log_level = <uint8_t>number
    elif rule.action == RULE_RETRIES and sample.number >= 0:
        ends.retries_plus_one = <unsigned int>min(sample.number, <int64_t>RETRIES_MAX) + 1
