# A stick table as Python holds it; its documentation is in memory.pyx.

from libc.stdint cimport uint32_t

from shm.segment cimport View
from shm.tables.layout cimport CONTROL_WRITER, Table


cdef inline uint32_t worker_writer(const View *view, uint32_t worker) noexcept nogil:
    """The number of a worker at all tables: over all generations no other has it."""
    return CONTROL_WRITER + 1 + <uint32_t>view.processes[worker].gauges_row


cdef class StickTable:
    cdef Table table
    cdef readonly object shape
    cdef StickTable owner  # of the memory; None: it is this one
    cdef int cells_file
    cdef int holds_file
    cdef size_t cells_bytes
    cdef int size_up(self) except -1
    cdef int make_files(self) except -1
    cdef int take_files(self, int cells, int holds) except -1
    cdef int map_files(self) except -1
    cdef int share(self, object shape, StickTable former) except -1
