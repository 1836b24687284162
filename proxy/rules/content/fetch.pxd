# Which function looks for a sample in the first bytes of a client or a server.

from libc.stdint cimport uint16_t

from proxy.rules.codes cimport *
from proxy.rules.content.client_hello cimport hello_fetch
from proxy.rules.content.hello_kind cimport hello_type_sample, version_sample
from proxy.rules.content.http_head cimport http_sample
from proxy.rules.content.payload cimport payload_fetch
from proxy.rules.content.rdp cimport rdp_fetch
from proxy.rules.sample cimport set_truth
from proxy.rules.types cimport Call, Context, ContentView, Sample


cdef inline bint client_fetch(
        const Context *context, const ContentView *content, const Call *call,
        Sample *sample) noexcept nogil:
    cdef uint16_t what = call.fetch
    if what == FETCH_HELLO_TYPE:
        return hello_type_sample(content, sample)
    if what == FETCH_HELLO_VERSION:
        return version_sample(content, sample)
    if what == FETCH_IS_HTTP:
        return http_sample(content, sample)
    if what >= FETCH_HELLO_SERVER_NAME:
        return hello_fetch(content, call, context.scratch, sample)
    if what >= FETCH_RDP_COOKIE:
        return rdp_fetch(content, call, sample)
    return payload_fetch(content, call, sample)


cdef inline bint content_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """A sample of first bytes; without any of that side there is none."""
    cdef uint16_t what = call.fetch
    cdef const ContentView *content = context.content
    if what == FETCH_WAIT_END:
        sample.unsettled = not context.final
        return context.final and set_truth(sample, True)
    if what == FETCH_RECEIVED or what == FETCH_RECEIVED_BLOCK or what == FETCH_RECEIVED_LENGTH:
        content = context.answer
    elif what == FETCH_IS_HTTP and context.http != NULL:
        return set_truth(sample, True)
    elif what == FETCH_ANSWER_HELLO_TYPE:
        return context.answer != NULL and hello_type_sample(context.answer, sample)
    elif what == FETCH_EITHER_PART or what == FETCH_EITHER_BLOCK:
        content = context.content if context.answer == NULL else context.answer
    return content != NULL and client_fetch(context, content, call, sample)
