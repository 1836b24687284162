"""Types of the compiled module; its documentation is in judgement.pyx."""

import enum

from proxy.config.model.settings import Check
from proxy.health.rise_fall import Thresholds
from shm.check_status import CheckResult, CheckStatus
from shm.states import HealthState

class CheckState(enum.IntFlag):
    IN_PROGRESS = 1
    CONFIGURED = 2
    ENABLED = 4
    PAUSED = 8

class Change(enum.Enum):
    NONE = 0
    DOWN = 1
    UP = 2
    STOPPING = 3

class Outcome:
    status: CheckStatus
    code: int
    duration_us: int
    description: str
    own_fault: bool
    logged: str
    def __init__(
        self,
        status: CheckStatus,
        code: int,
        duration_us: int,
        description: str = "",
        own_fault: bool = False,
        logged: str = "",
    ) -> None: ...
    @property
    def result(self) -> CheckResult: ...

def started(state: HealthState) -> HealthState: ...
def judged(
    state: HealthState,
    thresholds: Thresholds,
    outcome: Outcome,
    now_ms: int,
    *,
    agent_down: bool = False,
) -> tuple[HealthState, Change]: ...
def ended_downtime_ms(state: HealthState, now_ms: int) -> int: ...
def interval_ms(state: HealthState, thresholds: Thresholds, check: Check) -> int: ...
