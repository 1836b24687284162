"""Types of the compiled module; its documentation is in compile.pyx."""

from proxy.runtime import Runtime

class AccessLogs:
    def __init__(self, runtime: Runtime) -> None: ...
