"""Compiled formats and values of one process: of health checks, and of answers to requests.

Owns the memory of what a check is known by, its variables included. What a format means is
format.pxd.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from proxy.rules.evaluate cimport value_of
from proxy.rules.format cimport put_format
from proxy.rules.program cimport Program, look_at, packed, zeroed
from proxy.rules.sample cimport as_number, as_plain, set_text
from shm.text cimport Text, text_over
from proxy.rules.types cimport (
    SAMPLE_NONE, SAMPLE_TEXT, SCRATCH_BYTES, Call, CheckView, ContentView, Context, HttpView, Part,
    Sample, Scratch)
from proxy.rules.variables.memory cimport IF_EXISTS, IF_NOT_EXISTS, Variable, may_set
from proxy.rules.variables.shared cimport PROCESS_VARIABLES, shared_set, shared_unset
from shm.segment cimport Segment


cdef class CheckFacts:
    """What formats look at of one health check; its variables, by their number."""

    cdef CheckView view
    cdef Sample *variables
    cdef uint32_t variable_count
    cdef list kept  # the bytes that the variables point to; None: there is no such variable yet
    cdef bytes name
    cdef bytes received
    cdef bytes headers

    def __init__(self, uint32_t slot, bytes name, uint32_t number, uint32_t variables) -> None:
        """`name` and `number`: of the server, its id; so many variables, none of them set."""
        cdef uint32_t at
        self.variables = <Sample *>zeroed(variables, sizeof(Sample))
        self.variable_count = variables
        for at in range(variables):
            self.variables[at].type = SAMPLE_NONE
        self.kept = [None] * variables
        self.name = name
        self.view.slot = slot
        self.view.name = PyBytes_AS_STRING(name)
        self.view.name_length = PyBytes_GET_SIZE(name)
        self.view.number = number
        self.hear(b"")

    def __dealloc__(self):
        free(self.variables)

    cdef bint may_set(self, uint32_t variable, const Sample *sample, uint32_t when):
        """Whether the conditions let a variable be set, which exists from then on."""
        cdef Variable former
        cdef bint known = self.kept[variable] is not None
        if (when & IF_EXISTS and not known) or (when & IF_NOT_EXISTS and known):
            return False
        if not known:
            self.kept[variable] = b""
        former.type = self.variables[variable].type
        former.number = self.variables[variable].number
        return may_set(&former, sample, when)

    def meet(self, own, peer) -> None:
        """Note both ends of the connection: pairs of address and port, None on a Unix socket."""
        memset(&self.view.ends, 0, sizeof(self.view.ends))
        if own is not None:
            self.view.ends.own_family = packed(own[0], self.view.ends.own)
            self.view.ends.own_port = own[1]
        if peer is not None:
            self.view.ends.peer_family = packed(peer[0], self.view.ends.peer)
            self.view.ends.peer_port = peer[1]

    def hear(self, bytes received, *, int32_t status=-1, bytes headers=None) -> None:
        """Note what the server said: all of it, or with `headers` (lines) the body of an answer."""
        self.received = received
        self.headers = headers or b""
        self.view.received = PyBytes_AS_STRING(self.received)
        self.view.received_length = PyBytes_GET_SIZE(self.received)
        self.view.raw = headers is None
        self.view.status = status
        self.view.answer.headers = PyBytes_AS_STRING(self.headers)
        self.view.answer.headers_length = PyBytes_GET_SIZE(self.headers)


cdef class Formats(Program):
    """Formats and single values by their number, for the checks of one process."""

    cdef Part *parts
    cdef uint32_t *firsts  # by format, one more than there are
    cdef uint32_t count
    cdef Call *calls
    cdef uint32_t call_count
    cdef uint32_t process
    cdef uint32_t row
    cdef Scratch *scratch
    cdef char *buffer

    def __init__(
            self, Segment segment, formats, values=(), uint32_t process=0, lists=(),
            uint32_t row=0) -> None:
        """`process`: the id that `%pid` tells; `lists` are those of the settings.

        `row` is the one where this thread sets variables of the program (shm/variables.pxd).
        """
        cdef uint32_t part = 0, number = 0
        every = [piece.value for made in formats for piece in made if piece.value is not None]
        self.begin(segment, sum(len(value.converters) for value in (*every, *values)), lists)
        self.process, self.row = process, row
        self.scratch = <Scratch *>zeroed(1, sizeof(Scratch))
        self.buffer = <char *>zeroed(SCRATCH_BYTES, 1)
        self.parts = <Part *>zeroed(sum(len(made) for made in formats), sizeof(Part))
        self.firsts = <uint32_t *>zeroed(len(formats) + 1, sizeof(uint32_t))
        self.calls = <Call *>zeroed(len(values), sizeof(Call))
        for made in formats:
            self.firsts[number] = part
            number += 1
            for piece in made:
                self.set_part(&self.parts[part], piece)
                part += 1
        self.firsts[number] = part
        self.count = number
        for value in values:
            self.set_call(&self.calls[self.call_count], value)
            self.call_count += 1

    def __dealloc__(self):
        free(self.scratch)
        free(self.buffer)
        free(self.parts)
        free(self.firsts)
        free(self.calls)

    cdef bint has(self, uint32_t variable, CheckFacts facts) except -1:
        """Whether a check can set a variable of this number: one of its own, or the program's."""
        if variable < PROCESS_VARIABLES:
            return variable < facts.variable_count
        return variable - PROCESS_VARIABLES < self.segment.view.header.variables

    cdef int fill(self, Context *context, CheckFacts facts) except -1:
        memset(context, 0, sizeof(Context))
        context.view = &self.segment.view
        context.check = &facts.view
        context.variables = facts.variables
        context.variable_count = facts.variable_count
        context.process = self.process
        context.scratch = self.scratch
        return 0

    def text(self, uint32_t number, CheckFacts facts not None) -> bytes:
        """What a format says, at most 16,383 bytes; IndexError for a number that there is not."""
        cdef Context context
        cdef Text text = text_over(self.buffer, SCRATCH_BYTES - 1)
        if number >= self.count:
            raise IndexError(f"format {number} of {self.count}")
        self.fill(&context, facts)
        put_format(
            &text, &context, &self.parts[self.firsts[number]],
            self.firsts[number + 1] - self.firsts[number])
        return PyBytes_FromStringAndSize(text.start, text.at - text.start)

    def answer(self, uint32_t number, seen not None, *, uint64_t authorised=0):
        """What a format says to a request; None for 16,384 bytes or more, IndexError as above."""
        cdef Context context
        cdef HttpView http
        cdef ContentView content
        cdef Text text = text_over(self.buffer, SCRATCH_BYTES)
        if number >= self.count:
            raise IndexError(f"format {number} of {self.count}")
        look_at(&context, &http, &content, self.segment, seen, authorised)
        context.process = self.process
        context.scratch = self.scratch
        put_format(
            &text, &context, &self.parts[self.firsts[number]],
            self.firsts[number + 1] - self.firsts[number])
        if text.at == text.end:
            return None
        return PyBytes_FromStringAndSize(text.start, text.at - text.start)

    def number(self, uint32_t number, CheckFacts facts not None):
        """What a value is as a number; None: there is none."""
        cdef Context context
        cdef Sample sample
        if number >= self.call_count:
            raise IndexError(f"value {number} of {self.call_count}")
        self.fill(&context, facts)
        if not value_of(&context, &self.calls[number], &sample):
            return None
        as_plain(&sample)  # here HAProxy makes numbers of bytes, too
        if not as_number(&sample):
            return None
        return sample.number

    def assign(
            self, uint32_t number, uint32_t variable, CheckFacts facts not None, *,
            uint32_t when=0) -> None:
        """Set a variable to a value, if the conditions `when` hold.

        Where there is no value it keeps what it has.
        """
        cdef Context context
        cdef Sample sample
        if number >= self.call_count or not self.has(variable, facts):
            raise IndexError(f"value {number} or variable {variable}")
        self.fill(&context, facts)
        if not value_of(&context, &self.calls[number], &sample):
            return
        if variable >= PROCESS_VARIABLES:
            shared_set(&self.segment.view, self.row, variable, &sample, when)
        elif not facts.may_set(variable, &sample, when):
            return
        elif sample.type == SAMPLE_TEXT:
            self.assign_text(
                PyBytes_FromStringAndSize(sample.text, sample.length), variable, facts)
            facts.variables[variable].binary = sample.binary
        else:
            facts.variables[variable] = sample

    def assign_format(
            self, uint32_t number, uint32_t variable, CheckFacts facts not None, *,
            uint32_t when=0) -> None:
        """Set a variable to what a format says, if the conditions `when` hold."""
        cdef Sample sample
        cdef bytes text
        if not self.has(variable, facts):
            raise IndexError(f"variable {variable}")
        text = self.text(number, facts)
        memset(&sample, 0, sizeof(sample))
        set_text(&sample, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if variable >= PROCESS_VARIABLES:
            shared_set(&self.segment.view, self.row, variable, &sample, when)
        elif facts.may_set(variable, &sample, when):
            self.assign_text(text, variable, facts)

    cdef int assign_text(self, bytes text, uint32_t variable, CheckFacts facts) except -1:
        cdef Sample *sample = &facts.variables[variable]
        text = text[:SCRATCH_BYTES - 1]  # as in HAProxy
        facts.kept[variable] = text
        memset(sample, 0, sizeof(Sample))
        sample.type = SAMPLE_TEXT
        sample.text = PyBytes_AS_STRING(text)
        sample.length = PyBytes_GET_SIZE(text)
        return 0

    def forget(self, uint32_t variable, CheckFacts facts not None) -> None:
        """Let a variable have no value."""
        if not self.has(variable, facts):
            raise IndexError(f"variable {variable}")
        if variable >= PROCESS_VARIABLES:
            shared_unset(&self.segment.view, self.row, variable)
            return
        facts.variables[variable].type = SAMPLE_NONE
        facts.kept[variable] = None
