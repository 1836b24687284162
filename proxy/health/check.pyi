"""Types of the compiled module; its documentation is in check.pyx."""

from proxy.config.model.settings import ProxyHeader, Source
from proxy.health.attempts import Attempts
from proxy.health.connection import Connection
from proxy.health.dialect.seam import Connect, Dialect, Result
from proxy.health.judgement import Outcome
from proxy.health.target import CheckTarget, Limits
from proxy.health.tls_stream import ServerTls

class Plan:
    target: CheckTarget
    limits: Limits
    source: Source | None
    header: ProxyHeader
    tls: ServerTls | None
    def __init__(
        self,
        target: CheckTarget,
        limits: Limits,
        source: Source | None = None,
        header: ProxyHeader = ProxyHeader.NONE,
        tls: ServerTls | None = None,
    ) -> None: ...

class RunningCheck:
    slot: int
    plan: Plan
    dialect: Dialect
    wanted: Connect
    began_ns: int
    deadline_ms: int
    socket: Connection
    @property
    def began_ms(self) -> int: ...
    @property
    def descriptor(self) -> int: ...

class Connects(Attempts[RunningCheck]):
    def __init__(self, *, never_local: bool = False) -> None: ...
    def begin(self, slot: int, plan: Plan, dialect: Dialect = ...) -> RunningCheck | Outcome: ...
    def ended(self, events_max: int) -> list[tuple[RunningCheck, Outcome]]: ...
    def expired(self, now_ms: int, checks_max: int) -> list[tuple[RunningCheck, Outcome]]: ...
    def abandon(self, check: RunningCheck) -> None: ...

def failed_connect(code: int, place: str) -> Result: ...
