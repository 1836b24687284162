# Runs a compiled condition: fetch, compare, jump. One evaluator for every process that has rules.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from proxy.rules.codes cimport *
from proxy.rules.http cimport (
    header_count, header_fetch, parameter_sample, path_sample, query_sample, set_text)
from proxy.rules.match cimport sample_matches
from proxy.rules.state cimport (
    backend_queue, backend_sessions, frontend_sessions, server_is_up, server_sessions,
    usable_servers)
from proxy.rules.types cimport (
    ACCEPTED, SAMPLE_ADDRESS, SAMPLE_NUMBER, Context, HttpView, Pattern, Sample, Term)


cdef inline bint set_number(Sample *sample, int64_t number) noexcept nogil:
    sample.type = SAMPLE_NUMBER
    sample.number = number
    return True


cdef inline bint set_address(
        Sample *sample, uint8_t family, const uint8_t *address) noexcept nogil:
    sample.type = SAMPLE_ADDRESS
    sample.family = family
    memcpy(sample.address, address, 16)
    return family != 0


cdef inline bint http_fetch(
        const HttpView *http, const Term *term, Sample *sample) noexcept nogil:
    if http == NULL:
        return False
    if term.fetch == FETCH_METHOD:
        set_text(sample, http.method, http.method_length)
        return True
    if term.fetch == FETCH_PATH:
        return path_sample(http, sample)
    if term.fetch == FETCH_URL:
        set_text(sample, http.target, http.target_length)
        return True
    if term.fetch == FETCH_QUERY:
        return query_sample(http, sample)
    if term.fetch == FETCH_URL_PARAMETER:
        return parameter_sample(http, term, sample)
    if term.fetch == FETCH_HEADER_VALUES:
        return set_number(sample, header_count(http, term, False))
    if term.fetch == FETCH_HEADER_LINES:
        return set_number(sample, header_count(http, term, True))
    return header_fetch(http, term, term.fetch == FETCH_HEADER_LINE, sample)


cdef inline bint state_fetch(
        const Context *context, const Term *term, Sample *sample) noexcept nogil:
    cdef uint32_t index = <uint32_t>term.numbers[0]
    if context.view == NULL:
        return False
    if term.fetch == FETCH_USABLE_SERVERS:
        return set_number(sample, usable_servers(context.view, index, term.numbers[1] != 0))
    if term.fetch == FETCH_SERVER_IS_UP:
        return set_number(sample, server_is_up(context.view, index))
    if term.fetch == FETCH_SERVER_SESSIONS:
        return set_number(sample, server_sessions(context.view, index))
    if term.fetch == FETCH_BACKEND_SESSIONS:
        return set_number(sample, backend_sessions(context.view, index))
    if term.fetch == FETCH_BACKEND_QUEUE:
        return set_number(sample, backend_queue(context.view, index))
    return set_number(sample, frontend_sessions(context.view, index))


cdef inline bint fetch(const Context *context, const Term *term, Sample *sample) noexcept nogil:
    """The next sample of the term; False: there is none, or no other."""
    cdef uint16_t what = term.fetch
    sample.more = False
    if what == FETCH_TRUE or what == FETCH_FALSE:
        return set_number(sample, what == FETCH_TRUE)
    if what == FETCH_CLIENT_ADDRESS:
        return set_address(sample, context.client_family, context.client)
    if what == FETCH_FRONT_ADDRESS:
        return set_address(sample, context.front_family, context.front)
    if what == FETCH_CLIENT_PORT:
        return set_number(sample, context.client_port) and context.client_family != 0
    if what == FETCH_FRONT_PORT:
        return set_number(sample, context.front_port) and context.front_family != 0
    if what == FETCH_AUTHORISED:
        return set_number(sample, context.authorised >> <uint64_t>term.numbers[0] & 1)
    if what >= FETCH_USABLE_SERVERS:
        return state_fetch(context, term, sample)
    return http_fetch(context.http, term, sample)


cdef inline bint term_holds(
        const Context *context, const Term *term, const Pattern *patterns) noexcept nogil:
    """Whether one of the samples has one of the patterns; without a sample, it does not."""
    cdef Sample sample
    sample.position = sample.line_end = 0
    while fetch(context, term, &sample):
        if sample_matches(&sample, patterns, term):
            return True
        if not sample.more:
            return False
    return False


cdef inline bint condition_holds(
        const Context *context, const Term *terms, const Pattern *patterns,
        int32_t first) noexcept nogil:
    """Run one condition from its first term; jumps lead forward only."""
    cdef int32_t at = first
    while at >= 0:
        at = (
            terms[at].then if term_holds(context, &terms[at], patterns) else terms[at].otherwise)
    return at == ACCEPTED
