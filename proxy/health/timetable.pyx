"""The timetable: when each server of one worker's share is checked next. Pure; takes `now`.

Owns the order of due times. Must not know what a check is, nor read a clock. A heap holds
(due, slot); the due times by slot hold the truth, so an entry that no longer agrees with it is
skipped when it comes up, and the heap is rebuilt before skipped entries outnumber the real ones.

A server keeps its phase while it is paused: on the way back its next check is where it would have
been, so a thousand servers that return together are not checked together.
"""

from libc.stdint cimport INT64_MIN, int64_t
from libc.stdlib cimport free, realloc

from proxy.health.heap cimport (
    Entry, heap_free, heap_order, heap_pop, heap_push)

STALE_ENTRIES_MAX = 64  # beyond the number of servers: then the heap is rebuilt

cdef enum:
    STALE_MAX = 64  # the same
cdef int64_t NO_TIME = INT64_MIN


def first_due_ms(int64_t start_ms, int64_t span_ms, int64_t position, int64_t count) -> int:
    """When the server at `position` of `count` (over all workers) is first checked.

    First checks are spread evenly over `span_ms`, so that a start is no burst.
    """
    return start_ms + span_ms * position // max(1, count)


def spread_ms(int64_t interval_ms, int64_t percent, random) -> int:
    """The interval moved at random by up to `percent` either way (manual: spread-checks)."""
    cdef int64_t reach
    if percent == 0:
        return interval_ms
    reach = interval_ms * percent // 100
    return max(1, interval_ms + random.randint(-reach, reach))


cdef class Timetable:
    """Due times by slot; a paused slot has a phase but no due time."""

    def __dealloc__(self):
        heap_free(&self.heap)
        free(self.dues)
        free(self.phases)

    def __repr__(self) -> str:
        """Counts, for test messages."""
        return f"<Timetable {self.planned} due, {self.entries} entries>"

    @property
    def entries(self) -> int:
        """How many the heap holds, skipped ones among them."""
        return self.heap.count

    cdef int make_room(self, Py_ssize_t slot) except -1:
        """Have room for the times of a slot; raises MemoryError."""
        cdef Py_ssize_t slots = slot + (slot >> 2) + 16, each
        cdef int64_t *times
        if slot < self.slots:
            return 0
        times = <int64_t *>realloc(self.dues, slots * sizeof(int64_t))
        if times == NULL:
            raise MemoryError("times of checks")
        self.dues = times
        times = <int64_t *>realloc(self.phases, slots * sizeof(int64_t))
        if times == NULL:
            raise MemoryError("times of checks")
        self.phases = times
        for each in range(self.slots, slots):
            self.dues[each] = self.phases[each] = NO_TIME
        self.slots = slots
        return 0

    cpdef int place(self, Py_ssize_t slot, int64_t due_ms) except -1:
        """Make a slot due at `due_ms`, whatever was planned for it."""
        self.make_room(slot)
        self.planned += self.dues[slot] == NO_TIME
        self.dues[slot] = self.phases[slot] = due_ms
        heap_push(&self.heap, due_ms, slot)
        if self.heap.count > 2 * self.planned + STALE_MAX:
            self.rebuild()
        return 0

    cdef void rebuild(self) noexcept:
        """Drop the entries that are to be skipped, and doubles of others."""
        cdef Py_ssize_t slot, count = 0
        cdef Entry *entries = self.heap.entries
        for slot in range(self.slots):
            if self.dues[slot] != NO_TIME:
                entries[count].at_ms = self.dues[slot]
                entries[count].number = slot
                count += 1
        self.heap.count = count
        heap_order(&self.heap)

    def plans(self, Py_ssize_t slot) -> bool:
        """Whether the slot has a due time; not while it is paused, taken or under way."""
        return slot < self.slots and self.dues[slot] != NO_TIME

    def pause(self, Py_ssize_t slot) -> None:
        """Take a slot out; its phase is kept."""
        if slot < self.slots and self.dues[slot] != NO_TIME:
            self.dues[slot] = NO_TIME
            self.planned -= 1

    def forget(self, Py_ssize_t slot) -> None:
        """Take a slot out for good."""
        self.pause(slot)
        if slot < self.slots:
            self.phases[slot] = NO_TIME

    def resume(self, Py_ssize_t slot, int64_t now_ms, int64_t interval_ms) -> int:
        """Bring a slot back in its own phase, due from `now_ms` on; returns when."""
        cdef int64_t phase_ms = now_ms, due_ms
        if slot < self.slots and self.phases[slot] != NO_TIME:
            phase_ms = self.phases[slot]
        due_ms = phase_ms
        if phase_ms < now_ms:
            due_ms = now_ms + (interval_ms - (now_ms - phase_ms) % interval_ms) % interval_ms
        self.place(slot, min(due_ms, now_ms + interval_ms))
        return self.dues[slot]

    def hasten(self, Py_ssize_t slot, int64_t due_ms) -> None:
        """Let a slot that has a due time be due by `due_ms`, if that is earlier."""
        if slot < self.slots and self.dues[slot] != NO_TIME and self.dues[slot] > due_ms:
            self.place(slot, due_ms)

    def take(self, int64_t now_ms):
        """Remove and return the slot that has been due longest, None when none is due."""
        cdef Py_ssize_t slot = self.taken(now_ms)
        return None if slot == NO_SLOT else slot

    def next_ms(self):
        """When the next slot is due; None when all are paused or under way."""
        return self.heap.entries[0].at_ms if self.is_first() else None

    cdef bint is_first(self) noexcept:
        """Skip entries that hold no longer; whether one is left, the first."""
        while self.heap.count > 0:
            if self.dues[self.heap.entries[0].number] == self.heap.entries[0].at_ms:
                return True
            heap_pop(&self.heap)
        return False

    cdef Py_ssize_t taken(self, int64_t now_ms) noexcept:
        """Remove and return the slot that has been due longest, NO_SLOT when none is due."""
        cdef Py_ssize_t slot
        if not self.is_first() or self.heap.entries[0].at_ms > now_ms:
            return NO_SLOT
        slot = self.heap.entries[0].number
        heap_pop(&self.heap)
        self.dues[slot] = NO_TIME
        self.planned -= 1
        return slot
