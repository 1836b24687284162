"""The memory of one stick table (layout.pxd), made by the supervisor, mapped by all its children.

The supervisor makes it before the first generation that has it forks, lets it have a column of
holds for each writer, and clears that of a writer that has ended. Nothing else is repaired. All is
unmapped with the last reference.
"""

import fcntl
import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from shm.atomics cimport fence_full, load_acquire, store_release
from shm.gauges cimport ROWS_MAX
from shm.segment cimport Segment
from shm.tables.cells cimport writer_settle
from shm.tables.layout cimport (
    BUCKET_CELLS, CONTROL_WRITER, DATA_BYTES_IN_CNT, DATA_BYTES_OUT_RATE, DATA_CONN_CUR,
    DATA_GPC0, DATA_GPC0_RATE, DATA_GPC1_RATE, DATA_GPC_RATE, DATA_GPT0, DATA_SESS_RATE,
    STATE_BITS, TABLE_DATA, TAG_BITS, WRITER_BITS, WRITERS_MAX, Cell, StoredWords, TableHeader,
    TableWriter)

from shm.tables.shape import KeyType, TableData

cdef extern from "<unistd.h>" nogil:
    int close(int descriptor)

cdef extern from "<fcntl.h>" nogil:
    int fallocate(int descriptor, int mode, long offset, long length)
    int FALLOC_FL_PUNCH_HOLE, FALLOC_FL_KEEP_SIZE

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MADV_DONTDUMP
    void *MAP_FAILED

cdef enum:
    PAGE_BYTES = 4_096
    BUCKETS_MAX = 0x0FFFFFFE  # beyond, numbers of cells would have another meaning
    ROOM_PERCENT = 115  # cells for 100 entries: so seldom a key meets two full buckets

assert len(TableData) == TABLE_DATA, "layout.pxd has another number of types of data"
assert {
    TableData.GPT0: DATA_GPT0, TableData.GPC0: DATA_GPC0, TableData.GPC0_RATE: DATA_GPC0_RATE,
    TableData.CONN_CUR: DATA_CONN_CUR, TableData.SESS_RATE: DATA_SESS_RATE,
    TableData.BYTES_IN_CNT: DATA_BYTES_IN_CNT, TableData.BYTES_OUT_RATE: DATA_BYTES_OUT_RATE,
    TableData.GPC1_RATE: DATA_GPC1_RATE, TableData.GPC_RATE: DATA_GPC_RATE,
}.items() <= {data: data.number for data in TableData}.items(), "layout.pxd has other numbers"
assert WRITERS_MAX == ROWS_MAX + 1, "a worker has no column"
assert WRITERS_MAX < 1 << WRITER_BITS, "a writer has no number"
assert STATE_BITS + WRITER_BITS + TAG_BITS == 32, "meta is no word"


cdef size_t whole_pages(size_t size) noexcept:
    return (size + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES


cdef void *mapped(int descriptor, size_t size) except NULL:
    cdef void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    if address == MAP_FAILED:
        raise OSError(errno, f"cannot map {size} bytes")
    madvise(address, size, MADV_DONTDUMP)  # a core file would touch every page of it
    return address


cdef int sealed(str name, size_t size, int seals) except -1:
    """A memfd that no process can make shorter; only what is touched takes memory."""
    cdef int descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


cdef class StickTable:
    """One table; OSError: the kernel refuses its memory, ValueError: it is too large for any.

    A writer is a number: 0 control, and each worker's row of the gauges + 1. With `former`, a table
    of the same `shape.memory`, it is that one with another life of its entries. With `files`, those
    of the cells and of the holds, it is the table of another program, to be read: they stay open,
    and ValueError says that they are of another one.
    """

    def __cinit__(self, shape, StickTable former=None, files=None):
        cdef uint64_t buckets = (shape.entries * ROOM_PERCENT // 100) // BUCKET_CELLS + 1
        cdef uint32_t data_words = 0
        cdef StoredWords *stored
        memset(&self.table, 0, sizeof(self.table))
        self.cells_file = self.holds_file = -1
        if former is not None:
            self.share(shape, former)
            return
        if buckets > BUCKETS_MAX:
            raise ValueError(f"stick-table '{shape.name}' of {shape.entries} entries is too large")
        self.shape = shape
        for each in shape.stored:
            stored = &self.table.stored[<int>each.data.number]
            stored.at = data_words
            stored.elements = each.elements
            stored.period_ms = each.period_ms
            data_words += each.elements * each.data.words
        self.table.bucket_count = max(<uint32_t>buckets, 2)
        self.table.key_bytes = shape.key_bytes
        self.table.key_words = (shape.key_bytes + 7) // 8
        self.table.kind = list(KeyType).index(shape.key)
        self.table.nopurge = shape.nopurge
        self.table.by_address = shape.by_address
        self.table.expire_ms = shape.expire_ms
        self.table.most_entries = shape.entries
        self.table.cell_bytes = sizeof(Cell) + 8 * (self.table.key_words + data_words)
        self.table.bucket_bytes = BUCKET_CELLS * (
            sizeof(uint64_t) + <uint64_t>self.table.cell_bytes)
        seed = os.urandom(16)
        self.table.seed[0] = int.from_bytes(seed[:8], "little")
        self.table.seed[1] = int.from_bytes(seed[8:], "little")
        self.size_up()
        if files is None:
            self.make_files()
        else:
            self.take_files(files[0], files[1])
        self.map_files()
        if files is None:
            store_release(&self.table.header.writers, 1)

    cdef int share(self, object shape, StickTable former) except -1:
        self.owner = former if former.owner is None else former.owner
        self.shape = shape
        self.table = former.table
        self.table.expire_ms = shape.expire_ms
        self.table.nopurge = shape.nopurge
        return 0

    cdef int size_up(self) except -1:
        cdef uint64_t cells = <uint64_t>self.table.bucket_count * BUCKET_CELLS
        self.cells_bytes = whole_pages(
            PAGE_BYTES + self.table.bucket_count * self.table.bucket_bytes)
        self.table.holds_stride = whole_pages(sizeof(TableWriter) + cells * sizeof(uint32_t))
        return 0

    cdef int make_files(self) except -1:
        self.cells_file = sealed(
            "stick-table", self.cells_bytes, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.holds_file = sealed("stick-table-holds", self.table.holds_stride, fcntl.F_SEAL_SHRINK)
        return 0

    cdef int take_files(self, int cells, int holds) except -1:
        if os.fstat(cells).st_size != self.cells_bytes or (
                os.fstat(holds).st_size % self.table.holds_stride != 0):
            raise ValueError(f"stick-table '{self.shape.name}' has files of other sizes")
        self.cells_file = os.dup(cells)
        self.holds_file = os.dup(holds)
        return 0

    cdef int map_files(self) except -1:
        cdef char *start = <char *>mapped(self.cells_file, self.cells_bytes)
        self.table.file = self.cells_file
        self.table.header = <TableHeader *>start
        self.table.buckets = start + PAGE_BYTES
        self.table.holds = <char *>mapped(
            self.holds_file, WRITERS_MAX * self.table.holds_stride)
        return 0

    def __dealloc__(self):
        if self.owner is not None:
            return
        if self.table.holds != NULL:
            munmap(self.table.holds, WRITERS_MAX * self.table.holds_stride)
        if self.table.header != NULL:
            munmap(self.table.header, self.cells_bytes)
        if self.cells_file >= 0:
            close(self.cells_file)
        if self.holds_file >= 0:
            close(self.holds_file)

    def admit(self, Segment segment) -> None:
        """Let the workers of a segment have holds: before they are forked. OSError: no memory."""
        self.lengthen(CONTROL_WRITER + 1 + load_acquire(&segment.view.gauges.rows))

    def lengthen(self, uint64_t writers) -> None:
        """Let writers below this one have holds: before they are forked. OSError: no memory."""
        if self.owner is not None:
            self.owner.lengthen(writers)
            return
        if writers <= self.writers:
            return
        os.ftruncate(self.holds_file, writers * self.table.holds_stride)
        store_release(&self.table.header.writers, writers)
        fence_full()

    def settle_worker(self, Segment segment, uint32_t worker) -> None:
        """A worker has ended, before its row of the gauges is another's."""
        self.settle(worker_writer(&segment.view, worker))

    def settle(self, uint32_t writer) -> None:
        """A writer has ended, however it did: nothing is held by it, nothing waits for it."""
        if self.owner is not None:
            self.owner.settle(writer)
            return
        if writer >= self.writers:
            return
        writer_settle(&self.table, writer)
        if fallocate(
                self.holds_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                writer * self.table.holds_stride, self.table.holds_stride) != 0:
            memset(self.table.holds + writer * self.table.holds_stride, 0, self.table.holds_stride)

    @property
    def file(self) -> int:
        """The memfd of the cells: a process that asks `next_used` has to keep it."""
        return self.cells_file if self.owner is None else self.owner.cells_file

    @property
    def holds(self) -> int:
        """The memfd of the holds: a process that asks `memory_bytes` has to keep both."""
        return self.holds_file if self.owner is None else self.owner.holds_file

    def next_used(self, uint64_t number) -> int:
        """The first cell from this one on that the kernel has memory for; `cells`: none."""
        cdef uint64_t at = PAGE_BYTES + number // BUCKET_CELLS * self.table.bucket_bytes
        try:
            found = os.lseek(self.file, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole follows
            return self.cells
        if found <= at:
            return number
        return (found - PAGE_BYTES) // self.table.bucket_bytes * BUCKET_CELLS

    @property
    def writers(self) -> int:
        """Writers from this number on have no holds."""
        return load_acquire(&self.table.header.writers)

    @property
    def cells(self) -> int:
        """For how many entries there is room, wherever they lie."""
        return self.table.bucket_count * BUCKET_CELLS

    @property
    def evicted(self) -> int:
        """Entries that made room for others before their time."""
        return load_acquire(&self.table.header.evicted)

    @property
    def refused(self) -> int:
        """Entries that found no room."""
        return load_acquire(&self.table.header.refused)

    @property
    def memory_bytes(self) -> int:
        """What the kernel has given for cells and holds."""
        return 512 * (os.fstat(self.file).st_blocks + os.fstat(self.holds).st_blocks)
