"""Servers that come and go while the program runs: their changes, read by all, made by control.

Knows slots, numbers and bytes; what a line means is its reader's affair.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from shm.announce cimport announce
from shm.atomics cimport (
    fence_acquire, load32_acquire, load_acquire, load_relaxed, store32_release, store_relaxed,
    store_release)
from shm.gauges cimport COUNT_BITS, COUNT_MASK
from shm.members cimport (
    BACKEND_NAME_BYTES_MAX, CHANGES_KEPT, LINE_BYTES, LINE_OF_BACKEND, MEMBER_ADDED,
    MEMBER_AS_FILE, MEMBER_RENAMED, MEMBER_RENAMED_AGAIN, SERVER_NAME_BYTES_MAX, STATE_BITS,
    MemberLine, MemberName)
from shm.records cimport STATIC_DELETED, SlotStatic
from shm.rows cimport BackendCounters, ServerCounters
from shm.segment cimport Segment, backend_counters, column_cell, gauges_column, server_counters

from enum import IntEnum
from typing import NamedTuple

LINE_BYTES_MAX = LINE_BYTES
NAME_BYTES_MAX = BACKEND_NAME_BYTES_MAX  # of a backend
LATER_NAME_BYTES_MAX = SERVER_NAME_BYTES_MAX  # of a server that is renamed
BACKEND_LINE = bytes((LINE_OF_BACKEND,))  # begins the line that names a backend


class MemberState(IntEnum):
    """What a slot is (members.pxd)."""

    AS_FILE = 0
    ADDED = 1
    DELETED = 2
    EMPTIED = 3
    FREE = 4
    RENAMED = 5  # a server of the file; an added one is ADDED by whatever name


class Member(NamedTuple):
    """A slot that is not as in the file.

    `line` only of an added server, `name` only of one that was renamed.
    """

    slot: int
    change: int
    state: int
    line: bytes
    name: bytes = b""


cdef bytes line_of(const MemberLine *line):
    return line.bytes[:min(line.length, <uint64_t>LINE_BYTES)]


cdef bytes name_of(const MemberName *name):
    return name.bytes[:min(name.length, <uint8_t>SERVER_NAME_BYTES_MAX)]


cdef class MemberReader:
    """Changes since the last look, at first since the start. Any process."""

    cdef Segment segment
    cdef readonly uint64_t position  # the last change that was read

    def __init__(self, Segment segment):
        self.segment = segment

    @property
    def changes(self) -> int:
        """The number of the last change."""
        return load_acquire(&self.segment.view.members.changes)

    def read(self, uint32_t slot):
        """A slot as it is, as a `Member`; raises IndexError."""
        cdef uint64_t word
        cdef int state
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        while True:
            word = load_acquire(&self.segment.view.member_words[slot])
            state = word & ((1 << STATE_BITS) - 1)
            line = name = b""
            if state in (MEMBER_ADDED, MEMBER_RENAMED, MEMBER_RENAMED_AGAIN):
                line = line_of(&self.segment.view.member_lines[slot])
            if state in (MEMBER_RENAMED, MEMBER_RENAMED_AGAIN):
                name = name_of(&self.segment.view.member_lines[slot].names[state - MEMBER_RENAMED])
                state = MEMBER_ADDED if line else MEMBER_RENAMED
            fence_acquire()
            if load_relaxed(&self.segment.view.member_words[slot]) == word:
                return Member(slot, word >> STATE_BITS, state, line, name)

    def changed(self) -> list:
        """The slots that changed, as `Member` in the order of their last changes."""
        cdef uint64_t last = load_acquire(&self.segment.view.members.changes)
        cdef uint64_t number
        cdef uint32_t slot
        if last == self.position:
            return []
        found = set()
        if last - self.position <= CHANGES_KEPT // 2:
            for number in range(self.position + 1, last + 1):
                found.add(load32_acquire(&self.segment.view.members.slots[number % CHANGES_KEPT]))
        # meanwhile control may have written over the oldest of them
        if last - self.position > CHANGES_KEPT // 2 or (
                load_acquire(&self.segment.view.members.changes) - self.position > CHANGES_KEPT):
            found = {
                slot for slot in range(self.segment.view.header.slots)
                if load_relaxed(&self.segment.view.member_words[slot]) != 0}
        self.position = last
        return sorted((self.read(slot) for slot in found), key=lambda member: member.change)


cdef class MemberWriter:
    """Makes changes. Control only, once it is the writer of administrative records.

    Each method raises IndexError for a slot that does not exist.
    """

    cdef Segment segment

    def __init__(self, Segment segment):
        """A predecessor may have died between the steps of a change: complete the last one."""
        cdef uint64_t word
        cdef uint32_t slot
        self.segment = segment
        for slot in range(segment.view.header.slots):
            word = load_acquire(&segment.view.member_words[slot])
            if word >> STATE_BITS > segment.view.members.changes:
                self.finish(slot, word >> STATE_BITS)

    cdef int finish(self, uint32_t slot, uint64_t number) except -1:
        """Let readers find the change."""
        store32_release(&self.segment.view.members.slots[number % CHANGES_KEPT], slot)
        store_release(&self.segment.view.members.changes, number)
        announce(self.segment, slot)
        return 0

    cdef int check(self, uint32_t slot) except -1:
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        return 0

    cdef uint64_t state(self, uint32_t slot, int state) except 0:
        cdef uint64_t number = self.segment.view.members.changes + 1
        store_release(&self.segment.view.member_words[slot], number << STATE_BITS | <uint64_t>state)
        self.finish(slot, number)
        return number

    @property
    def following(self) -> int:
        """The number of the next change."""
        return self.segment.view.members.changes + 1

    def add(self, uint32_t slot, bytes line, settings) -> int:
        """A free slot gets a server with these settings (a `StaticState`); the change's number.

        Its other records are written before. Raises ValueError for a line that is too long, or a
        slot that is not free.
        """
        cdef SlotStatic *target
        cdef uint64_t backend
        cdef uint32_t used
        self.check(slot)
        word = self.segment.view.member_words[slot] & ((1 << STATE_BITS) - 1)
        if word not in (MemberState.AS_FILE, MemberState.FREE):
            raise ValueError(f"slot {slot} is not free")
        if len(line) > LINE_BYTES:
            raise ValueError(f"{len(line)} bytes of a server, at most {LINE_BYTES}")
        target = &self.segment.view.statics[slot]
        column = target.column
        store32_release(&target.added, <uint32_t>STATIC_DELETED)  # withheld until all is there
        target[0] = {
            **settings._asdict(), "added": <uint32_t>STATIC_DELETED,
            "tracked_plus_one": 0, "agent_plus_one": 0, "column": column}
        memcpy(self.segment.view.member_lines[slot].bytes, <const char *>line, len(line))
        self.segment.view.member_lines[slot].length = len(line)
        backend = settings.backend
        if settings.maxconn != 0:
            store_relaxed(&self.segment.view.backends[backend].limited, 1)
        used = slot + 1 - self.segment.view.backends[backend].first_slot
        if used > self.segment.view.backends[backend].slots:
            store32_release(&self.segment.view.backends[backend].slots, used)
        store32_release(&target.added, settings.added)
        return self.state(slot, MEMBER_ADDED)

    def rename(self, uint32_t slot, bytes name) -> int:
        """The server of a slot has another name; the change's number.

        Raises ValueError for a name that is too long, and a slot whose server is no member.
        """
        cdef MemberName *place
        self.check(slot)
        state = self.segment.view.member_words[slot] & ((1 << STATE_BITS) - 1)
        if state not in (MEMBER_AS_FILE, MEMBER_ADDED, MEMBER_RENAMED, MEMBER_RENAMED_AGAIN):
            raise ValueError(f"slot {slot} has no server")
        if len(name) > SERVER_NAME_BYTES_MAX:
            raise ValueError(f"{len(name)} bytes of a name, at most {SERVER_NAME_BYTES_MAX}")
        state = MEMBER_RENAMED_AGAIN if state == MEMBER_RENAMED else MEMBER_RENAMED
        place = &self.segment.view.member_lines[slot].names[<int>state - MEMBER_RENAMED]
        memcpy(place.bytes, <const char *>name, len(name))
        place.length = <uint8_t>len(name)
        return self.state(slot, state)

    def name_backend(self, uint32_t backend, bytes name) -> int:
        """A spare backend gets a name; the change's number.

        Raises ValueError for a name that is too long, or a backend that has one.
        """
        cdef uint32_t slot = self.first_slot(backend)
        word = self.segment.view.member_words[slot] & ((1 << STATE_BITS) - 1)
        if word not in (MemberState.AS_FILE, MemberState.FREE):
            raise ValueError(f"backend {backend} has a name")
        line = BACKEND_LINE + name
        if len(name) > BACKEND_NAME_BYTES_MAX:
            raise ValueError(f"{len(name)} bytes of a name, at most {BACKEND_NAME_BYTES_MAX}")
        memcpy(self.segment.view.member_lines[slot].bytes, <const char *>line, len(line))
        self.segment.view.member_lines[slot].length = len(line)
        return self.state(slot, MEMBER_ADDED)

    def first_slot(self, uint32_t backend) -> int:
        """The first slot of a backend, which has no server where it is a spare one."""
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        return self.segment.view.backends[backend].first_slot

    def publish(self, uint32_t backend, bint published) -> None:
        """Whether rules and defaults lead to a backend, from the next session on."""
        self.first_slot(backend)
        store_release(&self.segment.view.backends[backend].unpublished, not published)

    def backend_quiet(self, uint32_t backend) -> bool:
        """Whether no session of this generation is at a backend."""
        cdef uint64_t row
        self.first_slot(backend)
        for row in range(self.segment.view.header.workers):
            if load_acquire(
                    &backend_counters(&self.segment.view, <uint32_t>row, backend).sessions):
                return False
        return True

    def free_backend(self, uint32_t backend) -> int:
        """All workers have emptied their rows: it may get another name; the change's number."""
        cdef uint64_t *words = <uint64_t *>backend_counters(
            &self.segment.view, self.segment.view.header.workers, backend)
        cdef size_t word
        for word in range(sizeof(BackendCounters) // sizeof(uint64_t)):
            store_relaxed(&words[word], 0)
        return self.free(self.first_slot(backend))

    def unused(self, uint32_t backend):
        """The first slot of a backend that never had a server; None: each had one."""
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        shared = self.segment.view.backends[backend]
        return shared.first_slot + shared.slots if shared.slots < shared.room else None

    def delete(self, uint32_t slot) -> int:
        """The server of the slot is no member any more; the change's number."""
        self.check(slot)
        store32_release(&self.segment.view.statics[slot].added, <uint32_t>STATIC_DELETED)
        return self.state(slot, MemberState.DELETED)

    def empty(self, uint32_t slot) -> int:
        """Workers are to empty their rows of a slot that is quiet; the change's number."""
        self.check(slot)
        return self.state(slot, MemberState.EMPTIED)

    def free(self, uint32_t slot) -> int:
        """All workers have done so: the slot may be used again; the change's number."""
        cdef uint64_t *words
        cdef size_t word
        self.check(slot)
        words = <uint64_t *>server_counters(
            &self.segment.view, self.segment.view.header.workers, slot)
        for word in range(sizeof(ServerCounters) // sizeof(uint64_t)):
            store_relaxed(&words[word], 0)
        return self.state(slot, MemberState.FREE)

    def quiet(self, uint32_t slot) -> bool:
        """Whether no session is at the slot, in any generation, nor waits for it."""
        cdef ServerCounters *counters
        cdef uint64_t row, cell
        self.check(slot)
        for row in range(self.segment.view.header.workers):
            counters = server_counters(&self.segment.view, <uint32_t>row, slot)
            if load_acquire(&counters.sessions) or load_acquire(&counters.queued) or (
                    load_acquire(&counters.hinted)):
                return False
        column = gauges_column(&self.segment.view, slot)
        for row in range(load_acquire(&self.segment.view.gauges.rows)):
            cell = load_acquire(column_cell(column, row))
            if cell & COUNT_MASK or cell >> COUNT_BITS & COUNT_MASK:
                return False
        return True


def make_spare(Segment segment, uint32_t backend) -> None:
    """A laid backend without servers has no name yet: nothing leads there.

    Its first slot is for the name. Before the first fork. Raises IndexError.
    """
    if backend >= segment.view.header.backends:
        raise IndexError(f"backend {backend} of {segment.view.header.backends}")
    segment.view.backends[backend].slots = 1
    store_relaxed(&segment.view.backends[backend].unpublished, 1)


def is_published(Segment segment, uint32_t backend) -> bool:
    """Whether rules and defaults lead to a backend. Any process; raises IndexError."""
    if backend >= segment.view.header.backends:
        raise IndexError(f"backend {backend} of {segment.view.header.backends}")
    return load_acquire(&segment.view.backends[backend].unpublished) == 0


cdef void seconds_zero(uint64_t *seconds) noexcept:
    """A rate in which no worker counts any more: what has its place next begins at 0."""
    store_relaxed(&seconds[0], 0)
    store_relaxed(&seconds[1], 0)


def empty_backend_row(Segment segment, uint32_t worker, uint32_t backend) -> bool:
    """Zero what the worker has counted of a backend; False while it has a session there.

    That worker only, which sends no session there. Raises IndexError.
    """
    if worker >= segment.view.header.workers or backend >= segment.view.header.backends:
        raise IndexError(f"worker {worker}, backend {backend}")
    cdef BackendCounters *counters = backend_counters(&segment.view, worker, backend)
    if counters.sessions or counters.queued:
        return False
    memset(counters, 0, sizeof(BackendCounters))
    seconds_zero(&segment.view.backends[backend].came[0])
    return True


def empty_row(Segment segment, uint32_t worker, uint32_t slot) -> bool:
    """Zero what the worker has counted of a slot; False while it has a session there.

    That worker only, which sends no session there. Raises IndexError.
    """
    if worker >= segment.view.header.workers or slot >= segment.view.header.slots:
        raise IndexError(f"worker {worker}, slot {slot}")
    cdef ServerCounters *counters = server_counters(&segment.view, worker, slot)
    if counters.sessions or counters.queued or counters.hinted:
        return False
    gauged = counters.gauged  # its cell stays its own
    memset(counters, 0, sizeof(ServerCounters))
    counters.gauged = gauged
    seconds_zero(&segment.view.servers_shared[slot].came[0])
    store_relaxed(&segment.view.servers_shared[slot].errors_in_row, 0)
    return True
