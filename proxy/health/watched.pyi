"""Types of the compiled module; its documentation is in watched.pyx."""

from typing import Generic

from proxy.health.attempts import A
from proxy.health.dialect.dialects import Factory
from proxy.health.share import CheckedServer
from proxy.health.target import CheckTarget
from shm.states import HealthState

class Watched(Generic[A]):
    server: CheckedServer
    dialect: Factory
    target: CheckTarget | None
    attempt: A | None
    state: HealthState
    revision: int
    slot: int
    has_check: bool
    def __init__(self, server: CheckedServer, record: HealthState, dialect: Factory) -> None: ...
    @property
    def is_down(self) -> bool: ...
    @property
    def interval_ms(self) -> int: ...
