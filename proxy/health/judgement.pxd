# What one ended check makes of a health record, in compiled code. Pure; takes `now`.
#
# rise_fall.py has the picture of the counter, and all that happens more seldom than a check.

from libc.stdint cimport int64_t, uint32_t

from shm.records cimport (
    RESULT_CONDITIONAL, RESULT_FAILED, RESULT_PASSED, RESULT_UNKNOWN, SERVER_RUNNING,
    SERVER_STOPPED, SERVER_STOPPING, HealthRecord)

cdef enum:  # CheckState
    CHECK_IN_PROGRESS = 1
    CHECK_CONFIGURED = 2
    CHECK_ENABLED = 4
    CHECK_PAUSED = 8

cdef enum:
    CHECK_IDLE = CHECK_CONFIGURED | CHECK_ENABLED
    CHECK_BUSY = CHECK_IDLE | CHECK_IN_PROGRESS

cdef enum:  # Change
    CHANGE_NONE = 0
    CHANGE_DOWN = 1
    CHANGE_UP = 2
    CHANGE_STOPPING = 3

cdef struct Steps:  # of the counter
    uint32_t rise
    uint32_t top  # of a server that passed its last checks

cdef struct Intervals:  # milliseconds from the end of a check to the next
    int64_t usual
    int64_t between  # while the counter is at neither end
    int64_t down

cdef struct Ending:  # how a check ended
    uint32_t status  # CheckStatus
    uint32_t result  # CheckResult
    uint32_t code
    uint32_t duration_us


cdef class Outcome:
    cdef readonly object status
    cdef readonly uint32_t code
    cdef readonly uint32_t duration_us
    cdef readonly str description
    cdef readonly bint own_fault
    cdef readonly str logged

    cdef void tell(self, Ending *ending) noexcept

cdef int intervals_fill(Intervals *intervals, object check) except -1
cdef Outcome new_outcome(object result, uint32_t duration_us)
cdef bint took_all_its_time(const HealthRecord *record) noexcept


cdef inline void start(HealthRecord *record) noexcept nogil:
    """A check is under way; the last result no longer counts as one (as HAProxy shows it)."""
    record.check_state = CHECK_BUSY
    record.result = RESULT_UNKNOWN


cdef inline int64_t ended_downtime(const HealthRecord *former, int64_t now_ms) noexcept nogil:
    """Downtime that ends now: time down by checks, and time paused, counts."""
    cdef bint counts = former.operational == SERVER_STOPPED or (
        former.check_state & CHECK_PAUSED) != 0
    if former.changed_ms == 0 or not counts:
        return 0
    return max(0, now_ms - former.changed_ms)


cdef inline uint32_t counted(
        const HealthRecord *record, const Steps *steps, uint32_t result) noexcept nogil:
    """The counter after a result."""
    cdef uint32_t health = record.health
    if result == RESULT_PASSED or result == RESULT_CONDITIONAL:
        if health < steps.top:
            return steps.top if health + 1 >= steps.rise else health + 1
    elif result == RESULT_FAILED:
        return health - 1 if health > steps.rise else 0
    return health


cdef inline int judge(
        HealthRecord *record, const Steps *steps, const Ending *ending, int64_t now_ms,
        bint agent_down) noexcept nogil:
    """Let a check that ended at `now_ms` count; a Change.

    While its agent says that it is down, no check brings a server up.
    """
    cdef HealthRecord former = record[0]
    cdef uint32_t result = ending.result
    cdef bint good = result == RESULT_PASSED or result == RESULT_CONDITIONAL
    record.health = counted(&former, steps, result)
    record.failures += result == RESULT_FAILED and former.health > 0
    record.status = ending.status
    record.result = result
    record.check_state = CHECK_IDLE
    record.code = ending.code
    record.duration_us = ending.duration_us
    record.checked_ms = now_ms
    if agent_down and good:
        return CHANGE_NONE
    if result == RESULT_CONDITIONAL and record.health >= steps.rise:
        if former.operational == SERVER_STOPPING:
            return CHANGE_NONE
        record.operational = SERVER_STOPPING
        record.changed_ms = now_ms
        record.downtime_ms += ended_downtime(&former, now_ms)
        return CHANGE_STOPPING
    if result == RESULT_PASSED and record.health >= steps.rise and (
            former.operational != SERVER_RUNNING):
        record.operational = SERVER_RUNNING
        record.returned = 1
        record.changed_ms = now_ms
        record.downtime_ms += ended_downtime(&former, now_ms)
        return CHANGE_UP
    if record.health < steps.rise and former.operational != SERVER_STOPPED:
        record.operational = SERVER_STOPPED
        record.changed_ms = now_ms
        record.downs += 1
        return CHANGE_DOWN
    return CHANGE_NONE


cdef inline int64_t interval(
        const HealthRecord *record, const Steps *steps, const Intervals *intervals
) noexcept nogil:
    """Milliseconds from the end of a check to the next (manual: inter, fastinter, downinter)."""
    if record.health == steps.top:
        return intervals.usual
    if record.operational == SERVER_STOPPED and record.health == 0:
        return intervals.down
    return intervals.between
