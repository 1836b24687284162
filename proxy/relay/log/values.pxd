# Expressions and captures of a log line: what the session is known by when the line is made.
#
# As in HAProxy the bytes that rules looked at are gone by then: what is wanted of them has to be in
# a variable, or captured. A client's control characters do not get into a line: they could make
# another one of it.

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from proxy.relay.log.codes cimport *
from proxy.relay.log.text cimport put_value
from proxy.relay.state.ends cimport connection_of, set_end
from proxy.relay.state.log_types cimport LOG_ESCAPE, LOG_QUOTE, Log, LogName, LogStep
from proxy.relay.state.types cimport NO_SLOT, Engine, Session
from proxy.rules.evaluate cimport all_converted, value_of
from proxy.rules.sample cimport (
    ADDRESS_TEXT_BYTES, end_at_nul, put_sample, set_address, set_number, set_text)
from proxy.rules.types cimport KERNEL_NOT_ASKED, SAMPLE_TEXT, Context, Sample, Variables
from proxy.rules.variables.memory cimport variable_sample
from shm.text cimport Text, put_character, put_escaped, put_hexadecimal, text_over


cdef inline Variables **kept_of(Session *session) noexcept nogil:
    """Where the session has its variables; NULL: it can have none."""
    return NULL if session.addresses == NULL else &session.addresses.variables


cdef inline void log_context(
        Engine *engine, Session *session, Context *context) noexcept nogil:
    memset(context, 0, sizeof(Context))
    context.view = &engine.view
    context.scratch = engine.judge.scratch
    context.process = engine.log.pid
    context.tables = engine.tables
    context.table_writer = engine.table_writer
    context.now_ms = engine.now_ms
    context.kept = kept_of(session)
    context.room = engine.judge.room
    context.final = True
    if session.addresses != NULL:
        context.tracks = &session.addresses.tracks
    connection_of(engine, session, context)
    if session.log.asked != KERNEL_NOT_ASKED:
        context.connection.asked = session.log.asked
        memcpy(context.connection.kernel, session.log.kernel, sizeof(session.log.kernel))
    if session.log.ends.peer_family != 0 and (
            session.addresses == NULL or session.addresses.first.peer_family == 0):
        context.connection.ends = &session.log.ends
    context.client_family = set_end(
        context.client, &context.client_port, &session.log.client)
    context.front_family = set_end(context.front, &context.front_port, &session.log.front)


cdef inline bint name_sample(const LogName *name, bint number, Sample *sample) noexcept nogil:
    if number:
        return set_number(sample, name.id)
    set_text(sample, name.bytes, name.length)
    return name.length != 0


cdef inline bint end_sample(Session *session, uint32_t code, Sample *sample) noexcept nogil:
    """An address or a port of the connection to the server."""
    cdef Context ends
    cdef bint own = code == LOG_SOURCE_ADDRESS or code == LOG_SOURCE_PORT
    ends.front_family = set_end(
        ends.front, &ends.front_port,
        &session.log.source if own else &session.log.server)
    if code == LOG_SOURCE_ADDRESS or code == LOG_SERVER_ADDRESS:
        return set_address(sample, ends.front_family, ends.front)
    return set_number(sample, ends.front_port) and ends.front_family != 0


cdef inline bint base_sample(
        Engine *engine, Session *session, const LogStep *step, Sample *sample) noexcept nogil:
    """What only the log knows, as a sample; False: there is none."""
    cdef Log *log = engine.log
    cdef uint32_t code = step.base
    sample.position = sample.line_end = 0
    sample.more = False
    if code == LOG_CONSTANT:
        return name_sample(&step.text, False, sample)
    if code == LOG_BACKEND or code == LOG_BACKEND_ID:
        return name_sample(
            &session.listener.frontend.log.name if session.backend == NULL
            else &log.backends[session.backend.index], code == LOG_BACKEND_ID, sample)
    if code == LOG_FETCH_SERVER or code == LOG_SERVER_ID:
        return session.slot != NO_SLOT and name_sample(
            &log.servers[session.slot], code == LOG_SERVER_ID, sample)
    if code == LOG_LISTENER or code == LOG_LISTENER_ID:
        return name_sample(
            &log.listeners[session.listener - engine.listeners], code == LOG_LISTENER_ID, sample)
    return end_sample(session, code, sample)


cdef inline void put_printable(
        Text *text, const char *bytes, size_t length, bint escape, bint captured) noexcept nogil:
    """Bytes of a client: a mark and digits instead of those that could make another line.

    Of what was captured others, too, as HAProxy has it.
    """
    cdef size_t at
    cdef unsigned char letter
    for at in range(length):
        letter = <unsigned char>bytes[at]
        if letter < 32 or letter == 127 or (
                captured and (letter > 127 or letter in (c'"', c"#", c"{", c"|", c"}"))):
            put_character(text, c"#")
            put_hexadecimal(text, letter, 2)
        elif escape:
            put_escaped(text, &bytes[at], 1)
        else:
            put_character(text, bytes[at])


cdef inline void put_shown(
        Text *text, Sample *sample, uint32_t flags, bint captured) noexcept nogil:
    """A sample as its flags say, a text without what follows a NUL."""
    cdef char found[ADDRESS_TEXT_BYTES]
    cdef Text inner = text_over(found, sizeof(found))
    if sample.type != SAMPLE_TEXT:
        put_sample(&inner, sample)
        put_value(text, found, inner.at - found, flags)
        return
    if flags & LOG_QUOTE:
        put_character(text, c'"')
    put_printable(text, sample.text, sample.length, flags & LOG_ESCAPE, captured)
    if flags & LOG_QUOTE:
        put_character(text, c'"')


cdef inline void put_expression(
        Text *text, Engine *engine, Session *session, const LogStep *step) noexcept nogil:
    cdef Context context
    cdef Sample sample
    cdef bint found
    log_context(engine, session, &context)
    if step.base == LOG_TEXT:
        found = value_of(&context, step.call, &sample)
    else:
        found = base_sample(engine, session, step, &sample) and all_converted(
            &context, step.call, &sample)
    if found and sample.type == SAMPLE_TEXT:
        end_at_nul(&sample)  # which may leave nothing
    if found and (sample.type != SAMPLE_TEXT or sample.length != 0):
        put_shown(text, &sample, step.flags, False)
    else:
        put_value(text, NULL, 0, step.flags)


cdef inline void put_capture(
        Text *text, Session *session, const LogStep *step) noexcept nogil:
    """What was captured there: between bars, or alone, where nothing is a dash."""
    cdef Sample sample
    cdef Variables **kept = kept_of(session)
    cdef bint alone = step.code == LOG_CAPTURE_ALONE
    cdef uint32_t flags = step.flags if alone else step.flags & ~<uint32_t>LOG_QUOTE
    if kept != NULL and variable_sample(kept[0], step.text.id, &sample):
        end_at_nul(&sample)
        put_shown(text, &sample, flags, True)
    elif alone:
        put_value(text, NULL, 0, flags)
