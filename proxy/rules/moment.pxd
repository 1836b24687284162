# Samples of the moment: the time in its forms, random numbers (manual sections 7.3.2 and 8.2.4).

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from proxy.rules.codes cimport *
from proxy.rules.sample cimport set_number, set_text, take_scratch
from shm.text cimport Text, put, put_character, put_padded, text_over
from proxy.rules.types cimport SCRATCH_BYTES, Call, Sample, Scratch

cdef extern from "<time.h>" nogil:
    const int CLOCK_MONOTONIC, CLOCK_REALTIME
    ctypedef long time_t
    cdef struct tm:
        pass
    tm *localtime_r(const time_t *second, tm *found)
    tm *gmtime_r(const time_t *second, tm *found)
    size_t strftime(char *text, size_t size, const char *format, const tm *time)
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *value)

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *bytes, size_t length, unsigned int flags)

cdef enum:  # units of `date`
    UNIT_SECONDS = 0
    UNIT_MILLISECONDS = 1
    UNIT_MICROSECONDS = 2

cdef enum:  # forms of a point in time
    CLOCK_LOCAL = 0  # 29/Nov/2026:07:24:05.972
    CLOCK_UTC = 1  # 29/Nov/2026:07:24:05 +0000
    CLOCK_OFFSET = 2  # the same in local time


cdef inline bint date_sample(const Call *call, Sample *sample) noexcept nogil:
    """Seconds since 1970, or smaller units; the offset is in the unit."""
    cdef timespec now
    cdef int64_t count
    clock_gettime(CLOCK_REALTIME, &now)
    count = now.tv_sec
    if call.numbers[1] == UNIT_MILLISECONDS:
        count = count * 1000 + now.tv_nsec // 1_000_000
    elif call.numbers[1] == UNIT_MICROSECONDS:
        count = count * 1_000_000 + now.tv_nsec // 1000
    # offsets of the file may be of any size: past the end the count begins anew
    return set_number(sample, <int64_t>(<uint64_t>count + <uint64_t>call.numbers[0]))


cdef inline bint clock_sample(
        const Call *call, Scratch *scratch, Sample *sample) noexcept nogil:
    cdef timespec now
    cdef time_t second
    cdef tm parts
    cdef Text text
    cdef const char *form = b"%d/%b/%Y:%H:%M:%S %z"
    if scratch == NULL:
        return False
    clock_gettime(CLOCK_REALTIME, &now)
    second = now.tv_sec
    if call.numbers[0] == CLOCK_UTC:
        gmtime_r(&second, &parts)
    else:
        localtime_r(&second, &parts)
    if call.numbers[0] == CLOCK_LOCAL:
        form = b"%d/%b/%Y:%H:%M:%S"
    text = text_over(take_scratch(scratch), SCRATCH_BYTES)
    text.at += strftime(text.at, SCRATCH_BYTES, form, &parts)
    if call.numbers[0] == CLOCK_LOCAL:
        put_character(&text, c".")
        put_padded(&text, now.tv_nsec // 1_000_000, 3)
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint random_sample(const Call *call, Sample *sample) noexcept nogil:
    """Of 32 bits, or below a limit."""
    cdef uint32_t number = 0
    getrandom(&number, sizeof(number), 0)
    if call.numbers[0] > 0:
        return set_number(sample, <int64_t>(<uint64_t>number * <uint64_t>call.numbers[0] >> 32))
    return set_number(sample, number)


cdef inline bint uuid_sample(Scratch *scratch, Sample *sample) noexcept nogil:
    """Random, version 4 (RFC 9562, section 5.4)."""
    cdef uint8_t bytes[16]
    cdef Text text
    cdef int at
    if scratch == NULL:
        return False
    getrandom(bytes, sizeof(bytes), 0)
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    text = text_over(take_scratch(scratch), SCRATCH_BYTES)
    for at in range(16):
        if at == 4 or at == 6 or at == 8 or at == 10:
            put_character(&text, c"-")
        put_character(&text, b"0123456789abcdef"[bytes[at] >> 4])
        put_character(&text, b"0123456789abcdef"[bytes[at] & 15])
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint moment_fetch(
        const Call *call, Scratch *scratch, Sample *sample) noexcept nogil:
    """A sample that is another one each time."""
    cdef timespec now
    cdef uint16_t what = call.fetch
    if what == FETCH_DATE:
        return date_sample(call, sample)
    if what == FETCH_CLOCK:
        return clock_sample(call, scratch, sample)
    if what == FETCH_RANDOM:
        return random_sample(call, sample)
    if what == FETCH_UUID:
        return uuid_sample(scratch, sample)
    clock_gettime(CLOCK_REALTIME, &now)
    return set_number(sample, now.tv_nsec // 1_000_000)
