# Points in time as words, made once for each second.

from libc.stdint cimport int64_t

from proxy.relay.state.log_types cimport LogTime
from proxy.relay.state.syscalls cimport gmtime_r, localtime_r, time_t, tm
from shm.text cimport Text, put, put_character, put_padded, text_over

cdef extern from * nogil:
    """
    static const char MILLRACE_MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    """
    const char MILLRACE_MONTHS[]


cdef inline void put_clock(Text *text, const tm *now) noexcept nogil:
    put_padded(text, now.tm_hour, 2)
    put_character(text, c':')
    put_padded(text, now.tm_min, 2)
    put_character(text, c':')
    put_padded(text, now.tm_sec, 2)


cdef inline void write_syslog(LogTime *words, const tm *now) noexcept nogil:
    """RFC 3164 section 4.1.2: the day is padded with a blank."""
    cdef Text text = text_over(words.syslog, sizeof(words.syslog))
    put(&text, MILLRACE_MONTHS + 3 * now.tm_mon, 3)
    put_character(&text, c' ')
    if now.tm_mday < 10:
        put_character(&text, c' ')
    put_padded(&text, now.tm_mday, 1 if now.tm_mday < 10 else 2)
    put_character(&text, c' ')
    put_clock(&text, now)


cdef inline void write_date(char *buffer, const tm *now) noexcept nogil:
    """`20/Nov/2026:08:15:00`, 20 characters."""
    cdef Text text = text_over(buffer, 20)
    put_padded(&text, now.tm_mday, 2)
    put_character(&text, c'/')
    put(&text, MILLRACE_MONTHS + 3 * now.tm_mon, 3)
    put_character(&text, c'/')
    put_padded(&text, now.tm_year + 1900, 4)
    put_character(&text, c':')
    put_clock(&text, now)


cdef inline void write_iso(LogTime *words, const tm *now) noexcept nogil:
    """RFC 3339 up to the seconds, and the offset of local time for what follows them."""
    cdef Text text = text_over(words.iso, sizeof(words.iso))
    cdef long minutes = now.tm_gmtoff // 60
    put_padded(&text, now.tm_year + 1900, 4)
    put_character(&text, c'-')
    put_padded(&text, now.tm_mon + 1, 2)
    put_character(&text, c'-')
    put_padded(&text, now.tm_mday, 2)
    put_character(&text, c'T')
    put_clock(&text, now)
    text = text_over(words.offset, sizeof(words.offset))
    put_character(&text, c'-' if minutes < 0 else c'+')
    minutes = -minutes if minutes < 0 else minutes
    put_padded(&text, minutes // 60, 2)
    put_padded(&text, minutes % 60, 2)


cdef inline void time_words(LogTime *words, int64_t second) noexcept nogil:
    """See to it that `words` are those of a second."""
    cdef time_t wanted = second
    cdef tm now
    if words.second == second:
        return
    words.second = second
    localtime_r(&wanted, &now)
    write_syslog(words, &now)
    write_iso(words, &now)
    write_date(words.local, &now)
    gmtime_r(&wanted, &now)
    write_date(words.utc, &now)


cdef inline void put_iso(Text *text, const LogTime *words, int64_t microseconds) noexcept nogil:
    """`2026-11-20T08:15:00.000001+01:00`."""
    put(text, words.iso, 19)
    put_character(text, c'.')
    put_padded(text, microseconds, 6)
    put(text, words.offset, 3)
    put_character(text, c':')
    put(text, words.offset + 3, 2)
