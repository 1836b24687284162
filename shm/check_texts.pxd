# Texts of checks in their latches: of servers, and of agents.

from libc.stdint cimport int64_t

from shm.records cimport NameLatch

cdef str text_read(const NameLatch *latch, int64_t checked_ms)
cdef int text_write(NameLatch *latch, str text, int64_t checked_ms) except -1
