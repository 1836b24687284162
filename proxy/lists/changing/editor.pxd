# The patterns of one reference, as control changes them (editor.pyx).

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from proxy.lists.changing.grow cimport Entry
from proxy.lists.changing.image cimport Group
from proxy.lists.changing.images cimport Images
from proxy.lists.pack cimport Packer


cdef bytes key_in(const Group *group)
cdef object value_in(const char *groups, const Group *group)


cdef class ListEditor(Images):
    cdef uint64_t value_bytes(self, Packer packer) noexcept
    cdef void add_group(
        self, Packer texts, const char **cursors, const size_t *heads, uint32_t version,
        bint valued) noexcept
    cdef void write(
        self, const Entry *entries, uint32_t version, uint32_t order, bint valued,
        const char *value, uint16_t length) noexcept
    cdef void give_one(self, Group *group, bytes value) noexcept
