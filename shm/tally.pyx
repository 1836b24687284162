"""Counter totals of one segment, which a reload carries over into the last row of the next.

The supervisor only. A reload carries the totals over; what old workers count after that is added as
it comes, the last of it when they have ended. All methods work on a range, so that the supervisor
can serve other events in between. Also copies the counters of resolverd.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from shm.atomics cimport load_relaxed, store_relaxed
from shm.members cimport is_of_file
from shm.resolution_records cimport NameserverCounters, ResolutionRecord
from shm.rates cimport rate_add
from shm.rows cimport (
    BackendCounters, FrontendCounters, RuleCounter, ServerCounters, WorkerCounters)
from shm.segment cimport (
    Segment, View, backend_counters, frontend_counters, rule_counter, server_counters,
    worker_counters)

from shm.counters import GAUGES, OF_RELAYS

cdef enum:
    KIND_WORKER = 0
    KIND_FRONTEND = 1
    KIND_BACKEND = 2
    KIND_SERVER = 3
    KIND_RULE = 4
    KINDS = 5
    KIND_WORDS_MAX = 80  # WorkerCounters is the longest
    WORD_SUM = 0  # a counter
    WORD_HIGHEST = 1  # a maximum, or the time of the last event
    WORD_NOT_CARRIED = 2  # a gauge, whose sessions are in another row; padding

KIND_NUMBERS = {"worker": 0, "frontend": 1, "backend": 2, "server": 3, "rule": 4}
NOT_CARRIED = (*GAUGES, *OF_RELAYS, "spare")

cdef uint32_t[KINDS] words_of
cdef uint8_t[KINDS][KIND_WORDS_MAX] rules


cdef int learn(int kind, dict fields) except -1:
    """Set the rule of each word of a struct by the names of its fields."""
    cdef uint32_t word = 0
    for name, value in fields.items():
        for _ in range(len(value) if isinstance(value, list) else 1):
            if name in NOT_CARRIED:
                rules[kind][word] = WORD_NOT_CARRIED
            elif name.endswith("_max") or "_max_" in name or name.startswith("last_"):
                rules[kind][word] = WORD_HIGHEST
            word += 1
    words_of[kind] = word
    return 0


cdef int learn_all() except -1:
    cdef WorkerCounters worker
    cdef FrontendCounters frontend
    cdef BackendCounters backend
    cdef ServerCounters server
    cdef RuleCounter rule
    assert sizeof(worker) <= KIND_WORDS_MAX * sizeof(uint64_t), "a row with more words"
    learn(KIND_WORKER, worker)
    learn(KIND_FRONTEND, frontend)
    learn(KIND_BACKEND, backend)
    learn(KIND_SERVER, server)
    learn(KIND_RULE, rule)
    return 0


learn_all()


cdef inline uint64_t *part_of(const View *view, int kind, uint32_t row, uint32_t index) noexcept:
    if kind == KIND_WORKER:
        return <uint64_t *>worker_counters(view, row)
    if kind == KIND_FRONTEND:
        return <uint64_t *>frontend_counters(view, row, index)
    if kind == KIND_BACKEND:
        return <uint64_t *>backend_counters(view, row, index)
    if kind == KIND_RULE:
        return <uint64_t *>rule_counter(view, row, index)
    return <uint64_t *>server_counters(view, row, index)


cdef uint32_t count_of(Segment segment, int kind) noexcept:
    """The number of parts of a kind in a row."""
    if kind == KIND_WORKER:
        return 1
    if kind == KIND_FRONTEND:
        return segment.view.header.frontends
    if kind == KIND_BACKEND:
        return segment.view.header.backends
    if kind == KIND_RULE:
        return segment.shape.rules
    return segment.view.header.slots


cdef void sum_up(const View *view, int kind, uint32_t index, uint64_t *total) noexcept:
    """All rows together; of maxima and times the largest."""
    cdef uint32_t row, word
    cdef uint64_t value
    cdef uint64_t *part
    for word in range(words_of[kind]):
        total[word] = 0
    for row in range(view.header.workers + 1):
        part = part_of(view, kind, row, index)
        for word in range(words_of[kind]):
            value = load_relaxed(&part[word])
            if rules[kind][word] == WORD_HIGHEST:
                total[word] = max(total[word], value)
            else:
                total[word] += value


cdef class Tally:
    """Totals of all rows; zeros until they are taken. Methods raise IndexError, KeyError."""

    cdef uint64_t *words
    cdef uint32_t[KINDS] counts
    cdef uint64_t[KINDS] starts  # of each kind in `words`

    def __cinit__(self, Segment segment):
        cdef int kind
        cdef uint64_t end = 0
        for kind in range(KINDS):
            self.counts[kind] = count_of(segment, kind)
            self.starts[kind] = end
            end += <uint64_t>self.counts[kind] * words_of[kind]
        self.words = <uint64_t *>calloc(end, sizeof(uint64_t))
        if self.words == NULL:
            raise MemoryError("counter totals")

    def __dealloc__(self):
        free(self.words)

    cdef uint64_t *at(self, int kind, uint32_t index) except NULL:
        if index >= self.counts[kind]:
            raise IndexError(f"number {index} of {self.counts[kind]}")
        return &self.words[self.starts[kind] + <uint64_t>index * words_of[kind]]

    def take(self, Segment segment, str kind, uint32_t first, uint32_t last) -> None:
        """Sum first..last-1 of a kind over all rows; of maxima and times take the largest."""
        cdef int number = KIND_NUMBERS[kind]
        cdef uint32_t index
        if last > count_of(segment, number):
            raise IndexError(f"number {last - 1} of {count_of(segment, number)}")
        for index in range(first, last):
            sum_up(&segment.view, number, index, self.at(number, index))

    cdef uint64_t *carried(self, Segment segment, int kind, uint32_t index) except NULL:
        """The part of the last row, which only the supervisor writes."""
        if index >= count_of(segment, kind):
            raise IndexError(f"number {index} of {count_of(segment, kind)}")
        return part_of(&segment.view, kind, segment.view.header.workers, index)

    def carry(self, Segment segment, str kind, object pairs) -> None:
        """Store totals in the last row of a segment, by (index here, index there)."""
        cdef int number = KIND_NUMBERS[kind]
        cdef uint32_t before, after, word
        cdef uint64_t *total
        cdef uint64_t *target
        for before, after in pairs:
            total, target = self.at(number, before), self.carried(segment, number, after)
            for word in range(words_of[number]):
                if rules[number][word] != WORD_NOT_CARRIED:
                    store_relaxed(&target[word], total[word])

    def add_late(self, Segment segment, Segment newest, str kind, object pairs) -> None:
        """Add what its segment has counted since to the last row of the newest one.

        What was added is in this tally from then on: nothing is added twice, whatever ends this,
        and however often it is done. Counts of a server that was deleted since are no one's.
        """
        cdef int number = KIND_NUMBERS[kind]
        cdef uint32_t old, new, word
        cdef uint64_t *was
        cdef uint64_t *target
        cdef uint64_t[KIND_WORDS_MAX] total
        for old, new in pairs:
            if old >= count_of(segment, number):
                raise IndexError(f"number {old} of {count_of(segment, number)}")
            if number == KIND_SERVER and (
                    not is_of_file(load_relaxed(&newest.view.member_words[new]))):
                continue
            was, target = self.at(number, old), self.carried(newest, number, new)
            sum_up(&segment.view, number, old, total)
            for word in range(words_of[number]):
                if rules[number][word] == WORD_HIGHEST:
                    store_relaxed(&target[word], max(target[word], total[word]))
                elif rules[number][word] == WORD_SUM and total[word] > was[word]:
                    store_relaxed(&target[word], target[word] + (total[word] - was[word]))
                    was[word] = total[word]


def carry_rates(Segment old, Segment new, object pairs, int64_t now_ms) -> None:
    """Count sessions that old workers have let in against limited rates of new ones, too.

    Of the process, and of frontends by (old, new) index; once, right before the old ones stop.
    """
    cdef uint32_t before, after
    rate_add(
        &new.view.frontends_shared.passed[0], &old.view.frontends_shared.passed[0], now_ms)
    for before, after in pairs:
        if before >= old.view.header.frontends or after >= new.view.header.frontends:
            raise IndexError(f"frontends {before}, {after}")
        rate_add(
            &new.view.frontends_shared[1 + after].passed[0],
            &old.view.frontends_shared[1 + before].passed[0], now_ms)


def carry_nameservers(Segment old, Segment new, object pairs) -> None:
    """Copy counters of nameservers by (old, new) index, before the new segment's resolverd."""
    cdef uint32_t before, after
    for before, after in pairs:
        if before >= old.view.header.nameservers or after >= new.view.header.nameservers:
            raise IndexError(f"nameservers {before}, {after}")
        memcpy(&new.view.nameservers[after], &old.view.nameservers[before],
               sizeof(NameserverCounters))


def carry_resolutions(Segment old, Segment new, object pairs) -> None:
    """Copy records of resolutions likewise."""
    cdef uint32_t before, after
    for before, after in pairs:
        if before >= old.view.header.resolutions or after >= new.view.header.resolutions:
            raise IndexError(f"resolutions {before}, {after}")
        memcpy(&new.view.resolutions[after], &old.view.resolutions[before],
               sizeof(ResolutionRecord))
