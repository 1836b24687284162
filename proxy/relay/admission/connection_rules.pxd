# Rules that decide before anything is read whether an accepted client becomes a session (manual,
# `tcp-request connection`). A client that is refused costs accept4(), the rules and a close.

from proxy.relay.rules.judge cimport context_set
from proxy.relay.state.counting cimport (
    count_accepted, count_denied_connection, count_denied_request)
from proxy.relay.state.ends cimport connection_set, packet_family
from proxy.relay.state.refusal cimport end_by_reset, end_in_silence
from proxy.relay.state.rule_types cimport (
    RULE_DROP, RULE_EXPECT_PROXY, RULE_REJECT, Rule, Ruleset)
from proxy.relay.state.syscalls cimport close, sockaddr_storage
from proxy.relay.state.types cimport Addresses, Engine, Listener
from proxy.relay.tables.counter_rules cimport next_decision
from proxy.relay.tables.tracking cimport tracks_leave
from proxy.rules.types cimport HOLDS, Context
from proxy.rules.variables.memory cimport variables_free

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

cdef enum:  # ConnectionVerdict
    CONNECTION_TAKEN = 0
    CONNECTION_HEADED = 1  # it begins with a PROXY header
    CONNECTION_REFUSED = 2  # and closed


cdef inline int connection_judge(
        Engine *engine, Listener *listener, int fd, sockaddr_storage *client,
        Addresses *ends) noexcept nogil:
    """What the rules of its frontend say of an accepted client, and what they note of it.

    Where they set its address, `client` is that.
    """
    cdef const Ruleset *ruleset = &listener.frontend.rules.connection
    cdef int verdict = CONNECTION_TAKEN
    cdef const Rule *rule = NULL
    cdef uint32_t at = 0
    cdef Context context
    memset(ends, 0, sizeof(Addresses))
    memcpy(&ends.source, client, sizeof(ends.source))
    ends.destination = listener.address
    ends.family = packet_family(&ends.source)
    if ruleset.count == 0:
        return verdict
    context_set(engine, ruleset, &context, fd, ends)
    connection_set(engine, listener, &context, fd)
    context.final = True
    while next_decision(engine, ruleset, &context, ends, &at, &rule) == HOLDS:
        if rule.action == RULE_EXPECT_PROXY:
            verdict = CONNECTION_HEADED
            continue
        if rule.action == RULE_REJECT:
            count_denied_connection(listener.frontend)
            end_by_reset(fd)
        elif rule.action == RULE_DROP:
            count_denied_request(listener.frontend)
            end_in_silence(fd)
        else:
            break
        variables_free(engine.judge.room, &ends.variables)
        count_accepted(engine, listener.frontend)
        tracks_leave(engine, &ends.tracks)
        close(fd)
        return CONNECTION_REFUSED
    if ends.moved:
        memcpy(client, &ends.source, sizeof(ends.source))
        ends.moved = False
    return verdict
