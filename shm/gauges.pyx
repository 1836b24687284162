"""The memory of the gauges that outlive a generation (gauges.pxd), and which of its rows are taken.

The first segment makes it, its successors take it over; processes inherit the mapping by fork. The
supervisor alone gives rows, and takes them back when what was written there has been cleared.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint64_t

from shm.atomics cimport fence_full, store_release

from shm.shape import GAUGED_SESSIONS_MAX, GaugesFullError

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MADV_DONTDUMP
    void *MAP_FAILED

BYTES = sizeof(GaugesHeader) + ROWS_MAX * COLUMNS_MAX * sizeof(uint64_t)

assert GAUGED_SESSIONS_MAX == COUNT_MASK, "a count of sessions has another width"
assert TAG_BITS + 2 * COUNT_BITS == 8 * sizeof(uint64_t), "a cell is no word"


cdef class Gauges:
    """The cells, all of them zero at first; raises OSError when the kernel refuses the memory.

    It is unmapped with the last reference; a view into it needs one (`Segment` has it).
    """

    def __cinit__(self):
        cdef void *address
        cdef int descriptor = os.memfd_create("gauges", os.MFD_CLOEXEC)
        self.address = NULL
        self.taken = bytearray(ROWS_MAX)
        try:
            os.ftruncate(descriptor, BYTES)
            address = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
            if address == MAP_FAILED:
                raise OSError(errno, f"cannot map gauges of {BYTES} bytes")
        finally:
            os.close(descriptor)
        self.address = address
        madvise(address, BYTES, MADV_DONTDUMP)  # a core file would touch every page of it
        self.header = <GaugesHeader *>address
        self.cells = <uint64_t *>(<char *>address + sizeof(GaugesHeader))

    def __dealloc__(self):
        if self.address != NULL:
            munmap(self.address, BYTES)

    def take(self, int count) -> list[int]:
        """So many free rows, the lowest ones, before their workers are forked.

        Raises GaugesFullError when there are fewer; then none is taken.
        """
        cdef int row
        rows = []
        for row in range(ROWS_MAX):
            if len(rows) == count:
                break
            if not self.taken[row]:
                rows.append(row)
        if len(rows) < count:
            raise GaugesFullError(
                f"{self.taken.count(1)} workers of former reloads still serve sessions, with "
                f"{count} more there would be over {ROWS_MAX}: hard-stop-after or "
                "mworker-max-reloads end them")
        for row in rows:
            self.taken[row] = 1
        self.publish()
        return rows

    def give(self, int row) -> None:
        """A worker that has ended needs its row no more; its cells there are zero."""
        self.taken[row] = 0
        self.publish()

    def publish(self) -> None:
        """Say up to which row sums go: before a fork, or the new worker's sessions are missed."""
        store_release(&self.header.rows, self.taken.rfind(1) + 1)
        fence_full()

    @property
    def rows(self) -> int:
        """How many rows are in use."""
        return self.taken.count(1)
