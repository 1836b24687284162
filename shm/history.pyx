"""The history of the last 15 minutes: written by one look a second, read for the pictures.

Sessions and those that wait are the most of a step, the rate is its mean: a peak between two steps
is seen. Knows rows and slots, no names. history.pxd has the words.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from shm.atomics cimport load_relaxed, store_relaxed
from shm.history cimport (
    BACKENDS_KEPT, CHECKS_KEPT, HIGH_BITS, HISTORY_STEP_MS, LAPS, LOW_BITS, NAMES_KEPT, POINTS,
    SERVERS_KEPT, history_rows, kept)
from shm.latch cimport latch_read
from shm.records cimport HealthRecord
from shm.rows cimport BackendCounters, ServerCounters
from shm.segment cimport Segment, backend_counters, server_counters, worker_counters

from enum import IntEnum

STEP_MS, POINTS_KEPT = HISTORY_STEP_MS, POINTS

cdef enum:
    NO_ROW = 0xFFFF
    CHECK_FAILED = 2  # HAProxy's srv_check_result
    COUNT_SHIFT = 56  # of the second word of checks: their number is above, their time below
    NUMBER_SHIFT = 63  # of a word that is there

cdef uint64_t RESULTS = (<uint64_t>1 << CHECKS_KEPT) - 1
cdef uint64_t TIME = (<uint64_t>1 << COUNT_SHIFT) - 1


class HistoryKind(IntEnum):
    """Whose row it is."""

    PROCESS = 0
    BACKEND = 1
    SERVER = 2
    NAME = 3


cdef inline uint64_t word_of(
        int64_t step, uint64_t high, uint64_t middle, uint64_t low) noexcept nogil:
    """The word of a step; numbers that do not fit are the largest that do."""
    cdef uint64_t lap = <uint64_t>(step // POINTS) % LAPS
    cdef uint64_t most = (<uint64_t>1 << LOW_BITS) - 1
    return (
        <uint64_t>1 << NUMBER_SHIFT | lap << (2 * LOW_BITS + HIGH_BITS)
        | min(high, (<uint64_t>1 << HIGH_BITS) - 1) << (2 * LOW_BITS)
        | min(middle, most) << LOW_BITS | min(low, most))


cdef struct Base:
    uint64_t total  # sessions in all, when the former step ended
    int64_t at_ms
    uint64_t last_total
    int64_t last_ms
    int64_t step
    uint64_t sessions  # the most in this step
    uint64_t queued


cdef class LoadHistory:
    """Reads and writes the history of one segment. Control only."""

    cdef Segment segment
    cdef uint64_t *owners
    cdef uint64_t *rows
    cdef uint64_t *checks
    cdef uint32_t backends
    cdef uint32_t servers
    cdef uint32_t names
    cdef Base *bases  # by row
    cdef uint16_t *row_of  # by slot: which of the servers' rows

    def __cinit__(self, Segment segment):
        cdef uint64_t slots = segment.view.header.slots
        cdef uint64_t count
        cdef uint32_t number
        self.segment = segment
        self.backends = kept(segment.view.header.backends, BACKENDS_KEPT)
        self.servers = kept(slots, SERVERS_KEPT)
        self.names = kept(segment.shape.resolutions, NAMES_KEPT)
        count = history_rows(
            segment.view.header.backends, slots, segment.shape.resolutions)
        self.owners = segment.view.history + 1
        self.rows = self.owners + 2 * self.servers
        self.checks = self.rows + count * POINTS
        self.bases = <Base *>calloc(count, sizeof(Base))
        self.row_of = <uint16_t *>calloc(slots + 1, sizeof(uint16_t))
        if self.bases == NULL or self.row_of == NULL:
            raise MemoryError("history")
        for number in range(<uint32_t>slots):
            self.row_of[number] = NO_ROW
        for number in range(self.servers):
            if slots <= SERVERS_KEPT:
                store_relaxed(&self.owners[2 * number], number + 1)
            if 0 < self.owners[2 * number] <= slots:
                self.row_of[self.owners[2 * number] - 1] = <uint16_t>number

    def __dealloc__(self):
        free(self.bases)
        free(self.row_of)

    @property
    def looked_ms(self) -> int:
        """When control looked last (CLOCK_MONOTONIC, ms); 0: never in this segment."""
        return load_relaxed(self.segment.view.history)

    def look(self, int64_t now_ms) -> None:
        """Write the present into the present step: 1 ms for all rows and 5,000 servers' checks."""
        cdef uint32_t number, row, backend
        cdef uint64_t slot
        cdef uint64_t sessions = 0, total = 0
        cdef uint64_t workers = self.segment.view.header.workers + 1
        with nogil:
            for row in range(<uint32_t>workers):
                sessions += load_relaxed(&worker_counters(&self.segment.view, row).sessions)
                total += load_relaxed(&worker_counters(&self.segment.view, row).accepts)
            self.note(0, now_ms, sessions, total, 0)
            for backend in range(self.backends):
                self.look_at_backend(backend, now_ms)
            for number in range(self.servers):
                slot = load_relaxed(&self.owners[2 * number])
                if 0 < slot <= self.segment.view.header.slots:
                    self.look_at_server(number, <uint32_t>(slot - 1), now_ms)
            for number in range(self.names):
                self.look_at_name(number, now_ms)
            for number in range(self.segment.view.header.slots):
                self.look_at_checks(number)
            store_relaxed(self.segment.view.history, <uint64_t>now_ms)

    cdef void note(
            self, uint64_t row, int64_t now_ms, uint64_t sessions, uint64_t total,
            uint64_t queued) noexcept nogil:
        """Write one word: the most of sessions and queue in this step, and the rate so far."""
        cdef Base *base = &self.bases[row]
        cdef int64_t step = now_ms // HISTORY_STEP_MS
        cdef uint64_t rate = 0
        cdef uint64_t *place = &self.rows[row * POINTS + <uint64_t>step % POINTS]
        cdef uint64_t word = load_relaxed(place)
        if base.last_ms == 0:
            base.last_total, base.last_ms = total, now_ms
        if step != base.step:
            base.total, base.at_ms = base.last_total, base.last_ms
            base.sessions = base.queued = 0
            base.step = step
            if word >> (2 * LOW_BITS + HIGH_BITS) == word_of(step, 0, 0, 0) >> (
                    2 * LOW_BITS + HIGH_BITS):  # of a predecessor, or carried
                base.sessions = word >> (2 * LOW_BITS) & ((<uint64_t>1 << HIGH_BITS) - 1)
                base.queued = word & ((<uint64_t>1 << LOW_BITS) - 1)
        base.sessions = max(base.sessions, sessions)
        base.queued = max(base.queued, queued)
        base.last_total, base.last_ms = total, now_ms
        if now_ms > base.at_ms and total > base.total:  # less: a worker was replaced
            rate = ((total - base.total) * 1000 + <uint64_t>(now_ms - base.at_ms) // 2) // (
                <uint64_t>(now_ms - base.at_ms))
        store_relaxed(place, word_of(step, base.sessions, rate, base.queued))

    cdef void look_at_backend(self, uint32_t backend, int64_t now_ms) noexcept nogil:
        cdef BackendCounters *counters
        cdef uint64_t sessions = 0, total = 0, queued = 0
        cdef uint32_t row
        for row in range(self.segment.view.header.workers + 1):
            counters = backend_counters(&self.segment.view, row, backend)
            sessions += load_relaxed(&counters.sessions)
            total += load_relaxed(&counters.sessions_total)
            queued += load_relaxed(&counters.queued)
        self.note(1 + backend, now_ms, sessions, total, queued)

    cdef void look_at_server(
            self, uint32_t number, uint32_t slot, int64_t now_ms) noexcept nogil:
        cdef ServerCounters *counters
        cdef uint64_t sessions = 0, total = 0, queued = 0
        cdef uint32_t row
        for row in range(self.segment.view.header.workers + 1):
            counters = server_counters(&self.segment.view, row, slot)
            sessions += load_relaxed(&counters.sessions)
            total += load_relaxed(&counters.sessions_total)
            queued += load_relaxed(&counters.queued)
        self.note(1 + self.backends + number, now_ms, sessions, total, queued)

    cdef void look_at_name(self, uint32_t name, int64_t now_ms) noexcept nogil:
        """Servers with an address of this name, its records, and how its last run ended."""
        cdef int64_t step = now_ms // HISTORY_STEP_MS
        cdef uint64_t row = 1 + self.backends + self.servers + name
        store_relaxed(
            &self.rows[row * POINTS + <uint64_t>step % POINTS],
            word_of(
                step, load_relaxed(&self.segment.view.resolutions[name].slots_used),
                load_relaxed(&self.segment.view.resolutions[name].records_seen),
                load_relaxed(&self.segment.view.resolutions[name].status)))

    cdef void look_at_checks(self, uint32_t slot) noexcept nogil:
        """Note how the last check ended, if one has ended since the last look."""
        cdef HealthRecord record
        cdef uint64_t *words = &self.checks[2 * <uint64_t>slot]
        cdef uint64_t stamp = load_relaxed(&words[1])
        cdef uint64_t count = stamp >> COUNT_SHIFT
        if not latch_read(&self.segment.view.health[slot], &record) or record.checked_ms <= 0:
            return
        if <uint64_t>record.checked_ms & TIME == stamp & TIME:
            return
        store_relaxed(
            &words[0],
            (load_relaxed(&words[0]) << 1 | (record.result == CHECK_FAILED)) & RESULTS)
        store_relaxed(
            &words[1],
            min(count + 1, <uint64_t>CHECKS_KEPT) << COUNT_SHIFT
            | <uint64_t>record.checked_ms & TIME)

    def changed(self, uint32_t slot, int64_t now_ms) -> None:
        """A server changed: of more than SERVERS_KEPT it has a row from now on.

        Raises IndexError for a slot that does not exist.
        """
        cdef uint32_t number, oldest = 0
        cdef uint64_t former, word
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        if self.row_of[slot] == NO_ROW:
            for number in range(1, self.servers):
                if self.owners[2 * number + 1] < self.owners[2 * oldest + 1]:
                    oldest = number
            former = self.owners[2 * oldest]
            store_relaxed(&self.owners[2 * oldest], 0)  # nobody's, until it is empty
            if 0 < former <= self.segment.view.header.slots:
                self.row_of[former - 1] = NO_ROW
            for word in range(POINTS):
                store_relaxed(
                    &self.rows[(1 + self.backends + <uint64_t>oldest) * POINTS + word], 0)
            self.bases[1 + self.backends + oldest] = Base(0, 0, 0, 0, 0, 0, 0)
            store_relaxed(&self.owners[2 * oldest], <uint64_t>slot + 1)
            self.row_of[slot] = <uint16_t>oldest
        store_relaxed(&self.owners[2 * <uint64_t>self.row_of[slot] + 1], <uint64_t>now_ms)

    def forget(self, uint32_t slot) -> None:
        """The slot has another server, which begins with nothing; raises IndexError."""
        cdef uint64_t word, row
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        store_relaxed(&self.checks[2 * <uint64_t>slot], 0)
        store_relaxed(&self.checks[2 * <uint64_t>slot + 1], 0)
        if self.row_of[slot] != NO_ROW:
            row = 1 + self.backends + self.row_of[slot]
            for word in range(POINTS):
                store_relaxed(&self.rows[row * POINTS + word], 0)
            self.bases[row] = Base(0, 0, 0, 0, 0, 0, 0)

    def forget_backend(self, uint32_t backend) -> None:
        """A backend has another name and begins with nothing; raises IndexError."""
        cdef uint64_t *words
        cdef uint64_t word
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        words = self.row(HistoryKind.BACKEND, backend)
        if words == NULL:
            return
        for word in range(POINTS):
            store_relaxed(&words[word], 0)
        self.bases[1 + backend] = Base(0, 0, 0, 0, 0, 0, 0)

    cdef uint64_t *row(self, int kind, uint32_t index):
        """The words of a row; NULL for what has none."""
        cdef uint64_t number = 0
        if kind == HistoryKind.BACKEND:
            if index >= self.backends:
                return NULL
            number = 1 + index
        elif kind == HistoryKind.SERVER:
            if index >= self.segment.view.header.slots or self.row_of[index] == NO_ROW:
                return NULL
            number = 1 + self.backends + self.row_of[index]
        elif kind == HistoryKind.NAME:
            if index >= self.names:
                return NULL
            number = 1 + self.backends + self.servers + index
        return self.rows + number * POINTS

    def points(self, int kind, uint32_t index, int64_t now_ms):
        """The last steps of a row, the oldest first; None of a row that is not kept.

        A point is three numbers, None where nobody looked: of traffic sessions, rate and queue, of
        a name servers with an address, records and the status of the last run.
        """
        cdef uint64_t *words = self.row(kind, index)
        cdef int64_t last = now_ms // HISTORY_STEP_MS
        cdef int64_t step
        cdef uint64_t word, most = (<uint64_t>1 << LOW_BITS) - 1
        if words == NULL:
            return None
        found = []
        for step in range(last - POINTS + 1, last + 1):
            word = load_relaxed(&words[<uint64_t>step % POINTS])
            if step < 0 or word >> (2 * LOW_BITS + HIGH_BITS) != word_of(step, 0, 0, 0) >> (
                    2 * LOW_BITS + HIGH_BITS):
                found.append(None)
            else:
                found.append((
                    word >> (2 * LOW_BITS) & ((<uint64_t>1 << HIGH_BITS) - 1),
                    word >> LOW_BITS & most, word & most))
        return found

    def results(self, uint32_t slot) -> tuple:
        """Whether each of the last checks passed, the oldest first; raises IndexError."""
        cdef uint64_t bits, count
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        bits = load_relaxed(&self.checks[2 * <uint64_t>slot])
        count = load_relaxed(&self.checks[2 * <uint64_t>slot + 1]) >> COUNT_SHIFT
        return tuple([not bits >> at & 1 for at in range(count - 1, -1, -1)]) if count else ()

    def kept_servers(self) -> dict:
        """The slots that have rows, each with the time of its last change (0: none was seen)."""
        cdef uint32_t number
        return {
            self.owners[2 * number] - 1: self.owners[2 * number + 1]
            for number in range(self.servers) if self.owners[2 * number] != 0}

    def carry(self, LoadHistory elder, int kind, uint32_t index, uint32_t of_elder) -> None:
        """Take a row over from the generation before; nothing where one of them has none."""
        cdef uint64_t *source = elder.row(kind, of_elder)
        cdef uint64_t *target = self.row(kind, index)
        cdef uint64_t word
        if source != NULL and target != NULL:
            for word in range(POINTS):
                store_relaxed(&target[word], load_relaxed(&source[word]))

    def carry_results(self, LoadHistory elder, uint32_t slot, uint32_t of_elder) -> None:
        """Take results of checks over; raises IndexError."""
        if slot >= self.segment.view.header.slots or (
                of_elder >= elder.segment.view.header.slots):
            raise IndexError(f"slots {slot} and {of_elder}")
        store_relaxed(
            &self.checks[2 * <uint64_t>slot], load_relaxed(&elder.checks[2 * <uint64_t>of_elder]))
        store_relaxed(
            &self.checks[2 * <uint64_t>slot + 1],
            load_relaxed(&elder.checks[2 * <uint64_t>of_elder + 1]))
