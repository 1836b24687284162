# Samples of a health check: the server, its connection, and what it said (manual section 7.3).

from libc.stdint cimport int64_t, uint16_t, uint64_t

from proxy.rules.codes cimport *
from proxy.rules.http cimport header_count, header_fetch
from proxy.rules.sample cimport set_address, set_number, set_text
from proxy.rules.state cimport server_sessions
from proxy.rules.types cimport Call, CheckView, Context, Sample


cdef inline bint received_part(
        const CheckView *check, const Call *call, Sample *sample) noexcept nogil:
    """Bytes from an offset on, so many, 0 for the rest; none while not all of them are there."""
    cdef uint64_t offset = <uint64_t>call.numbers[0], length = <uint64_t>call.numbers[1]
    if not check.raw or offset > check.received_length:
        return False
    if length > check.received_length - offset:
        return False
    if length == 0:
        length = check.received_length - offset
    set_text(sample, check.received + offset, length)
    sample.binary = True
    return True


cdef inline bint received_block(
        const CheckView *check, const Call *call, Sample *sample) noexcept nogil:
    """The bytes behind their length, which has so many bytes at an offset, in network order."""
    cdef uint64_t at = <uint64_t>call.numbers[0], size = <uint64_t>call.numbers[1], length = 0
    if not check.raw or at + size > check.received_length:
        return False
    for _ in range(size):
        length = length << 8 | <unsigned char>check.received[at]
        at += 1
    if length == 0 or length > check.received_length - at:
        return False
    set_text(sample, check.received + at, length)
    sample.binary = True
    return True


cdef inline bint answer_fetch(
        const CheckView *check, const Call *call, Sample *sample) noexcept nogil:
    """What an answer by HTTP says."""
    if check.status < 0:
        return False
    if call.fetch == FETCH_STATUS:
        return set_number(sample, check.status)
    if call.fetch == FETCH_BODY:
        set_text(sample, check.received, check.received_length)
        sample.binary = True
        return True
    if call.fetch == FETCH_ANSWER_VALUES:
        return set_number(sample, header_count(&check.answer, call, False))
    if call.fetch == FETCH_ANSWER_LINES:
        return set_number(sample, header_count(&check.answer, call, True))
    return header_fetch(&check.answer, call, call.fetch == FETCH_ANSWER_LINE, sample)


cdef inline bint check_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """A sample of the check; False: there is none."""
    cdef const CheckView *check = context.check
    cdef uint16_t what = call.fetch
    if what == FETCH_CHECKED_SESSIONS:
        return set_number(sample, server_sessions(context.view, check.slot))
    if what == FETCH_CHECKED_NAME:
        set_text(sample, check.name, check.name_length)
        return True
    if what == FETCH_CHECKED_NUMBER:
        return set_number(sample, check.number)
    if what == FETCH_OWN_ADDRESS:
        return set_address(sample, check.ends.own_family, check.ends.own)
    if what == FETCH_OWN_PORT:
        return set_number(sample, check.ends.own_port) and check.ends.own_family != 0
    if what == FETCH_PEER_ADDRESS:
        return set_address(sample, check.ends.peer_family, check.ends.peer)
    if what == FETCH_PEER_PORT:
        return set_number(sample, check.ends.peer_port) and check.ends.peer_family != 0
    if what == FETCH_RECEIVED:
        return received_part(check, call, sample)
    if what == FETCH_RECEIVED_BLOCK:
        return received_block(check, call, sample)
    if what == FETCH_RECEIVED_LENGTH:
        return check.raw and set_number(sample, <int64_t>check.received_length)
    return answer_fetch(check, call, sample)
