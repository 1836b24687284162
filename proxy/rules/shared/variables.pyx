"""Variables of the program (`proc.*`) by their names: set by lines and by orders, and shown.

For the one process that writes control's row: the supervisor before the first fork, then control.
Names that orders add stand in the segment, so that control's successor knows them, too.
"""

from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from proxy.rules.evaluate cimport value_of
from proxy.rules.format cimport put_format
from proxy.rules.program cimport Phrases
from proxy.rules.sample cimport put_sample, set_text
from proxy.rules.types cimport (
    SAMPLE_ADDRESS, SAMPLE_NUMBER, SAMPLE_TEXT, SCRATCH_BYTES, Context, Part, Sample, Scratch,
    VariableRoom)
from proxy.rules.variables.shared cimport PROCESS_VARIABLES, shared_sample, shared_set
from shm.atomics cimport load_acquire, store_release
from shm.segment cimport Segment
from shm.text cimport Text, text_over
from shm.variable_records cimport (
    VARIABLE_NAME_BYTES, VARIABLE_TEXT_BYTES, ProcessValue, VariableCell)
from shm.variables cimport WRITER_MASK, control_row, orders_row, process_value

FIRST = PROCESS_VARIABLES


class Shown(NamedTuple):
    """What a variable has: the type as HAProxy names it, and the value as text."""

    type: str
    value: bytes


class NoRoomError(Exception):
    """There is no room for a value, or a name; the text says why."""


cdef class ProcessVariables:
    """The variables of one generation; `names` are those of the files, with their scope, by number.

    `process`: the id that `%pid` tells.
    """

    cdef Segment segment
    cdef dict numbers
    cdef uint32_t process
    cdef uint32_t of_files
    cdef Scratch scratch
    cdef char buffer[SCRATCH_BYTES]

    def __init__(self, Segment segment, names, uint32_t process=0) -> None:
        self.segment, self.process = segment, process
        self.of_files = <uint32_t>len(names)
        self.numbers = {name: FIRST + number for number, name in enumerate(names)}
        self.look()

    cdef int look(self) except -1:
        """Know the names that were added."""
        cdef uint64_t named = load_acquire(&self.segment.view.variables.named)
        cdef uint64_t at
        cdef const VariableCell *cell
        for at in range(named):
            cell = &self.segment.view.variable_cells[self.of_files + at]
            name = PyBytes_FromStringAndSize(cell.name, <Py_ssize_t>cell.name_length).decode()
            self.numbers[name] = FIRST + self.of_files + at
        return 0

    def limit(self, uint64_t bytes_max) -> None:
        """How many bytes all values may take; 0: no limit. Before the first fork."""
        self.segment.view.variables.bytes_max = bytes_max

    @property
    def names(self) -> tuple:
        """All of them, by their number."""
        return tuple(self.numbers)

    def number(self, name):
        """The number of a variable; None: no line and no order names it."""
        return self.numbers.get(name)

    def name(self, name) -> int:
        """The number of a variable that there is from now on; NoRoomError."""
        cdef uint64_t named = load_acquire(&self.segment.view.variables.named)
        cdef VariableCell *cell
        cdef bytes text = name.encode()
        if name in self.numbers:
            return self.numbers[name]
        if len(text) > VARIABLE_NAME_BYTES:
            raise NoRoomError(f"a name has at most {VARIABLE_NAME_BYTES} bytes")
        if self.of_files + named >= self.segment.view.header.variables:
            raise NoRoomError(
                f"no more than {named} variables can be added while the program runs: name this "
                "one in the files, and reload")
        cell = &self.segment.view.variable_cells[self.of_files + named]
        cell.name_length = len(text)
        memcpy(cell.name, PyBytes_AS_STRING(text), len(text))
        store_release(&self.segment.view.variables.named, named + 1)
        self.numbers[name] = FIRST + self.of_files + named
        return self.numbers[name]

    def set(
            self, uint32_t number, *, value=None, form=(), uint32_t when=0, lists=(),
            bint ordered=False) -> None:
        """Set a variable to a value, or to what a format says; without a value it stays as it is.

        `when`: conditions of `set-var`; `lists` are those that it looks up in; `ordered`: by an
        operator. Raises NoRoomError.
        """
        cdef Context context
        cdef Sample sample
        cdef VariableRoom room
        cdef Text text = text_over(self.buffer, SCRATCH_BYTES - 1)
        cdef Phrases phrases = Phrases(
            self.segment, () if value is None else (value,), (form,), lists)
        cdef uint32_t row = control_row(&self.segment.view)
        if ordered:
            row = orders_row(&self.segment.view)
        cdef const Part *parts
        memset(&context, 0, sizeof(context))
        memset(&room, 0, sizeof(room))
        room.row = row
        context.view, context.scratch = &self.segment.view, &self.scratch
        context.process, context.final, context.room = self.process, True, &room
        if value is not None:
            if not value_of(&context, phrases.add(value), &sample):
                return
        else:
            parts = phrases.add_format(form)
            put_format(&text, &context, parts, <uint32_t>len(form))
            set_text(&sample, text.start, text.at - text.start)
        if not shared_set(&self.segment.view, row, number, &sample, when):
            raise NoRoomError(
                f"a value has at most {VARIABLE_TEXT_BYTES} bytes"
                if sample.type == SAMPLE_TEXT and sample.length > VARIABLE_TEXT_BYTES else
                "'tune.vars.proc-max-size' or 'tune.vars.global-max-size' leaves no room for it")

    def ordered(self, uint32_t number) -> bool:
        """Whether what a variable has comes of an order."""
        cdef ProcessValue value
        cdef uint64_t seen
        if not process_value(&self.segment.view, number - FIRST, &value, NULL, &seen):
            return False
        return seen & WRITER_MASK == orders_row(&self.segment.view)

    def shown(self, uint32_t number):
        """What a variable has; None: nothing."""
        cdef Sample sample
        cdef Text text = text_over(self.buffer, SCRATCH_BYTES)
        if not shared_sample(&self.segment.view, &self.scratch, number, &sample):
            return None
        put_sample(&text, &sample)
        said = PyBytes_FromStringAndSize(text.start, text.at - text.start)
        if sample.type == SAMPLE_NUMBER:
            return Shown("bool" if sample.truth else "sint", said)
        if sample.type == SAMPLE_ADDRESS:
            return Shown("ipv4" if sample.family == 4 else "ipv6", said)
        return Shown("bin" if sample.binary else "str", said)
