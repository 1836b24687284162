"""What the server said to its last check, or where the check failed (`last_chk`), by slot.

`CheckTextReader` is for any process, `CheckTextWriter` for the worker that checks the slot. A text
belongs to the health record with the same end of the check: both are published one after the
other, and a reader that finds one of another check has no text. Bytes of a server that are not
UTF-8 are surrogates in the text (PEP 383), so that they are shown as they came.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from shm.latch cimport name_read, name_write
from shm.records cimport NAME_BYTES, NameLatch, NameRecord
from shm.segment cimport Segment


cdef NameLatch *text_latch(Segment segment, uint32_t slot) except NULL:
    if slot >= segment.view.header.slots:
        raise IndexError(f"slot {slot} of {segment.view.header.slots}")
    return &segment.view.check_texts[slot]


cdef str text_read(const NameLatch *latch, int64_t checked_ms):
    """The text of the check that ended then; "" without one."""
    cdef NameRecord record
    if not name_read(latch, &record) or record.stamp_ms != checked_ms:
        return ""
    cdef bytes text = record.text[:record.length]
    return text.decode(errors="surrogateescape")


cdef int text_write(NameLatch *latch, str text, int64_t checked_ms) except -1:
    """Publish a text before the record of its check; what is too long of it is cut."""
    cdef NameRecord record
    cdef bytes content = text.encode(errors="surrogateescape")[:NAME_BYTES]
    memset(&record, 0, sizeof(record))
    record.stamp_ms = checked_ms
    record.length = <uint8_t>len(content)
    memcpy(record.text, <const char *>content, len(content))
    name_write(latch, &record)
    return 0


cdef class CheckTextReader:
    """Reads the texts of any slot. Any process, any number of readers."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def of(self, uint32_t slot, int64_t checked_ms) -> str:
        """The text of the check that ended then; "" without one. IndexError for no slot."""
        return text_read(text_latch(self.segment, slot), checked_ms)


cdef class CheckTextWriter:
    """Writes texts: the worker that checks the slot."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def publish(self, uint32_t slot, str text, int64_t checked_ms) -> None:
        """Publish a text before the health record; what is too long of it is cut."""
        text_write(text_latch(self.segment, slot), text, checked_ms)
