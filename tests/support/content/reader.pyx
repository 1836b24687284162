# One fetch on bytes that end where their memory ends, so that the address sanitizer sees any look
# beyond.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from proxy.rules.evaluate cimport fetch
from proxy.rules.types cimport (
    SAMPLE_NUMBER, SAMPLE_TEXT, Call, Context, ContentView, Sample, Scratch)


def look(int code, bytes content, *, bytes text=b"", numbers=(), bint answer=False,
         bint final=False, bint scratch=True):
    """The values that a fetch finds, and whether more bytes may change what it found last."""
    cdef Context context
    cdef ContentView view
    cdef Call call
    cdef Sample sample
    cdef char *bytes_ = <char *>malloc(len(content) or 1)
    cdef char *name = <char *>malloc(len(text) or 1)
    found = []
    memset(&context, 0, sizeof(Context))
    memset(&call, 0, sizeof(Call))
    memset(&view, 0, sizeof(ContentView))
    memcpy(bytes_, PyBytes_AS_STRING(content), len(content))
    memcpy(name, PyBytes_AS_STRING(text), len(text))
    view.bytes, view.length, view.from_server = bytes_, len(content), answer
    if answer:
        context.answer = &view
    else:
        context.content = &view
    context.final = final
    context.scratch = <Scratch *>calloc(1, sizeof(Scratch)) if scratch else NULL
    call.fetch, call.text, call.length = code, name, len(text)
    for at, number in enumerate(numbers):
        call.numbers[at] = number
    sample.position = sample.line_end = 0
    while True:
        sample.more = sample.unsettled = False
        if not fetch(&context, &call, &sample):
            break
        if sample.type == SAMPLE_NUMBER:
            found.append(sample.number)
        else:
            found.append(PyBytes_FromStringAndSize(sample.text, sample.length))
        if not sample.more:
            break
    free(context.scratch)
    free(bytes_)
    free(name)
    return found, bool(sample.unsettled)
