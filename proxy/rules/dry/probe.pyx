"""What the lists of one reference have for a value that an operator names: `get map`, `get acl`.

Runs the look-up that conditions and maps run. Owns how the text of a value becomes a sample.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint8_t
from libc.string cimport memset

from proxy.lists.changing.editor cimport ListEditor, key_in, value_in
from proxy.lists.changing.grow cimport life_of
from proxy.lists.changing.image cimport Changes, Group, ImageHead, reading_of
from proxy.lists.layout cimport Reading, Record
from proxy.lists.regex cimport Regexes
from proxy.rules.codes cimport MATCH_FOUND, MATCH_REG
from proxy.rules.maps.found cimport pattern_found
from proxy.rules.match cimport suits
from proxy.rules.sample cimport set_text
from proxy.rules.types cimport Sample, Scratch

from proxy.rules.program import MATCHERS


cdef class Probe:
    """Looks up in one list; `regexes` are compiled where it is one of them."""

    cdef ListEditor editor
    cdef Changes changes
    cdef uint8_t matcher
    cdef bint insensitive
    cdef Regexes regexes
    cdef Scratch scratch

    def __init__(
            self, ListEditor editor, uint32_t place, str matcher, *, bint insensitive,
            Regexes regexes=None) -> None:
        """`place` is that of the list among those of its reference, from 1."""
        self.editor = editor
        editor.changes(place, &self.changes)
        self.matcher = MATCHERS[matcher]
        self.insensitive = insensitive and self.matcher != MATCH_REG
        self.regexes = regexes

    def find(self, bytes value):
        """The pattern and its value that a text has; None: there is none."""
        cdef Sample sample
        cdef Reading reading = reading_of(NULL, &self.changes)
        cdef const Record *record
        cdef const Group *group
        cdef bytes text = value.lower() if self.insensitive else value
        memset(&sample, 0, sizeof(sample))
        set_text(&sample, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if reading.head == NULL or not suits(&sample, &self.scratch, self.matcher):
            return None
        record = pattern_found(
            reading, NULL if self.regexes is None else &self.regexes.view, self.matcher, &sample)
        if record == NULL:
            return None
        group = <const Group *>(<const char *>record - life_of(record).back)
        return key_in(group), value_in(<const char *>reading.head + reading.head.values, group)
