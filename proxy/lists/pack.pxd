# What is collected of a list before it is packed, or before it becomes part of an image (pack.pyx).

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint8_t

from proxy.lists.heap cimport Heap, Pool
from proxy.lists.layout cimport ListHead

cdef enum:
    KEY_HEAD_BYTES = 2  # of a record without a value


cdef class Packer:
    cdef str method
    cdef str gives
    cdef uint16_t kind
    cdef bint insensitive
    cdef bint folds  # texts are kept in lower case
    cdef bint of_names  # delimiters are those of host names
    cdef bint from_end
    cdef bint asked
    cdef bint each
    cdef Heap merged  # ranges, or networks of IPv4
    cdef Heap six  # networks of IPv6
    cdef Heap records
    cdef Pool values
    cdef uint32_t count  # of records
    cdef size_t cells  # that they take
    cdef bytes content  # of the file that is read
    cdef size_t at
    cdef readonly size_t line
    cdef const char *value  # of the next pattern
    cdef size_t value_length

    cpdef void empty(self) noexcept
    cdef int take_key(self, const char *key, size_t length) except -1
    cdef int take_4(self, uint32_t address, int bits) except -1
    cdef int take_6(self, const uint8_t *address, int bits) except -1
    cdef int take_text(self, const char *text, size_t length) except -1
    cdef size_t take_value(self, const char *start, size_t length) except 0
    cdef bint take(self, const char *text, size_t length) except -1
    cdef bint take_digits(self, const char *text, size_t length) except -1
    cdef int lay_out(self, ListHead *head) except -1
    cdef int measure(self, ListHead *head) except -1
