"""The settings of a configuration: immutable, complete, inherited by every process.

Owns the structure of the settings and the indices of the segment's records. Knows no file, no word
and no socket. Times are milliseconds (`_ms`); None: the word was not given, and the manual's
default is "no limit".

Indices: `Proxy.frontend_index` and `Proxy.backend_index` count frontends and backends (a `listen`
section is both), `Bind.index` counts bind addresses over all frontends, `Server.slot` counts
servers over all backends; one backend's slots are neighbours, in the order of the file.
"""

from __future__ import annotations

import enum

import msgspec

from proxy.config.model.checks import CheckRules, ProgramRights
from proxy.config.model.http import HttpSection
from proxy.config.model.lists import Reference
from proxy.config.model.logs import AccessLog, LogItem, LogTarget
from proxy.config.model.rules import ConnectionRules, Rule, SharedVariables
from proxy.config.model.server import (
    CHECK_FALL,
    CHECK_INTER_MS,
    CHECK_RISE,
    ERROR_LIMIT_DEFAULT,
    LOCAL_PLACE,
    MAXCONN_NONE,
    PLAIN_BALANCING,
    PLAIN_CONNECTING,
    PLAIN_QUEUEING,
    PLAIN_STOPPING,
    SERVER_WEIGHT_MAX,
    Agent,
    Balancing,
    Check,
    Connecting,
    InitAddr,
    InitState,
    OnError,
    ProxyHeader,
    Queueing,
    Server,
    Stopping,
)
from proxy.config.model.sockets import Endpoint, KeepAlive, Origin, SocketFamily, Source
from proxy.config.model.tls import TlsContext
from resolverd.config import ResolverdSettings
from shm.tables.shape import TableShape

# declared in logs.py, server.py and sockets.py, imported from here
__all__ = ["AccessLog", "Endpoint", "KeepAlive", "LogItem", "LogTarget", "Origin"]
__all__ += ["SocketFamily", "Source"]
__all__ += ["CHECK_FALL", "CHECK_INTER_MS", "CHECK_RISE", "ERROR_LIMIT_DEFAULT", "LOCAL_PLACE"]
__all__ += ["MAXCONN_NONE", "PLAIN_BALANCING", "PLAIN_CONNECTING", "PLAIN_QUEUEING"]
__all__ += ["PLAIN_STOPPING"]
__all__ += ["SERVER_WEIGHT_MAX", "Agent", "Balancing", "Check", "Connecting", "InitAddr"]
__all__ += ["InitState", "OnError", "ProxyHeader", "Queueing", "Server", "Stopping"]

RETRIES_DEFAULT = 3
SPARE_BACKENDS_DEFAULT = 4  # of each named `defaults` section, for `add backend`
SPARE_BACKENDS_MAX = 256
SPARE_SERVERS_LEAST = 1_024  # of all backends together, or a quarter of their servers
RANDOM_DRAWS_DEFAULT = 2


class Bind(msgspec.Struct, frozen=True):
    """One address of a `bind` line (a port range or a list of addresses makes several)."""

    index: int
    frontend_index: int
    endpoint: Endpoint
    origin: Origin
    name: str | None = None
    id: int = 0
    backlog: int | None = None
    maxconn: int = MAXCONN_NONE
    v6only: bool = False
    v4v6: bool = False
    unix_mode: int | None = None
    unix_user: int | None = None  # uid
    unix_group: int | None = None  # gid
    interface: str | None = None
    mss: int = 0  # bytes; below 0: less than that of the path by so much; 0: that of the path
    user_timeout_ms: int = 0  # tcp-ut; 0: none
    fast_open: bool = False
    defer_accept: bool = False
    transparent: bool = False
    accept_proxy: bool = False  # connections begin with a PROXY header


class Balance(enum.Enum):
    """The `balance` algorithm of a backend."""

    ROUNDROBIN = "roundrobin"
    LEASTCONN = "leastconn"
    SOURCE = "source"
    STATIC_RR = "static-rr"
    FIRST = "first"
    RANDOM = "random"
    HASH = "hash"
    RDP_COOKIE = "rdp-cookie"

    @property
    def hashes(self) -> bool:
        """Whether the server follows from a number that the client brings."""
        return self in (Balance.SOURCE, Balance.HASH, Balance.RDP_COOKIE)


def has_fixed_weights(balance: Balance, *, hash_consistent: bool) -> bool:
    """Whether the algorithm is static: a server has its configured weight or none."""
    return balance is Balance.STATIC_RR or (balance.hashes and not hash_consistent)


class Timeouts(msgspec.Struct, frozen=True):
    """The `timeout` words of one proxy, milliseconds; None: not set, no limit."""

    client_ms: int | None = None
    server_ms: int | None = None
    connect_ms: int | None = None
    tunnel_ms: int | None = None
    client_fin_ms: int | None = None
    server_fin_ms: int | None = None
    check_ms: int | None = None
    queue_ms: int | None = None


class Proxy(msgspec.Struct, frozen=True):
    """One frontend, backend or listen section.

    `default_backend` is a backend index (its own for a `listen` with servers), None without a
    backend for clients. `http` is set for sections that answer themselves, without a backend.
    `server_state_file` is the full path of the file with the servers' state, None without one;
    `server_state_global`: all backends share that file.
    """

    name: str
    id: int
    kind: str  # 'frontend', 'backend' or 'listen'
    origin: Origin
    id_given: bool = False  # `id` was written, not counted
    frontend_index: int | None = None
    backend_index: int | None = None
    first_slot: int = 0  # of its servers
    spare_slots: int = 0  # behind those of its servers: for servers that are added at run time
    binds: tuple[Bind, ...] = ()
    servers: tuple[Server, ...] = ()
    server_templates: tuple[tuple[str, tuple[str, ...]], ...] = ()  # their names and words
    default_backend: int | None = None
    switched: bool = False  # that is the one of a first `use_backend` line without a condition
    behind_switch: int | None = None  # then: where clients go while that one is unpublished
    spare_of: str = (
        ""  # of a spare backend without a name: the `defaults` that it has settings from
    )
    added_from: str = ""  # the same of one that was added at run time
    http: HttpSection | None = None
    balance: Balance = Balance.ROUNDROBIN
    random_draws: int = RANDOM_DRAWS_DEFAULT  # of `balance random`
    hash_consistent: bool = False  # hash-type: a ring instead of a map
    hash_avalanche: bool = False  # the hash is mixed before the lookup
    hash_function: str = "sdbm"  # of what `balance hash` and `balance rdp-cookie` find
    hash_balance_factor: int = 0  # percent of the average load, a server's limit; 0: none
    timeouts: Timeouts = Timeouts()
    maxconn: int = MAXCONN_NONE  # of the frontend; 0: the process's
    session_rate: int = 0  # `rate-limit sessions`: a second, over all workers; 0: no limit
    fullconn: int = 0  # 0: a tenth of the frontends' maxconn
    backlog: int | None = None
    retries: int = RETRIES_DEFAULT
    redispatch: int = 0  # 0 off; N > 0 every N retries; N < 0 the last N-th: -1 only the last
    splice: bool = True
    allbackups: bool = False
    client_keepalive: bool = False
    server_keepalive: bool = False
    client_probes: KeepAlive = KeepAlive()  # of `clitcpka-*`
    server_probes: KeepAlive = KeepAlive()  # of `srvtcpka-*`
    source: Source | None = None  # of the servers without one of their own
    persist: bool = False  # a server that is named is tried also when it is down
    abortonclose: bool = False  # a client's FIN ends a session without a server
    nolinger: bool = False  # connections end by a reset
    disabled: bool = False
    description: str | None = None
    server_state_file: str | None = None
    server_state_global: bool = False
    access_log: AccessLog | None = None  # None: connections are not logged
    check_rules: CheckRules | None = None  # what health checks say; None: they only connect
    log_health_checks: bool = False
    rules: ConnectionRules | None = None  # of connections; None: it has none

    @property
    def weights_fixed(self) -> bool:
        """Whether the algorithm is static: no server can be added to the backend."""
        return has_fixed_weights(self.balance, hash_consistent=self.hash_consistent)


class StatsSocket(msgspec.Struct, frozen=True):
    """One `stats socket` line."""

    endpoint: Endpoint
    origin: Origin
    level: str = "operator"  # user, operator, admin
    mode: int | None = None
    user: int | None = None  # uid
    group: int | None = None  # gid
    exposes: bool = False  # gives the listening sockets to another program that asks


class Global(msgspec.Struct, frozen=True):
    """The `global` section."""

    nbthread: int = 0  # 0: one worker for each usable core
    maxconn: int = 0  # 0: what the descriptor limit allows
    connection_rate: int = 0  # `maxconnrate`: a second, over all workers; 0: no limit
    session_rate: int = 0  # `maxsessrate`, likewise
    ulimit_n: int | None = None
    pipes_max: int = 0  # `maxpipes`, of all workers; 0: as many as suit the kernel
    fd_hard_limit: int | None = None
    strict_limits: bool = True  # a resource limit that cannot be set is an error
    uid: int | None = None
    gid: int | None = None
    chroot: str | None = None
    pidfile: str | None = None
    daemon: bool = False
    master_worker: bool = False
    hard_stop_after_ms: int | None = None
    grace_ms: int | None = None
    stats_sockets: tuple[StatsSocket, ...] = ()
    stats_timeout_ms: int = 10_000
    logs: tuple[LogTarget, ...] = ()
    log_tag: str = "haproxy"
    log_host: str | None = None  # `log-send-hostname`; "": the host's own name
    node: str = ""
    description: str | None = None
    product_name: str = ""  # as `show info` tells it; empty: the true one
    reloads_max: int | None = None  # `mworker-max-reloads`
    spread_checks_percent: int = 0
    max_spread_checks_ms: int | None = None
    checks_never_local: bool = False  # `pp2-never-send-local`
    quiet: bool = False
    zero_warning: bool = False
    programs: ProgramRights = ProgramRights()
    variable_bytes: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)  # `tune.vars.*`; 0: no limit
    server_state_file: str | None = None  # full path
    server_state_base: str | None = None  # full path
    spare_backends: int = SPARE_BACKENDS_DEFAULT  # of each named `defaults` section
    spare_servers: int | None = None  # of each backend; None: SPARE_SERVERS_LEAST among all

    @property
    def accept_rate(self) -> int:
        """Connections accepted in a second, 0 without limit: here a connection is a session."""
        return min((rate for rate in (self.connection_rate, self.session_rate) if rate), default=0)


class Settings(msgspec.Struct, frozen=True):
    """A whole configuration, checked."""

    globals: Global
    proxies: tuple[Proxy, ...]  # in the order of the file
    resolverd: ResolverdSettings
    tls_contexts: tuple[TlsContext, ...] = ()
    lists: tuple[bytes, ...] = ()  # of patterns, by number: proxy/lists/layout.pxd
    references: tuple[Reference, ...] = ()  # what the lists are of, by id
    variables: tuple[int, ...] = ()  # of sessions, by number: how narrow their scope is
    shared: SharedVariables = SharedVariables()
    tables: tuple[TableShape, ...] = ()  # of `stick-table` lines, by their number
    named: tuple[int, ...] = ()  # slots of servers that rules, conditions or formats name

    @property
    def frontends(self) -> tuple[Proxy, ...]:
        """The proxies that accept clients or serve statistics, by frontend index."""
        return tuple(p for p in self.proxies if p.frontend_index is not None)

    @property
    def backends(self) -> tuple[Proxy, ...]:
        """The proxies that hold servers, by backend index."""
        return tuple(p for p in self.proxies if p.backend_index is not None)

    @property
    def binds(self) -> tuple[Bind, ...]:
        """All bind addresses, by index."""
        return tuple(bind for proxy in self.frontends for bind in proxy.binds)

    @property
    def rules(self) -> tuple[tuple[Proxy, Rule], ...]:
        """All rules of connections with their sections, by number."""
        return tuple(
            (proxy, rule)
            for proxy in self.proxies
            if proxy.rules is not None
            for stage in proxy.rules.stages.values()
            for rule in stage
        )

    def full_connections(self, process_maxconn: int) -> tuple[int, ...]:
        """`fullconn` by backend index; without one a tenth of its frontends' maxconn: HAProxy's.

        `process_maxconn` is the limit of a frontend without `maxconn`.
        """
        let_in: dict[int, int] = {}
        for proxy in self.frontends:
            if proxy.default_backend is not None:
                limit = proxy.maxconn or process_maxconn
                let_in[proxy.default_backend] = let_in.get(proxy.default_backend, 0) + limit
        return tuple(
            proxy.fullconn or max(1, (let_in.get(index, 0) + 9) // 10)
            for index, proxy in enumerate(self.backends)
        )
