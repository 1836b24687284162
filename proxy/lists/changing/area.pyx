"""The memory of lists that change while the program runs: made by the supervisor, mapped by all.

Owns one memfd of a generation, of which only what is touched takes memory, the root of each
reference (image.pxd), and how far each reader has come: what it may still look at is not used
again. A reader says so between two pieces of its work, when something has gone; one that is stopped
only keeps memory from being used again. Knows nothing of what lies in an image.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t

from proxy.lists.changing.image cimport PAGE_BYTES, Changes
from shm.atomics cimport fence_full, load_acquire, store_release

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_NORESERVE, MADV_DONTDUMP, MADV_REMOVE
    void *MAP_FAILED

cdef extern from * nogil:
    """
    #define ABSENT 0xFFFFFFFFFFFFFFFFULL
    """
    const uint64_t ABSENT

FILE_WINDOW_BYTES = 2 << 30  # of a list that is a file, or eight times its size as it was read
LINE_WINDOW_BYTES = 64 << 20  # of the patterns of one line
AREA_BYTES_MAX = 1 << 43  # less than half of what a process can address


def whole_pages(size: int) -> int:
    """So many bytes, up to the end of a page."""
    return (size + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES


cdef class ListArea:
    """All lists of a configuration: as they were read, and the room for what becomes of them.

    `references` are, for each, the numbers of its lists and the bytes of its window. Raises
    OSError: the kernel refuses the memory, ValueError: it is more than an area can have.
    """

    def __cinit__(self, packed, references, uint32_t workers):
        cdef uint32_t reader
        self.packed = tuple(packed)
        self.readers = 2 * workers
        self.places = {}
        self.followed = []
        at = whole_pages(8 * (1 + self.readers + len(references)))
        windows = []
        for number, (lists, size) in enumerate(references):
            windows.append((at, whole_pages(size)))
            at += whole_pages(size)
            for place, each in enumerate(lists, start=1):
                self.places[each] = (number, place)
        if at > AREA_BYTES_MAX:
            raise ValueError(f"lists take {at} bytes of addresses, more than {AREA_BYTES_MAX}")
        self.windows = tuple(windows)
        self.map_file(at)
        self.epoch = <uint64_t *>self.base
        self.seen = self.epoch + 1
        self.roots = self.seen + self.readers
        for reader in range(self.readers):
            self.settle(reader)

    def map_file(self, size_t size):
        """Make the memfd and map it: nothing else needs its descriptor."""
        cdef void *found
        descriptor = os.memfd_create("lists", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            found = mmap(
                NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0)
            if found == MAP_FAILED:
                raise OSError(errno, f"cannot map {size} bytes for lists")
        finally:
            os.close(descriptor)
        madvise(found, size, MADV_DONTDUMP)
        self.base = <char *>found
        self.size = size

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.size)

    cdef void changes_of(self, uint32_t number, Changes *out):
        found = self.places.get(number)
        if found is not None:
            out.root = &self.roots[<uint32_t>found[0]]
            out.area = self.base
            out.place = found[1]

    cdef void release(self, uint64_t start, uint64_t size) noexcept:
        """Give memory back to the kernel; what is read there is zero."""
        madvise(self.base + start, size, MADV_REMOVE)

    def join(self, uint32_t reader) -> None:
        """Begin to look up, before the first root is loaded. Relays are 2 N, main threads 2 N + 1.

        IndexError for a reader that there is not.
        """
        if reader >= self.readers:
            raise IndexError(f"reader {reader} of {self.readers}")
        store_release(&self.seen[reader], load_acquire(self.epoch))
        fence_full()

    def look(self, uint32_t reader) -> None:
        """Say, between two pieces of work, that what has gone is looked at no more."""
        cdef uint64_t epoch = load_acquire(self.epoch)
        if load_acquire(&self.seen[reader]) != epoch:
            store_release(&self.seen[reader], epoch)

    def settle(self, uint32_t reader) -> None:
        """It looks at nothing: it has ended, or did not begin."""
        store_release(&self.seen[reader], ABSENT)

    def changed(self, uint32_t number) -> bool:
        """Whether the patterns of a reference, by its number, have ever been changed."""
        if number >= <uint32_t>len(self.windows):
            raise IndexError(f"reference {number} of {len(self.windows)}")
        return load_acquire(&self.roots[number]) != 0

    def retire(self) -> int:
        """A root has changed: the number that readers have to have seen before memory is free."""
        cdef uint64_t epoch = load_acquire(self.epoch) + 1
        store_release(self.epoch, epoch)
        fence_full()
        return epoch

    def quiet(self, uint64_t epoch) -> bool:
        """Whether all readers have come that far."""
        cdef uint32_t reader
        for reader in range(self.readers):
            if load_acquire(&self.seen[reader]) < epoch:
                return False
        return True
