# How many entries a stick table has (manual section 7.3.2, `table_cnt` and `table_avl`).
#
# Nothing counts them as they come and go: those that have outlived their time stay where they are
# until others want the place. So all cells are looked at, apart from pages that were never used,
# which a look would take memory for, and the sum is used again so long that counting takes a
# hundredth of the time of a process: at once for a small table, after a second for a million.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.rules.moment cimport clock_gettime, timespec
from shm.atomics cimport load_acquire
from shm.tables.cells cimport has_entry, holds_at, outlived
from shm.tables.layout cimport BUCKET_CELLS, Table, TableCount, cell_at, meta_at

cdef extern from "<unistd.h>" nogil:
    long lseek(int fd, long offset, int whence)

cdef extern from "<stdio.h>" nogil:
    const int SEEK_DATA, SEEK_HOLE

cdef extern from "<time.h>" nogil:
    const int CLOCK_THREAD_CPUTIME_ID

cdef enum:
    COUNTED_SHARE = 100  # of the time: one part of so many
    TABLE_HEAD_BYTES = 4096  # before the first bucket (shm/tables/memory.pyx)


cdef inline int64_t worked_us() noexcept nogil:
    """The time that this thread has had of a processor."""
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return now.tv_sec * 1_000_000 + now.tv_nsec // 1000


cdef inline uint64_t buckets_counted(
        const Table *table, uint64_t first, uint64_t last, int64_t now_ms) noexcept nogil:
    """The entries of some buckets."""
    cdef uint64_t total = 0, number
    for number in range(first * BUCKET_CELLS, last * BUCKET_CELLS):
        if has_entry(load_acquire(meta_at(table, <uint32_t>number))) and not (
                outlived(table, cell_at(table, <uint32_t>number), now_ms)
                and holds_at(table, <uint32_t>number) == 0):
            total += 1
    return total


cdef inline uint64_t cells_counted(const Table *table, int64_t now_ms) noexcept nogil:
    """The entries of all parts that the kernel has memory for."""
    cdef uint64_t total = 0, bucket = 0, last
    cdef long begin, end
    while bucket < table.bucket_count:
        begin = lseek(
            table.file, TABLE_HEAD_BYTES + <long>(bucket * table.bucket_bytes), SEEK_DATA)
        if begin < 0:  # nothing but a hole follows
            break
        end = lseek(table.file, begin, SEEK_HOLE)
        begin = max(begin - TABLE_HEAD_BYTES, <long>0)
        bucket = max(bucket, <uint64_t>begin // table.bucket_bytes)
        last = min(
            (<uint64_t>(end - TABLE_HEAD_BYTES) + table.bucket_bytes - 1) // table.bucket_bytes,
            <uint64_t>table.bucket_count)
        if end < TABLE_HEAD_BYTES or last <= bucket:
            break
        total += buckets_counted(table, bucket, last, now_ms)
        bucket = last
    return total


cdef inline uint64_t entries_counted(const Table *table, int64_t now_ms) noexcept nogil:
    """How many entries there are, or were when they were counted last."""
    # the copy of the table is this process's own, and what was counted is kept beside it
    cdef TableCount *counted = <TableCount *>&table.counted
    cdef int64_t began_us
    if now_ms >= counted.again_ms:
        began_us = worked_us()
        counted.entries = cells_counted(table, now_ms)
        counted.again_ms = now_ms + (worked_us() - began_us) * COUNTED_SHARE // 1000
    return counted.entries
