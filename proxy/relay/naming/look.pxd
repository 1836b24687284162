# What rules see of a session that has its backend, or is about to get one.

from proxy.relay.rules.judge cimport content_set, context_set
from proxy.relay.state.ends cimport connection_of
from proxy.relay.state.rule_types cimport Ruleset
from proxy.relay.state.types cimport CLIENT, Engine, Session
from proxy.rules.types cimport ContentView, Context

cdef struct FirstBytes:  # what a client has sent before there is a server
    const char *bytes
    size_t length


cdef inline void session_context(
        Engine *engine, Session *session, const Ruleset *ruleset,
        Context *context) noexcept nogil:
    """What conditions see of a session; listeners of frontends with rules keep addresses."""
    context_set(engine, ruleset, context, session.sides[CLIENT].fd, session.addresses)
    connection_of(engine, session, context)
    context.final = True


cdef inline void look_set(
        Engine *engine, Session *session, const Ruleset *ruleset, const FirstBytes *first,
        Context *context, ContentView *view) noexcept nogil:
    """The same with all bytes that will be there."""
    session_context(engine, session, ruleset, context)
    content_set(context, view, first.bytes, first.length, True)
