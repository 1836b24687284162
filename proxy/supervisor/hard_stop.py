"""What the log says when `hard-stop-after` is over: HAProxy's lines, and whose sessions end.

In steps: there may be many frontends. Ends nothing itself.
"""

from __future__ import annotations

from proxy.runtime import Runtime
from proxy.supervisor.slices import PORTION, Steps
from shm.counters import CounterReader
from shm.log_level import LogLevel


def tell_hard_stop(runtime: Runtime) -> Steps[None]:
    """Tell how many sessions of which frontends will be closed."""
    reader, limit = CounterReader(runtime.segment), runtime.settings.globals.hard_stop_after_ms

    def warn(text: str) -> None:
        runtime.log(LogLevel.WARNING, text)

    warn("soft-stop running for too long, performing a hard-stop.")
    warn(
        f"hard-stop-after {limit} ms is over: ending {reader.sessions()} sessions of "
        f"generation {runtime.segment.reload_generation}"
    )
    for number, proxy in enumerate(runtime.settings.frontends):
        if proxy.frontend_index is not None:
            left = reader.frontend(proxy.frontend_index)["sessions"]
            if left:
                warn(f"Proxy {proxy.name} hard-stopped ({left} remaining conns will be closed).")
        if number % PORTION == 0:
            yield
