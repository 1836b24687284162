"""Types of the compiled module; its documentation is in compile.pyx."""

from collections.abc import Sequence

from proxy.config.model.settings import LogItem, Proxy
from proxy.runtime import Runtime

def compile_steps(
    items: Sequence[LogItem], proxy: Proxy, host: str
) -> list[tuple[int, int, bytes]]: ...

class AccessLogs:
    def __init__(self, runtime: Runtime) -> None: ...
