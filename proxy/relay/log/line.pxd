# The steps of a format: what each says of a session.
#
# The values are those of HAProxy's line for the same connection (manual section 8.2). The gauges of
# process and frontend count the session itself, those of backend and server only while it is there;
# with many workers they are a moment old (shm/sums.pxd).

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from proxy.relay.log.codes cimport *
from proxy.relay.log.text cimport port_of, put_address, put_counted, put_name, put_value
from proxy.relay.log.time cimport time_words
from proxy.relay.log.values cimport put_capture, put_expression
from proxy.relay.state.log_types cimport (
    LOG_HEXADECIMAL, Log, LogForm, LogName, LogNote, LogStep, LogTime)
from proxy.relay.state.counting cimport retries_of
from proxy.relay.state.syscalls cimport AF_INET, AF_INET6, AF_UNIX, sockaddr_in6
from proxy.relay.state.types cimport CLIENT, NO_SLOT, SERVER, Backend, Engine, Session
from shm.sums cimport (
    backend_sessions, frontend_sessions, process_sessions, server_sessions)
from shm.text cimport Text, put, put_character, put_number, put_padded, text_over


cdef inline void put_retries(Text *text, const Session *session) noexcept nogil:
    """Attempts beyond the first, with a '+' when the last one went to another server."""
    cdef uint32_t retries = session.retries
    if session.backend != NULL:
        retries = min(retries, retries_of(session))
    if session.log.redispatched:
        put_character(text, c'+')
    put_number(text, retries)


cdef inline void put_date(Text *text, const LogTime *words, int64_t accepted_us) noexcept nogil:
    put(text, words.local, 20)
    put_character(text, c'.')
    put_padded(text, accepted_us // 1000 % 1000, 3)


cdef inline void put_port(
        Text *text, Log *log, Session *session, const sockaddr_in6 *address, uint32_t flags,
        long listener) noexcept nogil:
    """A port; a Unix socket's is the number of its listener."""
    if address.sin6_family == AF_UNIX:
        put_counted(text, log.listeners[listener].id, flags, 4)
    elif address.sin6_family in (AF_INET, AF_INET6):
        put_counted(text, port_of(address), flags, 4)
    else:
        put_character(text, c'-')


cdef inline void put_fetched_port(
        Text *text, const sockaddr_in6 *address, uint32_t flags) noexcept nogil:
    cdef char found[8]
    cdef Text inner = text_over(found, sizeof(found))
    if address.sin6_family in (AF_INET, AF_INET6) and address.sin6_port != 0:
        put_number(&inner, port_of(address))
    put_value(text, found, inner.at - found, flags)


cdef inline void put_fetched_number(Text *text, uint64_t value, uint32_t flags) noexcept nogil:
    cdef char found[20]
    cdef Text inner = text_over(found, sizeof(found))
    put_number(&inner, value)
    put_value(text, found, inner.at - found, flags)


cdef inline const LogName *backend_name(Log *log, Session *session) noexcept nogil:
    """A session without a backend is where it came in."""
    if session.backend == NULL:
        return &session.listener.frontend.log.name
    return &log.backends[session.backend.index]



cdef inline void put_server(Text *text, Log *log, Session *session, uint32_t flags) noexcept nogil:
    if session.slot == NO_SLOT:
        put_value(text, b"<NOSRV>", 7, flags)
    else:
        put_name(text, &log.servers[session.slot], flags)


cdef inline void put_step_address(
        Text *text, Log *log, Session *session, uint32_t code, uint32_t flags,
        long listener) noexcept nogil:
    """The steps that tell addresses and ports."""
    cdef LogNote *note = session.log
    if code == LOG_CLIENT_ADDRESS or code == LOG_FETCH_CLIENT_ADDRESS:
        put_address(text, &note.client, flags, code == LOG_FETCH_CLIENT_ADDRESS)
    elif code == LOG_FRONT_ADDRESS or code == LOG_FETCH_FRONT_ADDRESS:
        put_address(text, &note.front, flags, code == LOG_FETCH_FRONT_ADDRESS)
    elif code == LOG_SOURCE_ADDRESS:
        put_address(text, &note.source, flags, False)
    elif code == LOG_SERVER_ADDRESS:
        put_address(text, &note.server, flags, False)
    elif code == LOG_CLIENT_PORT:
        put_port(text, log, session, &note.client, flags, listener)
    elif code == LOG_FRONT_PORT:
        put_port(text, log, session, &note.front, flags, listener)
    elif code == LOG_SOURCE_PORT:
        put_port(text, log, session, &note.source, flags, listener)
    elif code == LOG_SERVER_PORT:
        put_port(text, log, session, &note.server, flags, listener)
    elif code == LOG_FETCH_CLIENT_PORT:
        put_fetched_port(text, &note.client, flags)
    elif code == LOG_FETCH_FRONT_PORT:
        put_fetched_port(text, &note.front, flags)


cdef inline void put_step_time(
        Text *text, Log *log, Session *session, uint32_t code, uint32_t flags,
        int64_t end_ms) noexcept nogil:
    """The steps that tell points in time and how long something took."""
    cdef LogNote *note = session.log
    if code == LOG_TIME_QUEUE:
        put_number(text, -1 if note.assigned_ms < 0 else note.assigned_ms - session.started_ms)
    elif code == LOG_TIME_CONNECT:
        put_number(text, -1 if note.connected_ms < 0 else note.connected_ms - note.assigned_ms)
    elif code == LOG_TIME_DATA:
        put_number(text, -1 if note.connected_ms < 0 else end_ms - note.connected_ms)
    elif code == LOG_TIME_TOTAL:
        if session.listener.frontend.log.partial:
            put_character(text, c'+')
        put_number(text, end_ms - session.started_ms)
    elif code == LOG_TIME_USER:
        put_number(text, end_ms - session.started_ms)
    elif code == LOG_SECONDS:
        put_counted(text, note.accepted_us // 1_000_000, flags, 4)
    elif code == LOG_MILLISECONDS:
        if flags & LOG_HEXADECIMAL:
            put_counted(text, note.accepted_us // 1000 % 1000, flags, 2)
        else:
            put_padded(text, note.accepted_us // 1000 % 1000, 3)
    else:
        time_words(&log.accepted, note.accepted_us // 1_000_000)
        if code == LOG_DATE:
            put_date(text, &log.accepted, note.accepted_us)
        elif code == LOG_DATE_UTC:
            put(text, log.accepted.utc, 20)
            put(text, b" +0000", 6)
        else:
            put(text, log.accepted.local, 20)
            put_character(text, c' ')
            put(text, log.accepted.offset, 5)


cdef inline void put_step_count(
        Text *text, Engine *engine, Session *session, uint32_t code, uint32_t flags) noexcept nogil:
    """The steps that tell gauges and numbers."""
    cdef Log *log = engine.log
    cdef LogNote *note = session.log
    if code == LOG_PROCESS_SESSIONS:
        put_number(text, process_sessions(&engine.view, engine.worker, engine.now_ms))
    elif code == LOG_FRONTEND_SESSIONS:
        put_number(text, frontend_sessions(
            &engine.view, session.listener.frontend.index, engine.worker, engine.now_ms))
    elif code == LOG_BACKEND_SESSIONS:
        put_number(
            text, backend_sessions(
                &engine.view, session.backend.index, engine.worker, engine.now_ms)
            if session.backend != NULL else 0)
    elif code == LOG_SERVER_SESSIONS:
        put_number(
            text, server_sessions(&engine.view, session.slot, engine.worker, engine.now_ms)
            if session.slot != NO_SLOT else 0)
    elif code == LOG_RETRIES:
        put_retries(text, session)
    elif code == LOG_QUEUE_SERVER:
        put_number(text, note.queued_server)
    elif code == LOG_QUEUE_BACKEND:
        put_number(text, note.queued_backend)
    elif code == LOG_LINE_NUMBER:
        put_counted(
            text, session.listener.frontend.log.lines * engine.workers + engine.worker, flags, 4)
    elif code == LOG_SESSION_NUMBER:
        put_counted(text, note.number * engine.workers + engine.worker, flags, 4)
    else:
        put_counted(text, log.pid, flags, 4)


cdef inline void put_step_name(
        Text *text, Log *log, Session *session, uint32_t code, uint32_t flags,
        long listener) noexcept nogil:
    """The steps that tell names, and numbers that the configuration gives."""
    if code == LOG_BACKEND:
        put_name(text, backend_name(log, session), flags)
    elif code == LOG_SERVER:
        put_server(text, log, session, flags)
    elif code == LOG_BACKEND_ID:
        put_fetched_number(text, backend_name(log, session).id, flags)
    elif code == LOG_FETCH_SERVER:
        if session.slot == NO_SLOT:
            put_value(text, NULL, 0, flags)
        else:
            put_name(text, &log.servers[session.slot], flags)
    elif code == LOG_SERVER_ID:
        if session.slot == NO_SLOT:
            put_value(text, NULL, 0, flags)
        else:
            put_fetched_number(text, log.servers[session.slot].id, flags)
    elif code == LOG_LISTENER:
        put_name(text, &log.listeners[listener], flags)
    else:
        put_fetched_number(text, log.listeners[listener].id, flags)


cdef inline void put_step(
        Text *text, Engine *engine, Session *session, const LogStep *step, int termination,
        int64_t end_ms) noexcept nogil:
    cdef uint32_t code = step.code
    cdef long listener = session.listener - engine.listeners
    if code == LOG_TEXT:
        put(text, step.text.bytes, step.text.length)
    elif code == LOG_VALUE:
        put_expression(text, engine, session, step)
    elif code == LOG_CAPTURE or code == LOG_CAPTURE_ALONE:
        put_capture(text, session, step)
    elif code == LOG_CONSTANT:
        put_name(text, &step.text, step.flags)
    elif code == LOG_UNIQUE_ID:
        put_value(text, session.log.unique_id, session.log.unique_id_length, step.flags)
    elif code == LOG_BYTES_OUT:
        if session.listener.frontend.log.partial:
            put_character(text, c'+')
        put_number(text, session.sides[SERVER].bytes)
    elif code == LOG_BYTES_IN:
        put_number(text, session.sides[CLIENT].bytes)
    elif code == LOG_STATE or code == LOG_STATE_LONG:
        put(text, engine.log.terminations + 2 * termination, 2)
        if code == LOG_STATE_LONG:
            put(text, b"--", 2)
    elif (LOG_DATE <= code <= LOG_TIME_TOTAL) or code == LOG_TIME_USER:
        put_step_time(text, engine.log, session, code, step.flags, end_ms)
    elif (LOG_CLIENT_ADDRESS <= code <= LOG_SERVER_PORT) or (
            LOG_FETCH_CLIENT_ADDRESS <= code <= LOG_FETCH_FRONT_PORT):
        put_step_address(text, engine.log, session, code, step.flags, listener)
    elif (LOG_PROCESS_SESSIONS <= code <= LOG_PID):
        put_step_count(text, engine, session, code, step.flags)
    else:
        put_step_name(text, engine.log, session, code, step.flags, listener)


cdef inline void put_form(
        Text *text, Engine *engine, Session *session, const LogForm *form, int termination,
        int64_t end_ms) noexcept nogil:
    """All steps of a format."""
    cdef uint32_t index
    for index in range(form.count):
        put_step(text, engine, session, &form.steps[index], termination, end_ms)
