"""How a check ended, and what that makes of a server's health: what each check asks for. Pure.

judgement.pxd has the rules; here are their Python faces, for what happens more seldom
(rise_fall.py).
"""

import enum

from libc.stdint cimport int64_t, uint8_t, uint32_t

from shm.records cimport RESULT_UNKNOWN, HealthRecord
from shm.slots cimport health_fill, health_state

from shm.check_status import BY_NUMBER, TIMEOUTS

cdef enum:
    STATUSES = 64  # numbers of statuses are below
cdef uint8_t[STATUSES] RESULTS  # by status
cdef uint8_t[STATUSES] WAITED  # by status: the check took all of its time
for _number, _status in BY_NUMBER.items():
    RESULTS[_number] = _status.result
    WAITED[_number] = _number in TIMEOUTS

UNKNOWN = BY_NUMBER[0].result


class CheckState(enum.IntFlag):
    """HAProxy's srv_check_state."""

    IN_PROGRESS = CHECK_IN_PROGRESS
    CONFIGURED = CHECK_CONFIGURED
    ENABLED = CHECK_ENABLED
    PAUSED = CHECK_PAUSED


class Change(enum.Enum):
    """What a check changed for the choice of servers."""

    NONE = CHANGE_NONE
    DOWN = CHANGE_DOWN
    UP = CHANGE_UP
    STOPPING = CHANGE_STOPPING


cdef tuple CHANGES = tuple(Change)  # by number: none takes a look-up


cdef class Outcome:
    """How one check ended.

    `code` is the errno of a failed connect, the dialect's code, or 0; `description` what the server
    said, or where the check failed; `logged` what only the check's own line says; `own_fault`: of
    this host, so that it says nothing of the server.
    """

    def __init__(
            self, status, uint32_t code, uint32_t duration_us, str description="",
            bint own_fault=False, str logged=""):
        self.status = status
        self.code = code
        self.duration_us = duration_us
        self.description = description
        self.own_fault = own_fault
        self.logged = logged

    def __repr__(self) -> str:
        return f"<Outcome {self.status!r} {self.code} {self.description!r} {self.logged!r}>"

    @property
    def result(self):
        """What it means for the server, a `CheckResult`."""
        return UNKNOWN if self.own_fault else self.status.result

    cdef void tell(self, Ending *ending) noexcept:
        """Fill in what counts."""
        ending.status = <uint32_t>self.status
        ending.result = RESULT_UNKNOWN if self.own_fault else RESULTS[ending.status]
        ending.code = self.code
        ending.duration_us = self.duration_us


cdef Outcome new_outcome(object result, uint32_t duration_us):
    """The outcome of a `Result`."""
    cdef tuple said = <tuple>result  # a kind of tuple
    cdef Outcome outcome = Outcome.__new__(Outcome)
    outcome.status = said[0]
    outcome.code = said[1]
    outcome.duration_us = duration_us
    outcome.description = said[2]
    outcome.own_fault = said[3]
    outcome.logged = said[4]
    return outcome


cdef bint took_all_its_time(const HealthRecord *record) noexcept:
    """Whether the last check did."""
    return WAITED[record.status & (STATUSES - 1)]


def started(state):
    """The `HealthState` of a server whose check begins."""
    cdef HealthRecord record
    health_fill(&record, state)
    start(&record)
    return health_state(&record)


def judged(state, thresholds, Outcome outcome, int64_t now_ms, *, bint agent_down=False):
    """The health after a check that ended at `now_ms`, and whether the server went down or up.

    While its agent says that it is down, no check brings it up.
    """
    cdef HealthRecord record
    cdef Steps steps = Steps(thresholds.rise, thresholds.top)
    cdef Ending ending
    cdef int change
    health_fill(&record, state)
    outcome.tell(&ending)
    change = judge(&record, &steps, &ending, now_ms, agent_down)
    return health_state(&record), CHANGES[change]


def ended_downtime_ms(state, int64_t now_ms) -> int:
    """Downtime that ends now: time down by checks, and time paused, counts."""
    cdef HealthRecord record
    health_fill(&record, state)
    return ended_downtime(&record, now_ms)


def interval_ms(state, thresholds, check) -> int:
    """Milliseconds from the end of a check to the next (manual: inter, fastinter, downinter)."""
    cdef HealthRecord record
    cdef Steps steps = Steps(thresholds.rise, thresholds.top)
    cdef Intervals intervals
    health_fill(&record, state)
    intervals_fill(&intervals, check)
    return interval(&record, &steps, &intervals)


cdef int intervals_fill(Intervals *intervals, check) except -1:
    """The intervals of a server's line; two are the usual one where it does not say them."""
    intervals.usual = check.inter_ms
    intervals.between = check.inter_ms if check.fastinter_ms is None else check.fastinter_ms
    intervals.down = check.inter_ms if check.downinter_ms is None else check.downinter_ms
    return 0
