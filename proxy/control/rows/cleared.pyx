"""Counters as they are shown: less what they were when the operator cleared them.

Each counter has one writer, and it is not control; so clearing changes none of them. Control keeps
what they were then, and shows the difference. That lasts as long as control does: one that has to
be started again, or a reload, shows everything since the start.

The highest value of a gauge since then is the row's own maximum where it has been passed, else the
highest value that control saw itself, at each look (once a second) and each answer.

What is kept of one thing are the words of its part of a row: sums and moments as they were at the
last `clear counters all`, maxima as they were at the last clearing of any kind. The words of gauges
hold the highest that control saw of them since. Zeros are what never was cleared, and show all.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from shm.atomics cimport load_relaxed
from shm.latch cimport latch_read
from shm.records cimport HealthRecord
from shm.rows cimport BackendCounters, FrontendCounters, ServerCounters
from shm.segment cimport Segment, View, backend_counters, frontend_counters, server_counters

from msgspec.structs import replace

from shm.counters import OF_RELAYS

cdef enum:  # what a word of a row is
    WORD_SUM = 0
    WORD_GAUGE = 1
    WORD_HIGHEST = 2  # of a gauge, or of times
    WORD_MOMENT = 3  # the last time that something happened
    WORD_UNUSED = 4  # padding, or of one row alone
    NO_GAUGE = 255

GAUGES = ("sessions", "queued")
UNUSED = (*OF_RELAYS, "spare")
KIND_NUMBERS = {"frontend": KIND_FRONTEND, "backend": KIND_BACKEND, "server": KIND_SERVER}

cdef uint32_t[KINDS] words_of
cdef uint8_t[KINDS][ROW_WORDS_MAX] rules
cdef uint8_t[KINDS][ROW_WORDS_MAX] gauges  # of a maximum: the word of its gauge, or NO_GAUGE


def rule_of(str name) -> int:
    """What the word of this name is."""
    if name in UNUSED:
        return WORD_UNUSED
    if name.endswith("_max") or "_max_" in name:
        return WORD_HIGHEST
    if name.startswith("last_"):
        return WORD_MOMENT
    return WORD_GAUGE if name in GAUGES else WORD_SUM


cdef list learn(int kind, dict fields):
    """Note what each word of a struct is; the names that are shown, with their words."""
    cdef uint32_t word = 0
    positions = {}
    for name, value in fields.items():
        positions[name] = word
        for _ in range(len(value) if isinstance(value, list) else 1):
            rules[kind][word] = <uint8_t>rule_of(name)
            gauge = positions.get(name.removesuffix("_max")) if name.endswith("_max") else None
            gauges[kind][word] = NO_GAUGE if gauge is None else <uint8_t>gauge
            word += 1
    assert word <= ROW_WORDS_MAX, "a row with more words"
    words_of[kind] = word
    return [(name, at) for name, at in positions.items() if name not in UNUSED]


cdef list learn_all():
    cdef FrontendCounters frontend
    cdef BackendCounters backend
    cdef ServerCounters server
    return [
        learn(KIND_FRONTEND, frontend), learn(KIND_BACKEND, backend), learn(KIND_SERVER, server)]


NAMES = learn_all()


cdef inline const uint64_t *part_of(
        const View *view, int kind, uint32_t row, uint32_t index) noexcept nogil:
    if kind == KIND_FRONTEND:
        return <const uint64_t *>frontend_counters(view, row, index)
    if kind == KIND_BACKEND:
        return <const uint64_t *>backend_counters(view, row, index)
    return <const uint64_t *>server_counters(view, row, index)


cdef class Cleared:
    """What was cleared of frontends, backends and servers, and what they show since.

    Each method raises IndexError for something that does not exist.
    """

    def __cinit__(self, Segment segment):
        cdef int kind
        self.segment = segment
        for kind in range(KINDS):
            self.kept[kind] = <uint64_t *>calloc(
                <uint64_t>self.count(kind) * words_of[kind] + 1, sizeof(uint64_t))
            if self.kept[kind] == NULL:
                raise MemoryError("cleared counters")
        self.checks = <ClearedChecks *>calloc(
            segment.view.header.slots + 1, sizeof(ClearedChecks))
        if self.checks == NULL:
            raise MemoryError("cleared counters of checks")

    def __dealloc__(self):
        cdef int kind
        for kind in range(KINDS):
            free(self.kept[kind])
        free(self.checks)

    cdef uint32_t count(self, int kind):
        """How many there are of a kind."""
        if kind == KIND_FRONTEND:
            return self.segment.view.header.frontends
        if kind == KIND_BACKEND:
            return self.segment.view.header.backends
        return self.segment.view.header.slots

    cdef int check(self, int kind, uint32_t index) except -1:
        if index >= self.count(kind):
            raise IndexError(f"number {index} of {self.count(kind)}")
        return 0

    def frontend(self, uint32_t index) -> dict:
        """Counters of a frontend since they were cleared."""
        return self.shown(KIND_FRONTEND, index)

    def backend(self, uint32_t index) -> dict:
        """The same for a backend."""
        return self.shown(KIND_BACKEND, index)

    def server(self, uint32_t slot) -> dict:
        """The same for a server."""
        return self.shown(KIND_SERVER, slot)

    def health(self, uint32_t slot, state):
        """A health record with the failures and downs since they were cleared."""
        self.check(KIND_SERVER, slot)
        cdef ClearedChecks *cleared = &self.checks[slot]
        if cleared.failures == 0 and cleared.downs == 0:
            return state
        return replace(
            state, failures=max(0, state.failures - cleared.failures),
            downs=max(0, state.downs - cleared.downs))

    def clear(self, str kind, uint32_t first, uint32_t last, *, bint totals) -> None:
        """Show maxima, and with `totals` all that is counted, of first..last-1 from now on."""
        cdef uint64_t total[ROW_WORDS_MAX]
        cdef uint64_t *kept
        cdef uint32_t index, word
        cdef int number = KIND_NUMBERS[kind]
        if first == last:
            return
        self.check(number, last - 1)
        self.used = True
        for index in range(first, last):
            self.sums(number, index, total)
            kept = &self.kept[number][<uint64_t>index * words_of[number]]
            for word in range(words_of[number]):
                if rules[number][word] == WORD_HIGHEST:
                    kept[word] = total[word]
                elif rules[number][word] == WORD_GAUGE:
                    kept[word] = 0
                elif totals:
                    kept[word] = total[word]
            if totals and number == KIND_SERVER:
                self.clear_checks(index)

    def forget(self, uint32_t slot) -> None:
        """The slot has another server, of which nothing was cleared yet."""
        self.check(KIND_SERVER, slot)
        memset(
            &self.kept[KIND_SERVER][<uint64_t>slot * words_of[KIND_SERVER]], 0,
            words_of[KIND_SERVER] * sizeof(uint64_t))
        memset(&self.checks[slot], 0, sizeof(ClearedChecks))

    cdef int clear_checks(self, uint32_t slot) except -1:
        """Show what checks find from now on."""
        cdef HealthRecord record
        if latch_read(&self.segment.view.health[slot], &record):
            self.checks[slot].failures = record.failures
            self.checks[slot].downs = record.downs
        return 0

    cdef void sums(self, int kind, uint32_t index, uint64_t *total) noexcept nogil:
        """Add up the rows; of maxima and moments the largest."""
        cdef const uint64_t *part
        cdef uint32_t row, word
        cdef uint64_t value
        for word in range(words_of[kind]):
            total[word] = 0
        for row in range(self.segment.view.header.workers + 1):
            part = part_of(&self.segment.view, kind, row, index)
            for word in range(words_of[kind]):
                value = load_relaxed(&part[word])
                if rules[kind][word] == WORD_HIGHEST or rules[kind][word] == WORD_MOMENT:
                    total[word] = max(total[word], value)
                else:
                    total[word] += value

    cdef void see(self, int kind, uint32_t index) noexcept nogil:
        """Note the gauges of now."""
        cdef uint64_t total[ROW_WORDS_MAX]
        self.sums(kind, index, total)
        self.note(kind, index, total)

    cdef void note(self, int kind, uint32_t index, const uint64_t *total) noexcept nogil:
        cdef uint64_t *kept = &self.kept[kind][<uint64_t>index * words_of[kind]]
        cdef uint32_t word
        for word in range(words_of[kind]):
            if rules[kind][word] == WORD_GAUGE and total[word] > kept[word]:
                kept[word] = total[word]

    cdef dict shown(self, int kind, uint32_t index):
        cdef uint64_t total[ROW_WORDS_MAX]
        cdef uint64_t *kept
        cdef uint32_t word
        self.check(kind, index)
        self.sums(kind, index, total)
        if self.used:
            self.note(kind, index, total)
            kept = &self.kept[kind][<uint64_t>index * words_of[kind]]
            for word in range(words_of[kind]):
                if rules[kind][word] == WORD_HIGHEST and total[word] <= kept[word]:
                    total[word] = (
                        0 if gauges[kind][word] == NO_GAUGE else kept[gauges[kind][word]])
                elif rules[kind][word] == WORD_MOMENT and total[word] == kept[word]:
                    total[word] = 0
                elif rules[kind][word] == WORD_SUM:
                    total[word] = <uint64_t>max(<int64_t>0, <int64_t>(total[word] - kept[word]))
        return {name: total[<uint32_t>at] for name, at in NAMES[kind]}
