"""Where the images of one reference lie in its window, and which is in force (image.pxd).

A change is made in memory that no look-up sees, then published by one store; a writer that dies
before leaves what was in force, and its successor forgets the rest (`recover`). An image that is
full, or whose look-ups would become long, is made anew elsewhere in the window, with room for twice
as much. What becomes of patterns is editor.pyx.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy, memset

from proxy.lists.changing.area cimport ListArea
from proxy.lists.changing.grow cimport (
    begin_list, bits_bytes, cells_taken, die, enter_group, is_alive, life_of, table_fits,
    table_size)
from proxy.lists.changing.image cimport (
    LISTS_MAX, NO_VALUE, PAGE_BYTES, Changes, Group, ImageHead, Shape, first_record, head_in,
    next_record)
from proxy.lists.layout cimport (
    ALIVE, Cell, ListHead, Record, died_of, in_order, order_of)
from proxy.lists.pack cimport Packer
from shm.atomics cimport load32_relaxed, load_acquire, store_release

cdef enum:
    ROOM_LEAST = 65536  # bytes of groups
    GROUPS_AT_ONCE = 65536  # some 50 ms
    STEPS_MAX = 0x7FFFFFF0  # of one image

cdef extern from * nogil:
    """
    #define ROOM_MOST 0xFFFFFFF0ULL
    """
    const uint64_t ROOM_MOST  # so that a place in it has 32 bits


class ListFullError(Exception):
    """There is no room for what is to be added; the text says why."""


cdef int by_order(const void *one, const void *other) noexcept nogil:
    cdef uint32_t a = (<const Row *>one).order, b = (<const Row *>other).order
    return (a > b) - (a < b)


cdef Shape shape_of(Packer packer) noexcept:
    cdef Shape shape
    shape.kind, shape.insensitive = packer.kind, packer.insensitive
    shape.from_end, shape.of_names = packer.from_end, packer.of_names
    return shape


cdef Row *sorted_rows(const char *image, uint64_t *count) except NULL:
    """All groups that are alive, in their order."""
    cdef const ImageHead *head = <const ImageHead *>image
    cdef const Group *group
    cdef uint64_t at = 0
    cdef Row *rows = <Row *>malloc(head.used // sizeof(Group) * sizeof(Row) + 1)
    if rows == NULL:
        raise MemoryError("list")
    count[0] = 0
    while at < head.used:
        group = <const Group *>(image + head.heap + at)
        if is_alive(group):
            rows[count[0]].order, rows[count[0]].at = order_of(first_record(group)), <uint32_t>at
            count[0] += 1
        at += group.bytes
    if not in_order(head_in(image, 0)):
        qsort(rows, count[0], sizeof(Row), by_order)
    return rows


cdef bint keeps(Keep keep, const Group *group, uint32_t version) noexcept nogil:
    if keep == KEEP_OTHERS:
        return group.version != version
    return keep == KEEP_ALL or <int32_t>(group.version - version) >= 0


cdef class Images:
    """The images of one reference; `packers` say how each list is compared, first that of texts.

    One process at a time has them. Raises ValueError for too many lists.
    """

    def __init__(self, ListArea area, uint32_t number, packers) -> None:
        cdef uint32_t place = 0
        if len(packers) > LISTS_MAX + 1:
            raise ValueError(f"a list is compared in {len(packers) - 1} ways, at most {LISTS_MAX}")
        self.area, self.number = area, number
        self.start, self.size = area.windows[number]
        self.lists = len(packers) - 1
        self.outgoing, self.retired = [], []
        for packer in packers:
            self.shapes[place] = shape_of(packer)
            place += 1
        self.root = load_acquire(&area.roots[number])
        if self.root != 0:
            self.published = True
            self.place, self.step = (self.root >> 32) * PAGE_BYTES, <uint32_t>self.root
            self.recover()

    cdef int recover(self) except -1:
        """Forget what a former writer did not publish; what it left behind is for no one."""
        cdef ImageHead *head = self.image()
        cdef Group *group
        cdef uint32_t died
        cdef uint64_t at = 0
        while at < head.used:
            group = self.group_at(at)
            died = load32_relaxed(died_of(first_record(group)))
            if life_of(first_record(group)).born > self.step:
                die(group, self.lists, 0)
            elif self.step < died < ALIVE:
                die(group, self.lists, ALIVE)
            self.patterns += is_alive(group)
            at += group.bytes
        after = self.place + head.end
        epoch = self.area.retire()
        self.retired = [
            (start, size, epoch)
            for start, size in (
                (self.start, self.place - self.start), (after, self.start + self.size - after))
            if size]
        return 0

    cdef int take_time(self, uint64_t done) except -1:
        """So many groups are done: the process shows from time to time that it goes on."""
        if done % GROUPS_AT_ONCE == 0 and self.beat is not None:
            self.beat()
        return 0

    cdef ImageHead *image(self) noexcept:
        return <ImageHead *>(self.area.base + self.place)

    cdef Group *group_at(self, uint64_t offset) noexcept:
        return <Group *>(self.area.base + self.place + self.image().heap + offset)

    cdef void changes(self, uint32_t place, Changes *out) noexcept:
        """How this process looks up, also in what is not published."""
        out.root, out.area, out.place = &self.root, self.area.base, place

    @property
    def loaded(self) -> bool:
        """Whether the patterns are in memory: `begin` does that."""
        return self.place != 0

    @property
    def version(self) -> int:
        """Of the patterns that look-ups see."""
        return self.image().version if self.place else 0

    @property
    def next_version(self) -> int:
        """The last one that was prepared."""
        return self.image().next_version if self.place else 0

    @property
    def next_order(self) -> int:
        """The number that the next pattern gets; one that has gone keeps its own."""
        return self.image().next_order if self.place else 0

    @property
    def awaited(self) -> int:
        """The epoch that readers have to have seen before more of the window is free; 0: none."""
        return max((each[2] for each in self.retired), default=0)

    cpdef void publish(self, bint visible=True):
        """Put in force what was changed: for all, or for this process until something changes."""
        self.step += 1
        self.published = self.published or visible
        self.root = (self.place // PAGE_BYTES) << 32 | self.step
        if self.published:
            store_release(&self.area.roots[self.number], self.root)
        if self.outgoing:
            epoch = self.area.retire()
            self.retired += [(start, size, epoch) for start, size in self.outgoing]
            self.outgoing = []

    cdef uint64_t allot(self, uint64_t size) except 0:
        """A free piece of the window, all of which is zero; ListFullError."""
        cdef list taken
        if self.readings == 0:
            for piece in [each for each in self.retired if self.area.quiet(each[2])]:
                self.area.release(piece[0], piece[1])
                self.retired.remove(piece)
        taken = [(each[0], each[1]) for each in self.retired] + self.outgoing
        if self.place:
            taken.append((self.place, self.image().end))
        at = self.start
        for start, length in sorted(taken):
            if start - at >= size:
                break
            at = start + length
        if at + size > self.start + self.size:
            waited = " while a worker may still look at its former parts" if self.retired else ""
            raise ListFullError(
                f"the list has no room for {size} bytes more of the {self.size} that it can "
                f"have{waited}")
        self.area.release(at, size)
        return at

    cdef int lay_out(self, uint32_t version, uint64_t room, const uint64_t *cells) except -1:
        """Make an empty image, the next one; what was is left with the next store of the root."""
        cdef uint64_t heap = sizeof(ImageHead) + (self.lists + 1) * sizeof(ListHead)
        cdef uint64_t at, end
        cdef uint64_t sizes[LISTS_MAX + 1]
        cdef uint32_t place
        cdef ImageHead *head
        for place in range(self.lists + 1):
            sizes[place] = table_size(self.shapes[place].kind, cells[place])
            if sizes[place] > 0x40000000:
                raise ListFullError("the list has more than 357,913,941 patterns")
            heap += bits_bytes(self.shapes[place].kind) + sizes[place] * sizeof(Cell)
        end = (heap + room + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES
        at = self.allot(end)
        if self.place:
            self.outgoing.append((self.place, self.image().end))
        self.place, self.step = at, 0
        head = self.image()
        head.lists, head.version = self.lists, version
        head.heap, head.room, head.end = heap, room, end
        at = sizeof(ImageHead) + (self.lists + 1) * sizeof(ListHead)
        for place in range(self.lists + 1):
            begin_list(
                <char *>head, place, &self.shapes[place], at, heap, sizes[place])
            at += bits_bytes(self.shapes[place].kind) + sizes[place] * sizeof(Cell)
        self.patterns = 0
        return 0

    cdef int remake(
            self, Keep keep, uint32_t version, uint64_t more, const uint64_t *more_cells) except -1:
        """Make the next image of what is kept, with room for more; ListFullError."""
        cdef char *former = <char *>self.image()
        cdef ImageHead *was = <ImageHead *>former
        cdef uint64_t bytes = more, count = 0, number
        cdef uint64_t cells[LISTS_MAX + 1]
        cdef uint32_t own = version if keep == KEEP_LATER else was.version
        cdef Row *rows = sorted_rows(former, &count)
        cdef Group *group
        try:
            memcpy(cells, more_cells, sizeof(cells))
            for number in range(count):
                group = <Group *>(former + was.heap + rows[number].at)
                if keeps(keep, group, version):
                    bytes += group.bytes
                    self.count_cells(group, own, former, cells)
            if bytes > ROOM_MOST:
                raise ListFullError("the list has more than 4 GiB of patterns")
            self.lay_out(own, min(max(2 * bytes, <uint64_t>ROOM_LEAST), ROOM_MOST), cells)
            self.image().next_version = was.next_version
            self.image().next_order = was.next_order
            for number in range(count):
                group = <Group *>(former + was.heap + rows[number].at)
                if keeps(keep, group, version):
                    self.copy_group(group, <uint32_t>rows[number].at)
                self.take_time(number)
        finally:
            free(rows)
        return 0

    cdef void count_cells(
            self, const Group *group, uint32_t version, const char *image,
            uint64_t *cells) noexcept:
        """Add how many cells a group takes in each list, where the image is of that version."""
        cdef const Record *record = first_record(group)
        cdef uint32_t place
        for place in range(self.lists + 1):
            if place == 0 or group.version == version:
                cells[place] += cells_taken(head_in(image, place), record)
            record = next_record(record)

    cdef void copy_group(self, const Group *group, uint32_t former_at) noexcept:
        """As it is, but that all steps of the next image have it."""
        cdef ImageHead *head = self.image()
        cdef Group *made = self.group_at(head.used)
        cdef Record *record = first_record(made)
        memcpy(made, group, group.bytes)
        if made.value != NO_VALUE:
            made.value = made.value - former_at + <uint32_t>head.used
        for _ in range(self.lists + 1):
            life_of(record).born, record.value = 0, made.value
            record = next_record(record)
        head.used += made.bytes
        enter_group(<char *>head, self.shapes, made)
        self.patterns += 1

    cdef int ensure(self, uint64_t more, const uint64_t *more_cells) except -1:
        """See that there is room before anything is written; ListFullError."""
        cdef ImageHead *head = self.image()
        cdef uint32_t place
        cdef bint fits = head.used + more <= head.room and self.step < STEPS_MAX
        for place in range(self.lists + 1):
            fits = fits and table_fits(head_in(<char *>head, place), more_cells[place])
        if not fits:
            self.remake(KEEP_ALL, 0, more, more_cells)
        return 0
