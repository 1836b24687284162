"""The rounds of one process's checks: what is due begins, what has ended is judged and published.

Compiled, because each check costs what is here: a connect-only one took 45 us of the interpreter's
time beside 34 of the kernel's. What happens more seldom is the checker's (checker.py), which is
made of this. Decides nothing itself: judgement.pxd says what an outcome means, timetable.pyx when a
check is due, its attempts make the checks. Must not know the relay.
"""

from collections import deque

from libc.stdint cimport int64_t, uint32_t

from proxy.health.attempts cimport monotonic_ns
from proxy.health.judgement cimport (
    CHANGE_NONE, Ending, Outcome, interval, judge, start)
from proxy.health.timetable cimport NO_SLOT, Timetable
from proxy.health.watched cimport Watched
from shm.records cimport HealthRecord
from shm.segment cimport Segment
from shm.slots cimport HealthTableWriter, health_state, slot_revision

from proxy.health.judgement import Change
from proxy.health.timetable import spread_ms
from shm.check_status import CheckStatus

CHECKS_AT_ONCE = 100  # ended, expired and begun in one turn of the loop each: about 2 ms together

cdef enum:
    AT_ONCE = 100  # the same
cdef tuple CHANGES = tuple(Change)
cdef uint32_t UNREACHED = CheckStatus.L4CON, SILENT = CheckStatus.L4TOUT


cdef class Rounds:
    """Checks one process's part of the servers.

    `late` counts checks that had to wait for a place among those under way. Its user has
    `_observe`, `_planned`, `_said`, `_unconnected`, `_tell` and `_arm`.
    """

    @classmethod
    def __class_getitem__(cls, kind):
        """The same for a kind of checks: type checkers tell them apart."""
        return cls

    def __init__(
            self, Segment segment, attempts, Py_ssize_t servers, Py_ssize_t in_flight_max,
            int64_t spread_percent, random):
        """`servers`: how many there are; `spread_percent`: manual, spread-checks."""
        self.segment = segment
        self._attempts = attempts
        self._timetable = Timetable()
        self._writer = HealthTableWriter(segment)
        self._watched = {}
        self._in_flight_max = in_flight_max
        self._share_places(servers)
        self.waiting_slow = deque()
        self.spread_percent = spread_percent
        self.random = random

    def _share_places(self, Py_ssize_t servers) -> None:
        """Keep half of the places from slow checks, unless there is one for each server."""
        cdef Py_ssize_t places = self._in_flight_max
        self.slow_max = places if places >= servers else places // 2

    def _forget(self, Py_ssize_t slot) -> None:
        """Check this server no more."""
        cdef Watched watched = self._watched.pop(slot, None)
        self._timetable.forget(slot)
        while slot in self.waiting_slow:
            self.waiting_slow.remove(slot)
        if watched is not None and watched.attempt is not None:
            self._attempts.abandon(watched.attempt)
            self.release(watched)

    def _turn(self) -> None:
        """Judge what ended, then what ran out of time, start what is due, tell others.

        What is too much for one turn comes with the next: all of it is still due.
        """
        if len(self._attempts) >= self._in_flight_max:
            self.full_ms = now_ms()  # what was due until now had to wait
        self.end(self._attempts.ended(AT_ONCE))
        self.end(self._attempts.expired(now_ms(), AT_ONCE))
        self._begin_due()
        self._arm()
        self._news.tell()

    cdef int end(self, list ended) except -1:
        """Judge the outcomes that still speak of their server."""
        cdef Watched watched
        for attempt, outcome in ended:
            watched = self._watched[attempt.slot]
            assert watched.attempt is attempt, f"slot {attempt.slot} has another check under way"
            self.release(watched)
            if not (self.is_stale(watched) and self._observe(watched)):
                self.judge(watched, outcome, attempt.began_ms)
        return 0

    cdef bint is_stale(self, Watched watched) noexcept:
        """Whether records of the slot changed since the last look."""
        return watched.revision != slot_revision(&self.segment.view, watched.slot)

    def _begin_due(self) -> None:
        """Start what is due, within the limits; the rest starts when others end."""
        cdef int64_t at_ms = now_ms(), due_ms
        cdef bint slow_allowed, waits
        cdef Watched watched
        cdef Py_ssize_t slot
        cdef int _
        for _ in range(AT_ONCE):
            if len(self._attempts) >= self._in_flight_max:
                self.full_ms = at_ms
                break
            slow_allowed = self.slow_in_flight < self.slow_max
            if slow_allowed and self.waiting_slow:
                self.begin(self._watched[self.waiting_slow.popleft()])
                continue
            if not self._timetable.is_first():
                break
            due_ms = self._timetable.heap.entries[0].at_ms
            slot = self._timetable.taken(at_ms)
            if slot == NO_SLOT:
                break
            watched = self._watched[slot]
            waits = not slow_allowed and watched.is_slow()
            self.late += waits or due_ms <= self.full_ms
            if waits:
                self.waiting_slow.append(slot)
            else:
                self.begin(watched)

    cdef int begin(self, Watched watched) except -1:
        """Start one check, aimed by what the records say at this moment."""
        if self.is_stale(watched):
            self._observe(watched)
        if watched.target is None or watched.attempt is not None:
            return 0  # paused meanwhile, or begun after it had waited
        start(&watched.record)
        if watched.plan is None or watched.plan.target is not watched.target:
            watched.plan = self._planned(watched)
        begun = self._attempts.begin(watched.slot, watched.plan, watched.dialect())
        if isinstance(begun, Outcome):
            return self.judge(watched, begun, now_ms())
        watched.attempt = begun
        watched.held_as_slow = watched.is_slow()
        self.slow_in_flight += watched.held_as_slow
        return self._writer.put(watched.slot, &watched.record, False)

    def _release(self, Watched watched) -> None:
        """The attempt is over, whatever comes of it."""
        self.release(watched)

    cdef int release(self, Watched watched) except -1:
        """The same."""
        watched.attempt = None
        self.slow_in_flight -= watched.held_as_slow
        watched.held_as_slow = False
        return 0

    cdef int judge(self, Watched watched, Outcome outcome, began_ms) except -1:
        """Publish what a check's outcome means, ask for a resolution, plan the next check."""
        cdef HealthRecord former = watched.record
        cdef HealthRecord *record = &watched.record
        cdef Ending ending
        cdef int64_t at_ms = now_ms(), pause_ms
        cdef bint agent_down = watched.has_agent and self._agents.is_down(watched.slot)
        cdef bint is_news
        cdef int change
        cdef str text
        outcome.tell(&ending)
        change = judge(record, &watched.steps, &ending, at_ms, agent_down)
        text = ""
        if outcome.description:
            text = self._said(watched.slot, outcome.description, at_ms)
        self._writer.put(watched.slot, record, change != CHANGE_NONE)
        pause_ms = interval(record, &watched.steps, &watched.intervals)
        if self.spread_percent:
            pause_ms = spread_ms(pause_ms, self.spread_percent, self.random)
        self._timetable.place(watched.slot, at_ms + pause_ms)
        if watched.resolved and (ending.status == UNREACHED or ending.status == SILENT):
            self._news.ask_if_unconnected(watched.slot, outcome.status, began_ms)
        is_news = former.status != record.status or former.health != record.health
        if change != CHANGE_NONE or (is_news and watched.logs):
            self._tell(
                watched, health_state(&former), CHANGES[change], text, logged=outcome.logged)
        return 0


cdef int64_t now_ms() noexcept nogil:
    """The clock of every record in the segment."""
    return monotonic_ns() // 1_000_000
