"""Types of the compiled relay (engine.pyx)."""

from proxy.capacity import Capacity
from proxy.runtime import Runtime

SESSION_BYTES: int

class Relay:
    """One worker's relay thread; see engine.pyx."""

    runtime: Runtime
    capacity: Capacity
    running: bool
    sweep_ms: int
    def __init__(self, runtime: Runtime, worker: int) -> None: ...
    def run(self) -> None: ...
    def rebuild(self, backend: int) -> None: ...
    def warm_up(self) -> None: ...
