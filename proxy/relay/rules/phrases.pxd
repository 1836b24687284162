# What those need of phrases.pyx that compile rules and log formats.

from libc.stdint cimport uint32_t

from proxy.rules.program cimport Program
from proxy.rules.types cimport Call, Part


cdef class Phrases(Program):
    cdef Call *calls
    cdef uint32_t call_count
    cdef Part *parts
    cdef uint32_t part_count

    cdef const Call *add(self, object value) except NULL
    cdef const Part *add_format(self, object form) except NULL
