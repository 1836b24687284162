"""The memory of the gauges that outlive a generation (gauges.pxd), and which of its rows are taken.

The first segment makes it, its successors take it over; processes inherit the mappings by fork. The
supervisor alone gives rows, takes them back when what was written there has been cleared, and adds
sheets of columns.
"""

import fcntl
import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t

from shm.atomics cimport count, fence_full, store_relaxed, store_release

from shm.shape import GAUGED_SESSIONS_MAX, GaugesFullError

cdef extern from "<unistd.h>" nogil:
    int close(int descriptor)

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_ANONYMOUS, MADV_DONTDUMP
    void *MAP_FAILED

assert GAUGED_SESSIONS_MAX == COUNT_MASK, "a count of sessions has another width"
assert TAG_BITS + 2 * COUNT_BITS == 8 * sizeof(uint64_t), "a cell is no word"
assert COLUMNS_MAX < 1 << PLACE_BITS, "a sheet may have more columns than places"
assert COLUMNS_MAX % SHEET_COLUMNS == 0, "the last sheet would be a part of one"


cdef size_t sheet_bytes(uint32_t columns) noexcept:
    """Address space of a sheet: so many columns, all rows."""
    return <size_t>columns * ROWS_MAX * sizeof(uint64_t)


cdef class Gauges:
    """The cells, all of them zero at first, with room for so many columns.

    Raises OSError when the kernel refuses memory or the file (`ulimit -v`, `-f`). All is unmapped
    with the last reference; a view into it needs one (`Segment` has it).
    """

    def __cinit__(self, uint32_t columns=1):
        cdef void *address
        self.header = NULL
        self.count = 0
        self.lines = 1
        self.taken = bytearray(ROWS_MAX)
        address = mmap(
            NULL, sizeof(GaugesHeader), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if address == MAP_FAILED:
            raise OSError(errno, "cannot map the head of the gauges")
        self.header = <GaugesHeader *>address
        self.reserve(columns)

    def __dealloc__(self):
        cdef uint32_t number
        for number in range(self.count):
            close(self.sheets[number].file)
            munmap(self.sheets[number].cells, sheet_bytes(self.sheets[number].columns))
        if self.header != NULL:
            munmap(self.header, sizeof(GaugesHeader))

    @property
    def columns(self) -> int:
        """For how many columns there is room."""
        if self.count == 0:
            return 0
        return self.sheets[self.count - 1].first + self.sheets[self.count - 1].columns

    def reserve(self, uint32_t columns) -> None:
        """Have room for so many columns; raises OSError, then all is as before.

        Mappings that were inherited before have no more than they had. ValueError: more than
        COLUMNS_MAX.
        """
        cdef uint32_t present = self.columns
        cdef uint32_t added, number = self.count
        if columns <= present:
            return
        if columns > COLUMNS_MAX:
            raise ValueError(f"{columns} columns")
        added = max(columns - present, present // 2)
        added = (added + SHEET_COLUMNS - 1) // SHEET_COLUMNS * SHEET_COLUMNS
        added = min(added, COLUMNS_MAX - present)
        cdef size_t size = sheet_bytes(added)
        cdef void *address
        cdef int descriptor = os.memfd_create("gauges", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            os.ftruncate(descriptor, self.lines * LINE_ROWS * sizeof(uint64_t) * added)
            address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
            if address == MAP_FAILED:
                raise OSError(errno, f"cannot map gauges of {size} bytes")
        except BaseException:
            os.close(descriptor)
            raise
        madvise(address, size, MADV_DONTDUMP)  # a core file would touch every page of it
        self.sheets[number].cells = <uint64_t *>address
        self.sheets[number].stride = <uint64_t>added * LINE_ROWS
        self.sheets[number].first = present
        self.sheets[number].columns = added
        self.sheets[number].file = descriptor
        self.count = number + 1

    cdef uint32_t place_of(self, uint32_t column) except? 0xFFFFFFFF:
        """Sheet and place of a column, as `SlotStatic.column` has them."""
        cdef uint32_t number
        for number in range(self.count):
            if column - self.sheets[number].first < self.sheets[number].columns:
                return number << PLACE_BITS | column - self.sheets[number].first
        raise IndexError(f"column {column} of {self.columns}")

    cdef uint32_t column_at(self, uint32_t place) noexcept:
        """The column at this place."""
        return self.sheets[place >> PLACE_BITS].first + (place & (1 << PLACE_BITS) - 1)

    def take(self, int count) -> list[int]:
        """So many free rows, the lowest ones, before their workers are forked.

        Raises GaugesFullError when there are fewer, OSError when no file may grow so far; then none
        is taken.
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
        if rows:
            self.lengthen(max(rows) // LINE_ROWS + 1)
        for row in rows:
            self.taken[row] = 1
        self.publish()
        return rows

    def lengthen(self, uint64_t lines) -> None:
        """Let the files have so many lines: before a row of them is published."""
        cdef uint32_t number
        if lines <= self.lines:
            return
        for number in range(self.count):
            os.ftruncate(
                self.sheets[number].file, lines * self.sheets[number].stride * sizeof(uint64_t))
        self.lines = lines

    def give(self, int row) -> None:
        """A worker that has ended needs its row no more; its cells there are zero."""
        self.taken[row] = 0
        self.publish()

    def publish(self) -> None:
        """Say up to which row sums go: before a fork, or the new worker's sessions are missed."""
        store_relaxed(&self.header.taken, self.taken.count(1))
        store_release(&self.header.rows, self.taken.rfind(1) + 1)
        fence_full()
        count(&self.header.changes, 1)
        fence_full()

    @property
    def rows(self) -> int:
        """How many rows are in use."""
        return self.taken.count(1)
