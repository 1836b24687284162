# Samples of a health check: the server, its connection, and what it said (manual section 7.3).

from libc.stdint cimport uint16_t

from proxy.rules.codes cimport *
from proxy.rules.content.payload cimport payload_fetch
from proxy.rules.http cimport header_count, header_fetch
from proxy.rules.sample cimport set_address, set_number, set_text
from proxy.rules.state cimport server_sessions
from proxy.rules.types cimport Call, CheckView, ContentView, Context, Sample


cdef inline bint received_fetch(
        const CheckView *check, const Call *call, Sample *sample) noexcept nogil:
    """What the server said, in a check that does not speak HTTP; of nothing there is no part."""
    cdef ContentView content
    content.bytes = check.received
    content.length = check.received_length
    content.from_server = True
    if not check.raw or (check.received_length == 0 and call.fetch != FETCH_RECEIVED_LENGTH):
        return False
    return payload_fetch(&content, call, sample)


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
    if FETCH_RECEIVED <= what <= FETCH_RECEIVED_LENGTH:
        return received_fetch(check, call, sample)
    return answer_fetch(check, call, sample)
