"""Names: targets and ordered names of slots, and the names of nameservers.

`NameReader` is for any process. `TargetWriter` and `NameserverNameWriter` are for resolverd,
`NameOrderWriter` for control, all for the supervisor before the first fork; `NameOrderWatch` finds
new orders for resolverd. Workers read no names, so no generation of the slot table is bumped.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from shm.atomics cimport load_acquire, load_relaxed, store_release
from shm.latch cimport name_read, name_write
from shm.records cimport NAME_BYTES, NameLatch, NameRecord
from shm.segment cimport Segment

from shm.states import NameState


cdef NameLatch *latch_of(Segment segment, NameLatch *latches, uint32_t slot) except NULL:
    if slot >= segment.view.header.slots:
        raise IndexError(f"slot {slot} of {segment.view.header.slots}")
    return &latches[slot]


cdef NameLatch *nameserver_latch(Segment segment, uint32_t nameserver) except NULL:
    if nameserver >= segment.view.header.nameservers:
        raise IndexError(f"nameserver {nameserver} of {segment.view.header.nameservers}")
    return &segment.view.nameserver_names[nameserver]


cdef object state_of(NameLatch *latch, uint32_t slot):
    cdef NameRecord record
    if not name_read(latch, &record):
        raise BlockingIOError(f"name record {slot} does not hold still")
    cdef bytes text = record.text[:record.length]
    return NameState(text.decode("ascii"), record.stamp_ms)


cdef int publish_name(NameLatch *latch, str name, int64_t stamp_ms) except -1:
    cdef NameRecord record
    cdef bytes text = name.encode("ascii")
    if len(text) > NAME_BYTES:
        raise ValueError(f"a name of {len(text)} bytes, at most {NAME_BYTES}")
    memset(&record, 0, sizeof(record))
    record.stamp_ms = stamp_ms
    record.length = <uint8_t>len(text)
    memcpy(record.text, <const char *>text, len(text))
    name_write(latch, &record)
    return 0


cdef void announce_order(Segment segment) noexcept:
    """Bump the generation after the record: a reader of the generation reads the order too."""
    cdef uint64_t *generation = &segment.view.header.orders_generation
    store_release(generation, load_relaxed(generation) + 1)


cdef class NameReader:
    """Reads the names of any slot or nameserver. Any process, any number of readers.

    Raises IndexError for a slot that does not exist, BlockingIOError when a record changed on each
    of many tries (the caller keeps what it had).
    """

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def target(self, uint32_t slot):
        """The name that an SRV record or the operator gave the slot, as a `NameState`."""
        return state_of(latch_of(self.segment, self.segment.view.targets, slot), slot)

    def order(self, uint32_t slot):
        """The name that the operator ordered for the slot, as a `NameState`."""
        return state_of(latch_of(self.segment, self.segment.view.name_orders, slot), slot)


    def nameserver(self, uint32_t nameserver):
        """The name of the nameserver of this row, "" for a free row, as a `NameState`."""
        return state_of(nameserver_latch(self.segment, nameserver), nameserver)


cdef class NameserverNameWriter:
    """Writes names of nameservers: resolverd; the supervisor before the first fork."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def publish(self, uint32_t nameserver, str name, int64_t now_ms) -> None:
        """Publish the name of a row, "" to free it; ValueError if it is too long."""
        publish_name(nameserver_latch(self.segment, nameserver), name, now_ms)


cdef class TargetWriter:
    """Writes targets: resolverd only; the supervisor before the first fork."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def publish(self, uint32_t slot, str name, int64_t stamp_ms) -> None:
        """Publish name and stamp as one record; ValueError for a name that is too long."""
        publish_name(latch_of(self.segment, self.segment.view.targets, slot), name, stamp_ms)


cdef class NameOrderWriter:
    """Writes ordered names: control only; the supervisor before the first fork."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment
        # the former writer may have died between a record and its announcement
        announce_order(segment)

    def publish(self, uint32_t slot, str name, int64_t now_ms) -> None:
        """Order a name for a slot, "" to withdraw an order; ring resolverd afterwards."""
        publish_name(latch_of(self.segment, self.segment.view.name_orders, slot), name, now_ms)
        announce_order(self.segment)


cdef class NameOrderWatch:
    """The orders that have changed since the last look. resolverd only."""

    cdef Segment segment
    cdef uint64_t generation
    cdef uint64_t *seen

    def __cinit__(self, Segment segment):
        self.segment = segment
        self.generation = 0
        self.seen = <uint64_t *>calloc(segment.view.header.slots + 1, sizeof(uint64_t))
        if self.seen == NULL:
            raise MemoryError("name orders")

    def __dealloc__(self):
        free(self.seen)

    def changes(self) -> list:
        """The slots whose order has changed since the last look, at first those with any."""
        cdef uint32_t slot
        cdef uint64_t sequence, generation = load_acquire(
            &self.segment.view.header.orders_generation)
        if generation == self.generation:
            return []
        found = []
        for slot in range(self.segment.view.header.slots):
            sequence = load_acquire(&self.segment.view.name_orders[slot].sequence)
            if sequence != self.seen[slot]:
                self.seen[slot] = sequence
                found.append(slot)
        self.generation = generation
        return found
