"""Which servers a worker checks, and what the configuration says about each. Pure.

The worker of a slot is `slot % workers`: all processes compute it alike, without negotiation. Must
not know the segment.
"""

from __future__ import annotations

import msgspec

from proxy.config.model.settings import Check, Endpoint, InitState, Proxy, Source
from proxy.health.rise_fall import Thresholds
from proxy.server_table import ServerTable


class CheckedServer(msgspec.Struct, frozen=True):
    """One server that is checked."""

    slot: int
    name: str
    backend_index: int
    backend_name: str
    backend_kind: str  # 'backend' or 'proxy', as log lines say it
    resolved: bool  # its address comes from a resolution, which a failed connect may speed up
    check: Check
    connect_limit_ms: int
    position: int  # among all checked servers of all workers: spreads the first checks
    count: int  # of checked servers
    starts_down: bool = False  # init-state
    starts_fully: bool = False
    local: Endpoint | None = None  # the Unix socket that it is on
    source: Source | None = None  # where its connections come from

    @property
    def thresholds(self) -> Thresholds:
        """Rise and fall of this server."""
        return Thresholds(self.check.rise, self.check.fall, self.starts_down, self.starts_fully)


def connect_limit_ms(proxy: Proxy, check: Check) -> int:
    """How long a check's connect may take (manual: timeout check).

    With `timeout check` the connect has min(timeout connect, inter), without it the whole check
    has inter; a TCP connect check is nothing but its connect.
    """
    timeout_check_ms = check.timeout_check_ms or proxy.timeouts.check_ms
    if timeout_check_ms is None or proxy.timeouts.connect_ms is None:
        return check.inter_ms
    return min(proxy.timeouts.connect_ms, check.inter_ms)


def share(servers: ServerTable, workers: int, worker: int) -> list[CheckedServer]:
    """The servers that this worker checks."""
    every_server = list(servers.checked())
    return [
        CheckedServer(
            slot=server.slot,
            name=server.name,
            backend_index=server.backend_index,
            backend_name=proxy.name,
            backend_kind="proxy" if proxy.kind == "listen" else "backend",
            resolved=server.resolvable,
            check=check,
            connect_limit_ms=connect_limit_ms(proxy, check),
            source=server.connecting.source or proxy.source,
            local=server.local,
            position=position,
            count=len(every_server),
            starts_down=server.init_state in (InitState.DOWN, InitState.FULLY_DOWN),
            starts_fully=server.init_state in (InitState.FULLY_UP, InitState.FULLY_DOWN),
        )
        for position, (proxy, server, check) in enumerate(every_server)
        if server.slot % workers == worker
    ]
