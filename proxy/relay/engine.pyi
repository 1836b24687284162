"""Types of the compiled relay (engine.pyx)."""

from proxy.runtime import Runtime

SESSION_BYTES: int

def sessions_limit(nofile: int, taken: int) -> int: ...
def descriptors_taken(runtime: Runtime) -> int: ...

class Relay:
    """One worker's relay thread; see engine.pyx."""

    runtime: Runtime
    running: bool
    def __init__(self, runtime: Runtime, worker: int) -> None: ...
    def run(self) -> None: ...
    def rebuild(self, backend: int) -> None: ...
