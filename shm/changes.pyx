"""Changes of slots: those since the last look, and how many servers take sessions.

For any process. The cost of both is in proportion to the changes; at first, after the start of a
writer, and too far behind the journal, every slot counts as changed.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr

from shm.atomics cimport load_acquire
from shm.eligibility cimport ServerView, server_view, warmth, whole_weight
from shm.journal cimport JOURNAL_EVERYTHING, journal_read
from shm.segment cimport Segment

from typing import NamedTuple

cdef enum:
    SLOTS_AT_ONCE = 256  # read from the journal; on the stack
    NOT_USABLE = 0
    USABLE_ACTIVE = 1
    USABLE_BACKUP = 2


cdef class ChangeReader:
    """The slots that changed since the last look, at first since its creation."""

    cdef Segment segment
    cdef uint64_t position

    def __init__(self, Segment segment):
        self.segment = segment
        self.position = load_acquire(&segment.view.journal.head)

    def backends(self):
        """The backends of the slots that changed; None if any may have changed."""
        slots = self.slots()
        return None if slots is None else {
            self.segment.view.statics[<uint32_t>slot].backend for slot in slots}

    def slots(self):
        """The slots that changed, each once; None if any may have changed."""
        cdef uint32_t slots[SLOTS_AT_ONCE]
        cdef int number, found
        changed = {}
        while True:
            found = journal_read(&self.segment.view, &self.position, slots, SLOTS_AT_ONCE)
            if found == JOURNAL_EVERYTHING:
                return None
            if found == 0:
                return list(changed)
            for number in range(found):
                changed[slots[number]] = True


class UsableCounts(NamedTuple):
    """The servers of one backend that take sessions, and the sums of their weights."""

    active: int
    backup: int
    active_weight: int
    backup_weight: int
    first_backup_weight: int  # of the first of them in the order of the file

    def weight(self, *, allbackups: bool) -> int:
        """Of those in use: of backups only while no active one is, all of them or the first."""
        if self.active:
            return self.active_weight
        return self.backup_weight if allbackups else self.first_backup_weight


cdef struct Usable:
    uint32_t active
    uint32_t backup
    uint64_t weights[3]  # by kind


cdef class UsableServers:
    """How many servers of each backend take sessions, updated by the changes at each look."""

    cdef Segment segment
    cdef uint64_t position
    cdef bint behind  # a record could not be read: every slot is read again
    cdef uint8_t *kinds  # by slot
    cdef uint16_t *weights  # by slot
    cdef Usable *counts  # by backend
    cdef uint8_t *warms  # by backend: whether one of its servers has `slowstart`
    cdef set touched
    cdef readonly uint64_t looks  # slots read so far

    def __cinit__(self, Segment segment):
        self.segment = segment
        self.kinds = <uint8_t *>calloc(segment.view.header.slots + 1, sizeof(uint8_t))
        self.weights = <uint16_t *>calloc(segment.view.header.slots + 1, sizeof(uint16_t))
        self.counts = <Usable *>calloc(segment.view.header.backends + 1, sizeof(Usable))
        self.warms = <uint8_t *>calloc(segment.view.header.backends + 1, sizeof(uint8_t))
        if (
                self.kinds == NULL or self.weights == NULL or self.counts == NULL
                or self.warms == NULL):
            raise MemoryError("counts of usable servers")
        self.touched = set()
        self.behind = True

    def __dealloc__(self):
        free(self.kinds)
        free(self.weights)
        free(self.counts)
        free(self.warms)

    def of(self, uint32_t backend, int64_t warm_at_ms=0):
        """The present counts of a backend, as `UsableCounts`; raises IndexError.

        With `warm_at_ms` the weights are those of that moment (CLOCK_MONOTONIC, ms), which servers
        with `slowstart` do not have in whole; a backend with such servers costs a look at each.
        """
        cdef Usable *counts
        cdef uint8_t *first
        cdef uint32_t first_slot
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        if warm_at_ms != 0 and self.warms[backend]:
            return self.warming(backend, warm_at_ms)
        self.catch_up()
        counts = &self.counts[backend]
        first_weight = 0
        if counts.backup != 0:
            first_slot = self.segment.view.backends[backend].first_slot
            first = <uint8_t *>memchr(
                &self.kinds[first_slot], USABLE_BACKUP, self.segment.view.backends[backend].slots)
            first_weight = self.weights[first - self.kinds]
        return UsableCounts(
            counts.active, counts.backup, counts.weights[USABLE_ACTIVE],
            counts.weights[USABLE_BACKUP], first_weight)

    cdef object warming(self, uint32_t backend, int64_t at_ms):
        """The counts with the weights of a moment, from a look at every server."""
        cdef ServerView server
        cdef uint32_t first = self.segment.view.backends[backend].first_slot, slot
        cdef uint32_t numbers[2]
        cdef uint64_t sums[2]
        cdef uint64_t sixteenths, first_backup = 0
        numbers[0] = numbers[1] = 0
        sums[0] = sums[1] = 0
        self.looks += self.segment.view.backends[backend].slots
        for slot in range(first, first + self.segment.view.backends[backend].slots):
            if not server_view(&self.segment.view, slot, &server) or not server.eligible:
                continue
            sixteenths = <uint64_t>server.weight * warmth(
                server.warm_from_ms, self.segment.view.statics[slot].slowstart_ms, at_ms)
            if server.backup and numbers[1] == 0:
                first_backup = sixteenths
            numbers[server.backup] += 1
            sums[server.backup] += sixteenths
        return UsableCounts(
            numbers[0], numbers[1], whole_weight(sums[0]), whole_weight(sums[1]),
            whole_weight(first_backup))

    def take_changed(self) -> set:
        """The backends whose counts have changed since the last call; at first those with any."""
        self.catch_up()
        changed, self.touched = self.touched, set()
        return changed

    cdef int catch_up(self) except -1:
        """Read the slots that changed."""
        cdef uint32_t slots[SLOTS_AT_ONCE]
        cdef int number, found = 1
        if self.behind:
            self.position = load_acquire(&self.segment.view.journal.head)
            self.look_at_everything()
        while found != 0:
            found = journal_read(&self.segment.view, &self.position, slots, SLOTS_AT_ONCE)
            if found == JOURNAL_EVERYTHING:
                self.look_at_everything()
            for number in range(found):
                self.look(slots[number])
        return 0

    cdef int look_at_everything(self) except -1:
        cdef uint32_t slot
        self.behind = False
        for slot in range(self.segment.view.header.slots):
            self.look(slot)
        return 0

    cdef int look(self, uint32_t slot) except -1:
        """Count one server by its present state."""
        cdef ServerView server
        cdef uint8_t kind = NOT_USABLE
        cdef Usable *counts
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        self.looks += 1
        if self.segment.view.statics[slot].slowstart_ms != 0:  # also of one that was added
            self.warms[self.segment.view.statics[slot].backend] = 1
        if not server_view(&self.segment.view, slot, &server):
            self.behind = True
            return 0
        if server.eligible:
            kind = USABLE_BACKUP if server.backup else USABLE_ACTIVE
        if kind == self.kinds[slot] and server.weight == self.weights[slot]:
            return 0
        counts = &self.counts[self.segment.view.statics[slot].backend]
        counts.weights[self.kinds[slot]] -= self.weights[slot]
        counts.active -= self.kinds[slot] == USABLE_ACTIVE
        counts.backup -= self.kinds[slot] == USABLE_BACKUP
        self.kinds[slot] = kind
        self.weights[slot] = <uint16_t>server.weight
        counts.weights[kind] += server.weight
        counts.active += kind == USABLE_ACTIVE
        counts.backup += kind == USABLE_BACKUP
        self.touched.add(self.segment.view.statics[slot].backend)
        return 0
