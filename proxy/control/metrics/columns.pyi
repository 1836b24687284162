"""Types of the compiled module; its documentation is in columns.pyx."""

from collections.abc import Callable

from proxy.config.model.settings import Proxy, Server
from proxy.control.metrics.families import Value
from proxy.control.metrics.servers import Described
from proxy.control.rows.cleared import Cleared
from proxy.control.rows.monitor import Monitor
from shm.segment import Segment

class Columns:
    width: int
    count: int
    def __init__(self, width: int) -> None: ...
    def __len__(self) -> int: ...
    def append(self, labels: bytes, numbers: tuple[Value, ...]) -> None: ...
    def lines(
        self,
        name: str,
        position: int,
        divisor: int,
        gate: int,
        first: int,
        last: int,
        *,
        present: bool,
    ) -> bytes: ...
    def choices(
        self,
        name: str,
        position: int,
        words: tuple[tuple[int, str], ...],
        gate: int,
        first: int,
        last: int,
    ) -> bytes: ...

class KnownServers:
    described: int
    def __init__(
        self,
        segment: Segment,
        cleared: Cleared,
        monitor: Monitor,
        describe: Callable[[Proxy, Server], Described],
        counted: list[tuple[int, str]],
        width: int,
        places: dict[str, int],
    ) -> None: ...
    def take(
        self, columns: Columns | None, proxy: Proxy, server: Server, now_ms: int, unless: int
    ) -> tuple[int, int, bool]: ...
