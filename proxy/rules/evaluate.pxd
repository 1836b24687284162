# Runs what the configuration compiled: fetch, convert, compare, jump, or write. One evaluator for
# every process that has rules.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from proxy.rules.check cimport check_fetch
from proxy.rules.codes cimport *
from proxy.rules.connection.fetch cimport further_fetch
from proxy.rules.content.fetch cimport content_fetch
from proxy.rules.content.http_head cimport head_known
from proxy.rules.http cimport (
    base_sample, header_count, header_fetch, parameter_sample, path_query_sample, path_sample,
    query_sample, span, version_sample)
from proxy.rules.match cimport sample_matches
from proxy.rules.moment cimport moment_fetch
from proxy.rules.sample cimport set_address, set_number, set_text, set_truth
from proxy.rules.state cimport (
    backend_queue, backend_sessions, frontend_sessions, process_sessions, server_is_up,
    server_queue, server_sessions, usable_servers)
from proxy.rules.tables.convert cimport table_converted
from proxy.rules.tables.fetch cimport table_fetch
from proxy.rules.types cimport (
    ACCEPTED, HEAD_SHORT, HEAD_THERE, HOLDS, HOLDS_NOT, SAMPLE_NONE, UNDECIDED, Call, ContentView,
    Context, HttpView, Patterns, Sample, Scratch, Step, Term)
from proxy.rules.variables.memory cimport variable_sample
from proxy.rules.variables.shared cimport PROCESS_VARIABLES, shared_sample
from proxy.rules.variables.steps cimport step_run


cdef inline bint request_line_fetch(
        const HttpView *http, const Call *call, Scratch *scratch, Sample *sample) noexcept nogil:
    """Parts of the request line that formats say."""
    cdef size_t before = span(http.target, http.target_length, c"?")
    if call.fetch == FETCH_URL_PATH:
        set_text(sample, http.target, before)
        return True
    if call.fetch == FETCH_URL_QUERY:
        set_text(sample, http.target + before, http.target_length - before)
        return True
    if call.fetch == FETCH_PATH_QUERY:
        return path_query_sample(http, sample)
    if call.fetch == FETCH_BASE:
        return base_sample(http, scratch, sample)
    return version_sample(http, call.fetch == FETCH_VERSION_NUMBER, sample)


cdef inline bint http_fetch(
        const HttpView *http, const Call *call, Scratch *scratch, Sample *sample) noexcept nogil:
    if http == NULL:
        return False
    if call.fetch == FETCH_METHOD:
        set_text(sample, http.method, http.method_length)
        return True
    if call.fetch == FETCH_PATH:
        return path_sample(http, sample)
    if call.fetch == FETCH_URL:
        set_text(sample, http.target, http.target_length)
        return True
    if call.fetch == FETCH_QUERY:
        return query_sample(http, sample)
    if call.fetch == FETCH_URL_PARAMETER:
        return parameter_sample(http, call, sample)
    if call.fetch == FETCH_HEADER_VALUES:
        return set_number(sample, header_count(http, call, False))
    if call.fetch == FETCH_HEADER_LINES:
        return set_number(sample, header_count(http, call, True))
    if FETCH_URL_PATH <= call.fetch <= FETCH_VERSION_NUMBER:
        return request_line_fetch(http, call, scratch, sample)
    return header_fetch(http, call, call.fetch == FETCH_HEADER_LINE, sample)


cdef inline bint forwarded_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """The same of a request among a client's first bytes, which are forwarded as they are."""
    # what is known of the bytes is kept beside them, and belongs to this look
    cdef ContentView *content = <ContentView *>context.content
    cdef uint8_t known = head_known(content)
    sample.unsettled = known == HEAD_SHORT
    return known == HEAD_THERE and http_fetch(&content.head, call, context.scratch, sample)


cdef inline bint state_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    cdef uint32_t index = <uint32_t>call.numbers[0]
    if context.view == NULL:
        return False
    if call.fetch == FETCH_USABLE_SERVERS:
        return set_number(sample, usable_servers(context.view, index, call.numbers[1] != 0))
    if call.fetch == FETCH_SERVER_IS_UP:
        return set_truth(sample, server_is_up(context.view, index))
    if call.fetch == FETCH_SERVER_SESSIONS:
        return set_number(sample, server_sessions(context.view, index))
    if call.fetch == FETCH_BACKEND_SESSIONS:
        return set_number(sample, backend_sessions(context.view, index))
    if call.fetch == FETCH_BACKEND_QUEUE:
        return set_number(sample, backend_queue(context.view, index))
    if call.fetch == FETCH_SERVER_QUEUE:
        return set_number(sample, server_queue(context.view, index))
    if call.fetch == FETCH_PROCESS_SESSIONS:
        return set_number(sample, process_sessions(context.view))
    return set_number(sample, frontend_sessions(context.view, index))


cdef inline bint constant_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """What the configuration says, a variable, or what is of the moment."""
    cdef uint64_t variable = <uint64_t>call.numbers[0]
    if call.fetch == FETCH_NOTHING:
        return False
    if call.fetch == FETCH_NUMBER:
        set_number(sample, call.numbers[0])
        sample.truth = call.numbers[1] != 0
        return True
    if call.fetch == FETCH_TEXT:
        set_text(sample, call.text, call.length)
        sample.binary = call.numbers[0] != 0
        return True
    if call.fetch == FETCH_ADDRESS:
        return set_address(sample, 4 if call.length == 4 else 6, <const uint8_t *>call.text)
    if call.fetch == FETCH_PROCESS:
        return set_number(sample, context.process)
    if call.fetch != FETCH_VARIABLE:
        return moment_fetch(call, context.scratch, sample)
    if call.numbers[0] >= PROCESS_VARIABLES:
        if shared_sample(context.view, context.scratch, call.numbers[0], sample):
            return True
    elif context.kept != NULL and variable_sample(context.kept[0], variable, sample):
        return True
    if variable < context.variable_count and context.variables[variable].type != SAMPLE_NONE:
        sample[0] = context.variables[variable]
        sample.more = False
        return True
    set_text(sample, call.text, call.length)  # the one given for lack of a value
    return call.numbers[1] != 0


cdef inline bint is_received(uint16_t what) noexcept nogil:
    """Whether a fetch looks at what the server of a check, or of a session, has sent."""
    return FETCH_RECEIVED <= what <= FETCH_RECEIVED_LENGTH


cdef inline bint fetch(const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """The next sample of the call; False: there is none, or no other."""
    cdef uint16_t what = call.fetch
    sample.more = sample.unsettled = False
    if what == FETCH_TRUE or what == FETCH_FALSE:
        return set_truth(sample, what == FETCH_TRUE)
    if what == FETCH_CLIENT_ADDRESS:
        return set_address(sample, context.client_family, context.client)
    if what == FETCH_FRONT_ADDRESS:
        return set_address(sample, context.front_family, context.front)
    if what == FETCH_CLIENT_PORT:
        return set_number(sample, context.client_port) and context.client_port != 0
    if what == FETCH_FRONT_PORT:
        return set_number(sample, context.front_port) and context.front_port != 0
    if what == FETCH_AUTHORISED:
        return set_number(sample, context.authorised >> <uint64_t>call.numbers[0] & 1)
    if what >= FETCH_OF_CONNECTION:
        return further_fetch(context, call, sample)
    if what >= FETCH_ENTRY_VALUE:
        return table_fetch(context, call, sample)
    if what >= FETCH_NOTHING:
        return constant_fetch(context, call, sample)
    if what >= FETCH_WAIT_END or (context.check == NULL and is_received(what)):
        return content_fetch(context, call, sample)
    if what >= FETCH_CHECKED_SESSIONS:
        return context.check != NULL and check_fetch(context, call, sample)
    if what >= FETCH_USABLE_SERVERS:
        return state_fetch(context, call, sample)
    if context.http == NULL and context.content != NULL:
        return forwarded_fetch(context, call, sample)
    return http_fetch(context.http, call, context.scratch, sample)


cdef inline bint all_converted(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """Run the converters of a call; False: one of them gives no sample."""
    cdef uint32_t at
    cdef const Step *step
    for at in range(call.step_count):
        step = &call.steps[at]
        if CONVERT_FURTHER > step.convert >= CONVERT_IN_TABLE:
            if not table_converted(context, step, sample):
                return False
        elif step.convert == CONVERT_USABLE_SERVERS:
            if context.view == NULL:
                return False
            set_number(sample, usable_servers(
                context.view, <uint32_t>(sample.number >> 1), sample.number & 1 != 0))
        elif not step_run(context, step, sample):
            return False
    return True


cdef inline bint value_of(const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """The value of an expression; False: there is none."""
    sample.position = sample.line_end = 0
    return fetch(context, call, sample) and all_converted(context, call, sample)


cdef inline int term_judged(
        const Context *context, const Term *term, const Patterns *patterns) noexcept nogil:
    """Whether one of the samples has one of the patterns; UNDECIDED where more bytes may say so."""
    cdef Sample sample
    cdef bint unsettled = False
    sample.position = sample.line_end = 0
    while True:
        sample.unsettled = False
        if not fetch(context, &term.call, &sample):
            sample.more = False
        elif not all_converted(context, &term.call, &sample):
            sample.more = False  # as HAProxy: without a look at the fetch's other values
        elif sample_matches(&sample, context.scratch, patterns, term):
            return HOLDS
        unsettled = unsettled or sample.unsettled
        if not sample.more:
            return UNDECIDED if unsettled and not context.final else HOLDS_NOT


cdef inline bint condition_walk(
        const Context *context, const Term *terms, const Patterns *patterns, int32_t first,
        bint hopeful, bint *undecided) noexcept nogil:
    """Run a condition from its first term; jumps lead forward only.

    `hopeful`: undecided terms count as what lets the condition hold, else as what does not.
    """
    cdef int32_t at = first
    cdef int judged
    while at >= 0:
        judged = term_judged(context, &terms[at], patterns)
        if judged == UNDECIDED:
            undecided[0] = True
            judged = HOLDS if hopeful != terms[at].negated else HOLDS_NOT
        at = terms[at].then if judged == HOLDS else terms[at].otherwise
    return at == ACCEPTED


cdef inline int condition_judged(
        const Context *context, const Term *terms, const Patterns *patterns,
        int32_t first) noexcept nogil:
    """Whether a condition holds; UNDECIDED if that depends on what more bytes will say.

    Terms with negation apart, more of them only help: where the best and the worst that the
    undecided ones may come to agree, so does all between (Kleene's three-valued logic).
    """
    cdef bint undecided = False
    cdef bint holds = condition_walk(context, terms, patterns, first, False, &undecided)
    if undecided and holds != condition_walk(context, terms, patterns, first, True, &undecided):
        return UNDECIDED
    return HOLDS if holds else HOLDS_NOT
