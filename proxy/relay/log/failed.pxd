# The line of a client whose PROXY header did not come, or was none: it has no session.
#
# With `error-log-format` what that says; else one fixed line, as HAProxy's.

from libc.stdint cimport uint8_t
from libc.string cimport strlen

from proxy.relay.log.line cimport put_date, put_form
from proxy.relay.log.session cimport log_noted, note_drop, put_end
from proxy.relay.log.time cimport time_words
from proxy.relay.log.write cimport LEVEL_ERR, LEVEL_INFO, log_send, structured_make
from proxy.relay.state.log_types cimport LOG_TEXT_BYTES, AccessLog, LogName
from proxy.relay.state.syscalls cimport AF_UNIX
from proxy.relay.state.types cimport TERMINATION_REFUSED, Engine, Session
from proxy.rules.connection.errors cimport (
    ERROR_ABORT, ERROR_EMPTY, ERROR_TIMEOUT, error_text)
from shm.text cimport Text, put, put_character, put_number, text_over


cdef inline void put_prefix(Text *text, Engine *engine, Session *session) noexcept nogil:
    """Who, when, and where to."""
    cdef long listener = session.listener - engine.listeners
    cdef const LogName *bind = &engine.log.listeners[listener]
    cdef const LogName *frontend = &session.listener.frontend.log.name
    if session.log.client.sin6_family == AF_UNIX:
        put(text, b"unix:", 5)
        put_number(text, bind.id)
    else:
        put_end(text, &session.log.client)
    put(text, b" [", 2)
    time_words(&engine.log.accepted, session.log.accepted_us // 1_000_000)
    put_date(text, &engine.log.accepted, session.log.accepted_us)
    put(text, b"] ", 2)
    put(text, frontend.bytes, frontend.length)
    put_character(text, c'/')
    if bind.length != 0:
        put(text, bind.bytes, bind.length)
    else:
        put_number(text, bind.id)
    put(text, b": ", 2)


cdef inline void log_failed(Engine *engine, Session *session, uint8_t error) noexcept nogil:
    """Its connection ends, and is still open."""
    cdef AccessLog *access = session.listener.frontend.log
    cdef Text text
    if access == NULL or access.target_count == 0 or (
            access.skip_null and error in (ERROR_EMPTY, ERROR_ABORT, ERROR_TIMEOUT)):
        return
    session.error = error
    log_noted(engine, session, &session.addresses.source)
    if session.log == NULL:
        return
    text = text_over(engine.log.text, LOG_TEXT_BYTES)
    if access.failed.count != 0:
        structured_make(engine, session, TERMINATION_REFUSED, engine.now_ms)
        put_form(&text, engine, session, &access.failed, TERMINATION_REFUSED, engine.now_ms)
    else:
        put_prefix(&text, engine, session)
        put(&text, error_text(error), strlen(error_text(error)))
    log_send(
        engine, access, LEVEL_ERR if access.separate_errors else LEVEL_INFO, text.start,
        text.at - text.start)
    engine.log.structured_length = 0
    note_drop(engine, session)
