"""The values and formats of one relay as C structs: of rules, and of what they name.

Owns their memory. Each is run where it stands (proxy/rules/evaluate.pxd, format.pxd).
"""

from libc.stdlib cimport free

from proxy.rules.program cimport Program, zeroed
from proxy.rules.types cimport Call, Part
from shm.segment cimport Segment


cdef class Phrases(Program):
    """Values and formats, in the order in which they are added; MemoryError."""

    def __init__(self, Segment segment, values, formats, lists) -> None:
        """Make room for all of these; `lists` are those of the settings."""
        parts = [part for form in formats for part in form]
        said = [part.value for part in parts if part.value is not None]
        self.begin(segment, sum(len(value.converters) for value in (*values, *said)), lists)
        self.calls = <Call *>zeroed(len(values), sizeof(Call))
        self.parts = <Part *>zeroed(len(parts), sizeof(Part))

    def __dealloc__(self):
        free(self.calls)
        free(self.parts)

    cdef const Call *add(self, object value) except NULL:
        cdef Call *target = &self.calls[self.call_count]
        self.set_call(target, value)
        self.call_count += 1
        return target

    cdef const Part *add_format(self, object form) except NULL:
        """The first of its parts."""
        cdef const Part *first = &self.parts[self.part_count]
        for piece in form:
            self.set_part(&self.parts[self.part_count], piece)
            self.part_count += 1
        return first
