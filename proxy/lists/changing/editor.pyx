"""Adds, removes and replaces the patterns of one reference, for control (image.pxd).

Nothing is in force before `publish`. What a pattern is says the caller.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from proxy.lists.changing.grow cimport (
    Entry, Search, die, enter_group, lay_group, search_begin, search_next)
from proxy.lists.changing.image cimport (
    CHANGED_HEAD_BYTES, LISTS_MAX, NO_VALUE, Changes, Group, ImageHead, first_record, head_in,
    next_record)
from proxy.lists.changing.images cimport KEEP_LATER, KEEP_OTHERS, Images, Row, sorted_rows
from proxy.lists.layout cimport REORDERED, VALUE_HEAD_BYTES, Record, order_of
from proxy.lists.pack cimport KEY_HEAD_BYTES, Packer
from shm.atomics cimport store32_release, store_release

from proxy.lists.changing.images import ListFullError

ROOM_LEAST = 1 << 16  # bytes of the groups of a list that is loaded


cdef bytes key_in(const Group *group):
    """A pattern as it was written."""
    cdef const Record *record = first_record(group)
    return PyBytes_FromStringAndSize(
        <const char *>record + CHANGED_HEAD_BYTES, record.key_length)


cdef object value_in(const char *groups, const Group *group):
    cdef uint16_t length
    if group.value == NO_VALUE:
        return None
    memcpy(&length, groups + group.value, VALUE_HEAD_BYTES)
    return PyBytes_FromStringAndSize(groups + group.value + VALUE_HEAD_BYTES, length)


cdef class ListEditor(Images):
    """One reference's patterns; raises as Images."""

    def begin(self, packers, *, bint valued) -> None:
        """Load the patterns as they were read; they are seen by this process alone.

        Raises ListFullError, ValueError, MemoryError.
        """
        cdef uint64_t cells[LISTS_MAX + 1]
        memset(cells, 0, sizeof(cells))
        self.lay_out(0, ROOM_LEAST, cells)
        try:
            self.add(packers, 0, valued=valued)
        except BaseException:
            self.outgoing, self.place = [], 0
            raise
        self.publish(False)

    def add(self, packers, uint32_t version, *, bint valued) -> None:
        """Add what the packers have collected, one pattern in each, to a version.

        Raises ListFullError and ValueError before anything is changed.
        """
        cdef Packer packer
        cdef const char *cursors[LISTS_MAX + 1]
        cdef size_t heads[LISTS_MAX + 1]
        cdef uint64_t cells[LISTS_MAX + 1]
        cdef uint32_t place, number, count = (<Packer>packers[0]).count
        cdef uint64_t bytes = 0
        memset(cells, 0, sizeof(cells))
        for place in range(self.lists + 1):
            packer = packers[place]
            if packer.count != count:
                raise ValueError(f"{packer.count} patterns of {count}")
            cursors[place] = packer.records.bytes
            heads[place] = sizeof(Record) if packer.gives else KEY_HEAD_BYTES
            cells[place] = max(packer.cells, <size_t>count)
            bytes += packer.records.used + count * <uint64_t>(CHANGED_HEAD_BYTES + 4)
        packer = packers[0]
        bytes += packer.values.heap.used + count * <uint64_t>(sizeof(Group) + 16)
        if valued:  # equal values are there once in a packer, but not here
            bytes += self.value_bytes(packer)
        self.ensure(bytes, cells)
        for number in range(count):
            self.add_group(packer, cursors, heads, version, valued)
            self.take_time(number)

    cdef uint64_t value_bytes(self, Packer packer) noexcept:
        cdef const char *at = packer.records.bytes
        cdef const Record *record
        cdef uint16_t length
        cdef uint64_t bytes = 0
        for _ in range(packer.count):
            record = <const Record *>at
            memcpy(&length, packer.values.heap.bytes + record.value, VALUE_HEAD_BYTES)
            bytes += VALUE_HEAD_BYTES + length
            at += sizeof(Record) + record.key_length
        return bytes

    cdef void add_group(
            self, Packer texts, const char **cursors, const size_t *heads, uint32_t version,
            bint valued) noexcept:
        """Add the pattern that the cursors are at, and lead them to the next."""
        cdef Entry entries[LISTS_MAX + 1]
        cdef const char *value = NULL
        cdef uint16_t length = 0
        cdef uint32_t place, at
        if valued:
            memcpy(&at, cursors[0] + KEY_HEAD_BYTES, sizeof(at))
            value = texts.values.heap.bytes + at
            memcpy(&length, value, VALUE_HEAD_BYTES)
            value += VALUE_HEAD_BYTES
        for place in range(self.lists + 1):
            memcpy(&entries[place].length, cursors[place], KEY_HEAD_BYTES)
            entries[place].key = cursors[place] + heads[place]
            cursors[place] = entries[place].key + entries[place].length
        self.image().next_order += 1
        self.write(entries, version, self.image().next_order - 1, valued, value, length)

    cdef void write(
            self, const Entry *entries, uint32_t version, uint32_t order, bint valued,
            const char *value, uint16_t length) noexcept:
        """Write a group, born in the next step."""
        cdef ImageHead *head = self.image()
        cdef Group *group = lay_group(
            <char *>head, entries, version, order, self.step + 1, valued, value, length)
        store_release(&head.used, head.used + group.bytes)
        enter_group(<char *>head, self.shapes, group)
        self.patterns += 1

    def has(self, bytes key, int64_t order=-1) -> bool:
        """Whether there is a pattern with this text, in any version; or with this number."""
        cdef Search search
        search_begin(&search, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), order, self.step)
        return search_next(<char *>self.image(), &search) != NULL

    def remove(self, bytes key, int64_t order=-1) -> int:
        """Remove the patterns with this text from all versions, or that of this number."""
        cdef Search search
        cdef int removed = 0
        cdef Group *group
        search_begin(&search, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), order, self.step)
        group = search_next(<char *>self.image(), &search)
        while group != NULL:
            die(group, self.lists, self.step + 1)
            removed += 1
            group = search_next(<char *>self.image(), &search)
        self.patterns -= removed
        return removed

    def give(self, bytes key, bytes value, int64_t order=-1) -> int:
        """Give another value to these patterns, where they stand; raises ListFullError."""
        cdef uint64_t cells[LISTS_MAX + 1]
        cdef uint64_t bytes = 0
        cdef uint32_t place
        cdef Search search
        cdef Group *group
        cdef int given = 0
        cdef char *image = <char *>self.image()
        memset(cells, 0, sizeof(cells))
        search_begin(&search, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), order, self.step)
        group = search_next(image, &search)
        while group != NULL:
            self.count_cells(group, self.image().version, image, cells)
            bytes += group.bytes + len(value) + 16
            group = search_next(image, &search)
        self.ensure(bytes, cells)
        image = <char *>self.image()
        for place in range(self.lists + 1):
            store32_release(&head_in(image, place).changing, REORDERED)
        search_begin(&search, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), order, self.step)
        group = search_next(image, &search)
        while group != NULL:
            self.give_one(group, value)
            given += 1
            group = search_next(image, &search)
        return given

    cdef void give_one(self, Group *group, bytes value) noexcept:
        """Another group in the place of one."""
        cdef Entry entries[LISTS_MAX + 1]
        cdef const Record *record = first_record(group)
        cdef uint32_t place
        for place in range(self.lists + 1):
            entries[place].key = <const char *>record + CHANGED_HEAD_BYTES
            entries[place].length = record.key_length
            record = next_record(record)
        die(group, self.lists, self.step + 1)
        self.patterns -= 1
        self.write(
            entries, group.version, order_of(first_record(group)), True, PyBytes_AS_STRING(value),
            <uint16_t>PyBytes_GET_SIZE(value))

    def prepare(self) -> int:
        """The number of a new version, to which patterns can be added unseen."""
        self.image().next_version += 1
        return self.image().next_version

    def commit(self, uint32_t version) -> bool:
        """Let look-ups see a version that was prepared, without those before; False: there is none.

        Raises ListFullError.
        """
        cdef uint64_t cells[LISTS_MAX + 1]
        cdef uint32_t former = self.image().version
        if not 0 < <int32_t>(version - former) <= <int32_t>(self.image().next_version - former):
            return False
        memset(cells, 0, sizeof(cells))
        self.remake(KEEP_LATER, version, 0, cells)
        return True

    def clear(self, uint32_t version) -> None:
        """Remove all patterns of a version; raises ListFullError."""
        cdef uint64_t cells[LISTS_MAX + 1]
        memset(cells, 0, sizeof(cells))
        self.remake(KEEP_OTHERS, version, 0, cells)

    def rows(self, uint32_t version) -> Rows:
        """The patterns of a version, as they are now."""
        return Rows(self, version)


cdef class Rows:
    """Patterns in their order; what they are read from stays while there are rows."""

    cdef ListEditor editor
    cdef char *groups
    cdef Row *taken
    cdef uint64_t count

    def __init__(self, ListEditor editor, uint32_t version) -> None:
        cdef char *image = <char *>editor.image()
        cdef uint64_t every = 0, number
        self.groups = image + (<ImageHead *>image).heap
        self.taken = sorted_rows(image, &every)
        for number in range(every):
            if (<Group *>(self.groups + self.taken[number].at)).version == version:
                self.taken[self.count] = self.taken[number]
                self.count += 1
        self.editor = editor
        editor.readings += 1

    def __dealloc__(self):
        free(self.taken)
        if self.editor is not None:
            self.editor.readings -= 1

    def __len__(self) -> int:
        return self.count

    def page(self, uint64_t first, uint64_t count) -> list:
        """Some of them: number, text, value; a value of None where there is none."""
        cdef uint64_t number
        cdef Group *group
        found = []
        for number in range(first, min(first + count, self.count)):
            group = <Group *>(self.groups + self.taken[number].at)
            found.append((self.taken[number].order, key_in(group), value_in(self.groups, group)))
        return found
