# One session in one line: what its frontend's format says, and a header for each target.

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy

from proxy.relay.log.line cimport put_form
from proxy.relay.log.sinks cimport sink_keep, sink_room
from proxy.relay.log.time cimport put_iso, time_words
from proxy.relay.state.log_types cimport (
    LOG_TEXT_BYTES, STYLE_ISO, STYLE_PRIORITY, STYLE_RAW, STYLE_RFC5424, STYLE_SHORT,
    STYLE_TIMED, AccessLog, Log, LogNote, LogTarget)
from proxy.relay.state.rule_types cimport LOG_LEVEL_SILENT
from proxy.relay.state.syscalls cimport wall_clock_us
from proxy.relay.state.types cimport TERMINATION_NORMAL, Engine, Session
from shm.atomics cimport count
from shm.text cimport Text, put, put_character, put_number, text_over

cdef enum:  # LogLevel (shm/log_level.py), those of lines about sessions
    LEVEL_ERR = 3
    LEVEL_INFO = 6

cdef enum:
    UNIQUE_ID_BYTES_MAX = 127  # of HAProxy's
    HEADER_BYTES_MAX = 512  # priority, time, and a tail (TAIL_BYTES_MAX in compile.pyx)


cdef inline void put_header(
        Text *text, Log *log, const LogTarget *target, uint32_t level,
        int64_t now_us) noexcept nogil:
    """What a target wants before the line's own text."""
    if target.style == STYLE_RAW:
        return
    if target.style != STYLE_ISO:
        put_character(text, c'<')
        put_number(
            text, level if target.style in (STYLE_SHORT, STYLE_TIMED)
            else target.facility * 8 + level)
        put_character(text, c'>')
    if target.style in (STYLE_SHORT, STYLE_PRIORITY):
        return
    time_words(&log.now, now_us // 1_000_000)
    if target.style == STYLE_RFC5424:
        put(text, b"1 ", 2)
    if target.style in (STYLE_RFC5424, STYLE_TIMED, STYLE_ISO):
        put_iso(text, &log.now, now_us % 1_000_000)
    else:
        put(text, log.now.syslog, 15)
    put(text, target.tail.bytes, target.tail.length)
    if target.style == STYLE_RFC5424:
        if log.structured_length != 0:
            put(text, log.structured, log.structured_length)
        else:
            put_character(text, c'-')
        put_character(text, c' ')


cdef inline bint sampled(LogTarget *target) noexcept nogil:
    cdef uint32_t at = target.sample_at
    if target.sample == NULL:
        return True
    target.sample_at = at + 1 if at + 1 < target.sample_size else 0
    return target.sample[at] != 0


cdef inline void log_send(
        Engine *engine, AccessLog *access, uint32_t level, const char *bytes,
        size_t length) noexcept nogil:
    """Hand a line's text to each target that wants it."""
    cdef LogTarget *target
    cdef Text text
    cdef uint32_t index
    cdef size_t wanted
    cdef int64_t now_us = wall_clock_us()
    cdef char *room
    for index in range(access.target_count):
        target = &access.targets[index]
        if level > target.level_max or not sampled(target):
            continue
        wanted = min(
            length + HEADER_BYTES_MAX + engine.log.structured_length,
            <size_t>target.length_max)
        room = sink_room(target.sink, <uint32_t>wanted)
        if room == NULL:
            count(&engine.counters.log_overflows, 1)
            continue
        text = text_over(room, wanted - 1)
        put_header(&text, engine.log, target, max(level, target.level_min), now_us)
        put(&text, bytes, length)
        text.end += 1
        put_character(&text, c'\n')
        sink_keep(target.sink, <uint32_t>(text.at - room))
        engine.log.waiting = True
    access.lines += 1


cdef inline void unique_id_make(Engine *engine, Session *session) noexcept nogil:
    """Give a session its unique id, if its frontend has a format for it; no more than once."""
    cdef LogNote *note = session.log
    cdef Text text
    if note == NULL or note.unique_id != NULL or (
            session.listener.frontend.log.unique_id.count == 0):
        return
    text = text_over(engine.log.text, UNIQUE_ID_BYTES_MAX)
    put_form(
        &text, engine, session, &session.listener.frontend.log.unique_id, TERMINATION_NORMAL,
        engine.now_ms)
    note.unique_id = <char *>malloc(UNIQUE_ID_BYTES_MAX)
    if note.unique_id != NULL:
        note.unique_id_length = <uint32_t>(text.at - text.start)
        memcpy(note.unique_id, text.start, note.unique_id_length)


cdef inline void structured_make(
        Engine *engine, Session *session, int termination, int64_t end_ms) noexcept nogil:
    """Write the structured data of the next lines."""
    cdef AccessLog *access = session.listener.frontend.log
    cdef Text text
    engine.log.structured_length = 0
    if access.structured.count != 0:
        text = text_over(engine.log.structured, LOG_TEXT_BYTES)
        put_form(&text, engine, session, &access.structured, termination, end_ms)
        engine.log.structured_length = <uint32_t>(text.at - text.start)


cdef inline void log_line(
        Engine *engine, Session *session, int termination, int64_t end_ms) noexcept nogil:
    """Write a session's line, if it is one that is wanted."""
    cdef AccessLog *access = session.listener.frontend.log
    cdef Text text = text_over(engine.log.text, LOG_TEXT_BYTES)
    cdef bint failed = termination != TERMINATION_NORMAL or session.log.redispatched or (
        session.retries != 0)
    cdef uint32_t level = LEVEL_ERR if failed and access.separate_errors else LEVEL_INFO
    session.log.written = True
    if access.target_count == 0 or (access.skip_normal and not failed):
        return
    if session.addresses != NULL and session.addresses.log_level != 0:
        level = session.addresses.log_level - 1
    if level == LOG_LEVEL_SILENT - 1:
        return
    unique_id_make(engine, session)
    structured_make(engine, session, termination, end_ms)
    put_form(&text, engine, session, &access.line, termination, end_ms)
    log_send(engine, access, level, text.start, text.at - text.start)
    engine.log.structured_length = 0
