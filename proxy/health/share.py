"""Which servers a process checks, and what the configuration says about each. Pure.

The worker of a slot is `slot % workers`: all processes compute it alike, without negotiation. The
runner has the servers whose check is a program, whatever their slots; their agents, too, because
one process writes all that is known of a server's health. Must not know the segment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec

from proxy.config.model.checks import CheckRules, ExternalCheck
from proxy.config.model.settings import (
    CHECK_INTER_MS,
    Agent,
    Check,
    Endpoint,
    InitState,
    Proxy,
    ProxyHeader,
    Server,
    Source,
)
from proxy.health.rise_fall import Thresholds
from proxy.health.target import Limits
from proxy.server_table import ServerTable, checked_by_program

if TYPE_CHECKING:
    import ssl

    from proxy.config.model.tls import CheckTls
    from proxy.health.tls_stream import ServerTls


NO_LIMITS = Limits(0)  # of an agent that there is not


class CheckedServer(msgspec.Struct, frozen=True, gc=False):
    """One server that is checked, or has an agent, or both; `check` is the usual one without."""

    slot: int
    name: str
    backend_index: int
    backend_name: str
    resolved: bool  # its address comes from a resolution, which a failed connect may speed up
    check: Check
    limits: Limits
    position: int  # among all checked servers of all workers: spreads the first checks
    count: int  # of checked servers
    starts_down: bool = False  # init-state
    starts_fully: bool = False
    local: Endpoint | None = None  # the Unix socket that it is on
    source: Source | None = None  # where its connections come from
    rules: CheckRules | None = None  # what a check says; None: it only connects
    explicit_header: ProxyHeader = ProxyHeader.V1  # of a connection that asks for one
    backup: bool = False  # by its line
    log_checks: bool = False  # option log-health-checks
    checked: bool = True  # False: it has only an agent
    agent: Agent | None = None
    agent_limits: Limits = NO_LIMITS
    weight: int = 1  # configured
    weights_fixed: bool = False  # by the backend's algorithm
    slowstart_ms: int = 0
    allbackups: bool = False  # of the backend
    tracks: bool = False  # another server, beside its agent
    id: int = 0

    @property
    def by_program(self) -> bool:
        """Whether a check is a program, which is given the server's own address."""
        return isinstance(self.rules, ExternalCheck) and self.checked

    @property
    def thresholds(self) -> Thresholds:
        """Rise and fall of this server."""
        return Thresholds(self.check.rise, self.check.fall, self.starts_down, self.starts_fully)


def limits(proxy: Proxy, check: Check | Agent) -> Limits:
    """How long a check may take (manual: timeout check).

    With `timeout check` each connect has min(timeout connect, inter) and what follows it the
    time-out; without, a connect and what follows it have inter.
    """
    exchange_ms = check.timeout_check_ms or proxy.timeouts.check_ms
    inter_ms = check.inter_ms or CHECK_INTER_MS
    if exchange_ms is None:
        return _limits(inter_ms)
    connect_ms = min(proxy.timeouts.connect_ms or inter_ms, inter_ms)
    return _limits(connect_ms, exchange_ms)


@cache
def _limits(connect_ms: int, exchange_ms: int | None = None) -> Limits:
    """One object for all servers with the same limits."""
    return Limits(connect_ms, exchange_ms)


def _explicit_header(server: Server) -> ProxyHeader:
    """The version that the server is sent otherwise, 1 without any."""
    header = server.connecting.proxy_header
    return ProxyHeader.V1 if header is ProxyHeader.NONE else header


def share(servers: ServerTable, workers: int, worker: int) -> list[CheckedServer]:
    """The servers that this worker checks."""
    return _part(servers, partial(_is_of, workers, worker))


def has_share(servers: ServerTable, workers: int, worker: int) -> bool:
    """Whether there is any."""
    return any(_is_of(workers, worker, proxy, server) for proxy, server in servers.watched())


def _is_of(workers: int, worker: int, proxy: Proxy, server: Server) -> bool:
    return server.slot % workers == worker and not checked_by_program(proxy, server)


def joined(servers: ServerTable, server: Server, workers: int, worker: int) -> CheckedServer | None:
    """A server that was added, if it is this worker's to check."""
    if not server.watched or server.slot % workers != worker:
        return None
    return _checked_server(servers.backends[server.backend_index], server, 0, 1)


def programs_share(servers: ServerTable) -> list[CheckedServer]:
    """The servers that the runner checks."""
    return _part(servers, checked_by_program)


def _part(servers: ServerTable, belongs: Callable[[Proxy, Server], bool]) -> list[CheckedServer]:
    every_server = list(servers.watched())
    return [
        _checked_server(proxy, server, position, len(every_server))
        for position, (proxy, server) in enumerate(every_server)
        if belongs(proxy, server)
    ]


def _checked_server(proxy: Proxy, server: Server, position: int, count: int) -> CheckedServer:
    check, agent = server.check or Check(), server.agent
    return CheckedServer(
        slot=server.slot,
        name=server.name,
        backend_index=server.backend_index,
        backend_name=proxy.name,
        resolved=server.resolvable,
        check=check,
        limits=limits(proxy, check),
        rules=proxy.check_rules,
        backup=server.balancing.backup,
        log_checks=proxy.log_health_checks,
        explicit_header=_explicit_header(server),
        source=server.connecting.source or proxy.source,
        local=server.local,
        position=position,
        count=count,
        starts_down=server.init_state in (InitState.DOWN, InitState.FULLY_DOWN),
        starts_fully=server.init_state in (InitState.FULLY_UP, InitState.FULLY_DOWN),
        checked=server.check is not None,
        agent=agent,
        agent_limits=limits(proxy, agent) if agent else NO_LIMITS,
        weight=server.balancing.weight,
        weights_fixed=proxy.weights_fixed,
        slowstart_ms=server.balancing.slowstart_ms,
        allbackups=proxy.allbackups,
        tracks=server.track is not None,
        id=server.id,
    )


def server_tls(check: CheckTls | None, contexts: tuple[ssl.SSLContext, ...]) -> ServerTls | None:
    """The TLS of one server's checks, by the contexts of all servers; None without any."""
    if check is None:
        return None
    from proxy.health.tls_stream import ServerTls  # noqa: PLC0415 (it loads ssl)

    return ServerTls(
        contexts[check.context],
        check.by_line,
        check.sni,
        check.verify_host,
        {protocols: contexts[row] for protocols, row in check.contexts},
    )
