# One converter of whole messages on bytes that end where their memory ends, so that the address
# sanitizer sees any look beyond.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from proxy.rules.converting.messages cimport message_converted
from proxy.rules.sample cimport set_number, set_text
from proxy.rules.types cimport SAMPLE_NUMBER, Sample, Scratch, Step


def converted(int code, content, *, bytes text=b"", numbers=()):
    """What a converter makes of bytes or a number, None for nothing; whether more may come."""
    cdef Step step
    cdef Sample sample
    cdef bytes given = content if isinstance(content, bytes) else b""
    cdef char *bytes_ = <char *>malloc(len(given) or 1)
    cdef char *form = <char *>malloc(len(text) + 1)
    cdef Scratch *scratch = <Scratch *>calloc(1, sizeof(Scratch))
    memset(&step, 0, sizeof(Step))
    memset(&sample, 0, sizeof(Sample))
    memcpy(bytes_, PyBytes_AS_STRING(given), len(given))
    memcpy(form, PyBytes_AS_STRING(text), len(text))
    form[len(text)] = 0
    step.convert, step.text, step.length = code, form, len(text)
    for at, number in enumerate(numbers):
        step.numbers[at] = number
    if isinstance(content, bytes):
        set_text(&sample, bytes_, len(given))
        sample.binary = True
    else:
        set_number(&sample, content)
    found = None
    sample.unsettled = isinstance(content, bytes)  # as of all bytes that are there
    if message_converted(&step, scratch, &sample):
        if sample.type == SAMPLE_NUMBER:
            found = sample.number
        else:
            found = PyBytes_FromStringAndSize(sample.text, sample.length)
    free(bytes_)
    free(form)
    free(scratch)
    return found, bool(sample.unsettled)
