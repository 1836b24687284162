"""One server of a checker's share as it is known now, and what its check is aimed at.

Must not know the relay. What each check reads or changes lies here as plain numbers; `state` makes
an object of them for those who ask more seldom.
"""

from proxy.health.judgement cimport intervals_fill, interval, took_all_its_time
from shm.records cimport SERVER_STOPPED
from shm.slots cimport health_fill, health_state

from proxy.health.rise_fall import adopted


cdef class Watched:
    """One server of the share, as the checker knows it now."""

    @classmethod
    def __class_getitem__(cls, kind):
        """The same for a kind of checks: type checkers tell them apart."""
        return cls

    def __init__(self, server, record, dialect):
        """`record`: the `HealthState` that a former worker left."""
        thresholds = server.thresholds
        self.server = server
        self.slot = server.slot
        self.dialect = dialect
        self.steps.rise, self.steps.top = thresholds.rise, thresholds.top
        intervals_fill(&self.intervals, server.check)
        self.state = adopted(record, thresholds)
        self.has_check = server.checked
        self.logs = server.log_checks
        self.resolved = server.resolved
        self.has_agent = server.agent is not None

    @property
    def state(self):
        """Its health, a `HealthState`."""
        return health_state(&self.record)

    @state.setter
    def state(self, state):
        health_fill(&self.record, state)

    @property
    def is_down(self) -> bool:
        """Whether checks took the server down, or none has brought it up yet."""
        return self.record.operational == SERVER_STOPPED

    @property
    def interval_ms(self) -> int:
        """Until the next check, as the health is now."""
        return interval(&self.record, &self.steps, &self.intervals)

    cdef bint is_slow(self) noexcept:
        """Whether its next check is likely to take all of its time, or does not matter so much."""
        return self.record.operational == SERVER_STOPPED or took_all_its_time(&self.record)
