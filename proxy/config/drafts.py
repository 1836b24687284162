"""Sections while they are read, references by name; what each inherits from its `defaults`."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from proxy.config.check_drafts import RulesDraft
from proxy.config.http_drafts import HttpDraft
from proxy.config.model.checks import (
    CheckRules,
    ExternalCheck,
    HttpCheck,
    HttpStep,
    ProgramRights,
    Step,
    TcpCheck,
)
from proxy.config.model.rules import SharedSetting
from proxy.config.model.settings import (
    RANDOM_DRAWS_DEFAULT,
    RETRIES_DEFAULT,
    SPARE_BACKENDS_DEFAULT,
    Balance,
    Endpoint,
    KeepAlive,
    LogTarget,
    Origin,
    Source,
    StatsSocket,
)
from proxy.config.model.tls import PLAIN_TLS, TlsWords
from proxy.config.rule_drafts import ConnectionRulesDraft, TableDraft
from proxy.config.server_drafts import ServerDraft, ServerOptions, ServerTemplate
from resolverd.config import PAYLOAD_DEFAULT, Family, Nameserver, TtlPeriod
from resolverd.resolv_conf.file import NDOTS_DEFAULT, ResolvConf


class ProxyKind(enum.Enum):
    """The four sections that share the proxy words."""

    DEFAULTS = "defaults"
    FRONTEND = "frontend"
    BACKEND = "backend"
    LISTEN = "listen"

    @property
    def accepts(self) -> bool:
        """Whether the section has a frontend."""
        return self is not ProxyKind.BACKEND

    @property
    def serves(self) -> bool:
        """Whether the section has a backend."""
        return self is not ProxyKind.FRONTEND


class Side(enum.Enum):
    """Half of a proxy: its clients or its servers."""

    FRONT = "frontend"
    BACK = "backend"
    BOTH = "any"

    def fits(self, kind: ProxyKind) -> bool:
        """Whether a section of this kind, or one that inherits from it, has this half."""
        if self is Side.FRONT:
            return kind.accepts
        return self is Side.BOTH or kind.serves


class GlobalDraft(msgspec.Struct):
    """All `global` sections together; the fields are those of model.Global."""

    nbthread: int = 0
    maxconn: int = 0
    connection_rate: int = 0
    session_rate: int = 0
    ulimit_n: int | None = None
    pipes_max: int = 0
    fd_hard_limit: int | None = None
    strict_limits: bool = True
    uid: int | None = None
    gid: int | None = None
    chroot: str | None = None
    pidfile: str | None = None
    daemon: bool = False
    master_worker: bool = False
    hard_stop_after_ms: int | None = None
    grace_ms: int | None = None
    spare_backends: int = SPARE_BACKENDS_DEFAULT
    spare_servers: int | None = None
    stats_sockets: list[StatsSocket] = []
    stats_timeout_ms: int = 10_000
    logs: list[LogTarget] = []
    log_tag: str = "haproxy"
    log_host: str | None = None
    node: str = ""
    description: str | None = None
    product_name: str = ""  # as `show info` tells it
    reloads_max: int | None = None  # `mworker-max-reloads`
    spread_checks_percent: int = 0
    max_spread_checks_ms: int | None = None
    checks_never_local: bool = False  # `pp2-never-send-local`
    quiet: bool = False
    zero_warning: bool = False
    programs: ProgramRights = ProgramRights()
    variable_bytes: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    shared_settings: tuple[SharedSetting, ...] = ()
    server_state_file: str | None = None  # as written
    server_state_base: str | None = None  # as written
    splice: bool = True  # `nosplice` of the whole process
    accept_families: tuple[Family, ...] | None = None  # None: ask the host (auto)
    tls: TlsWords = PLAIN_TLS  # of servers whose lines say nothing
    key_beside: bool = True  # a certificate's key may be in a file of its own
    key_replaces_suffix: bool = False  # the name of that file: x.key, else x.crt.key
    tls_refused: list[tuple[str, Origin]] = []  # words that no check over TLS can honour


class ResolversDraft(msgspec.Struct):
    """One `resolvers` section."""

    name: str
    origin: Origin
    nameservers: list[tuple[Nameserver, Origin]] = []
    accepted_payload_size: int = PAYLOAD_DEFAULT
    resolve_retries: int = 3
    timeout_resolve_ms: int = 1_000
    ttl_period: TtlPeriod | None = None
    timeout_retry_ms: int = 1_000
    holds: dict[str, int] = {}  # field of resolverd.config.Holds -> milliseconds
    resolv_conf: ResolvConf | None = None  # `parse-resolv-conf`: the content of the file
    resolv_conf_path: str = ""
    followed: frozenset[str] = frozenset()  # names of the nameservers from the file
    search: tuple[str, ...] | None = None  # of its own lines, instead of the file's
    ndots: int | None = None

    @property
    def domains(self) -> tuple[str, ...]:
        """The search list in force."""
        if self.search is not None:
            return self.search
        return self.resolv_conf.search if self.resolv_conf else ()

    @property
    def dots_wanted(self) -> int:
        """The `ndots` in force."""
        if self.ndots is not None:
            return self.ndots
        return self.resolv_conf.ndots if self.resolv_conf else NDOTS_DEFAULT


class BindOptions(msgspec.Struct):
    """The options after the addresses of a `bind` line."""

    name: str | None = None
    id: int | None = None
    backlog: int | None = None
    maxconn: int = 0
    v6only: bool = False
    v4v6: bool = False
    unix_mode: int | None = None
    unix_user: int | None = None
    unix_group: int | None = None
    interface: str | None = None
    mss: int = 0
    user_timeout_ms: int = 0
    fast_open: bool = False
    defer_accept: bool = False
    transparent: bool = False
    level: str = "operator"  # stats sockets only
    exposes: bool = False  # likewise: `expose-fd listeners`
    accept_proxy: bool = False


class BindDraft(msgspec.Struct):
    """One address of a `bind` line."""

    endpoint: Endpoint
    origin: Origin
    options: BindOptions


class LogFormatDraft(msgspec.Struct, frozen=True):
    """`log-format`, or `option tcplog` for the usual one; parsed for sections that log."""

    text: str
    origin: Origin
    environment: Mapping[str, str] = {}
    folder: str = ""  # where the paths of maps begin


class ServerStateSource(enum.Enum):
    """`load-server-state-from-file`: the file with the servers' last state."""

    GLOBAL = "global"
    LOCAL = "local"
    NONE = "none"


class HttpWord(msgspec.Struct, frozen=True):
    """A word that needs mode http; HAProxy warns of it in TCP sections that have its `side`."""

    label: str
    origin: Origin
    warning: str  # HAProxy's, or ""
    side: Side = Side.BOTH


class ProxyDraft(msgspec.Struct):
    """One proxy section, or a `defaults` section from which others inherit."""

    name: str
    kind: ProxyKind
    origin: Origin
    spare_of: str = ""  # of a spare backend: the `defaults` section that it has its settings from
    id: int | None = None
    id_origin: Origin | None = None
    mode: str = "tcp"
    mode_origin: Origin | None = None
    binds: list[BindDraft] = []
    has_bind_line: bool = False  # right or wrong
    servers: list[ServerDraft] = []
    server_defaults: ServerOptions = msgspec.field(default_factory=ServerOptions)
    server_templates: dict[str, ServerTemplate] = {}
    default_backend: str | None = None
    default_backend_origin: Origin | None = None
    switched_backend: str | None = None  # of a first `use_backend` without a condition
    switched_backend_origin: Origin | None = None
    rules: ConnectionRulesDraft = ConnectionRulesDraft()
    answer_captures: int = 0  # by `declare capture response`: nothing gets into them
    captures: int = 0  # of clients' bytes, by `declare capture` and `tcp-request content capture`
    table: TableDraft | None = None
    balance: Balance = Balance.ROUNDROBIN
    random_draws: int = RANDOM_DRAWS_DEFAULT
    hash_consistent: bool = False
    hash_avalanche: bool = False
    hash_function: str = "sdbm"
    hash_balance_factor: int = 0
    timeouts: dict[str, int] = {}  # field of model.Timeouts -> milliseconds
    own_timeouts: set[str] = set()  # given in this very section
    maxconn: int = 0
    session_rate: int = 0
    fullconn: int = 0
    backlog: int | None = None
    retries: int = RETRIES_DEFAULT
    retry_connects: bool = True  # `retry-on` without `conn-failure`: no retries at all
    redispatch: int = 0
    splice: bool = True
    allbackups: bool = False
    client_keepalive: bool = False
    server_keepalive: bool = False
    client_probes: KeepAlive = KeepAlive()
    server_probes: KeepAlive = KeepAlive()
    source: Source | None = None
    abortonclose: bool = False
    persist: bool = False
    nolinger: bool = False
    disabled: bool = False
    description: str | None = None
    http_words: list[HttpWord] = []  # the first of each label
    http: HttpDraft = msgspec.field(default_factory=HttpDraft)
    logs: list[LogTarget] = []
    log_global: bool = False  # `log global`: the targets of the global section too
    log_format: LogFormatDraft | None = None
    log_formats: Mapping[str, LogFormatDraft] = {}  # the other ones, by their word
    log_tag: str | None = None
    log_skip_null: bool = False
    log_skip_normal: bool = False
    log_separate_errors: bool = False
    log_as_soon: bool = False
    server_state: ServerStateSource = ServerStateSource.NONE
    server_state_name: str | None = None  # None: the section's own name
    check_option: CheckRules | None = None  # of the last option; words of three of them are below
    external_check: ExternalCheck = ExternalCheck()
    external_origin: Origin | None = None  # of the last of its words and its option
    tcp_check: RulesDraft[Step] = msgspec.field(default_factory=RulesDraft)
    http_check: RulesDraft[HttpStep] = msgspec.field(default_factory=RulesDraft)
    disable_on_404: bool = False
    send_state: bool = False
    own_http_words: tuple[str, ...] = ()  # the two before, where the section says so itself
    log_health_checks: bool = False
    email_alert: dict[str, str] = {}  # word -> value; each line makes another

    @property
    def check_rules(self) -> CheckRules | None:
        """What health checks say; None: they only connect."""
        option = self.check_option
        if isinstance(option, ExternalCheck):
            return self.external_check
        if isinstance(option, TcpCheck):
            return TcpCheck(tuple(self.tcp_check.steps))
        if isinstance(option, HttpCheck):
            return option.joined(
                self.http_check.steps,
                disable_on_404=self.disable_on_404,
                send_state=self.send_state,
            )
        return option

    @property
    def switches(self) -> bool:
        """Whether it has a `use_backend` line."""
        return self.switched_backend is not None or bool(self.rules.backends)

    @property
    def title(self) -> str:
        """The section in messages: `listen 'edge'`."""
        return f"{self.kind.value} '{self.name}'"


def inherit(defaults: ProxyDraft, name: str, kind: ProxyKind, origin: Origin) -> ProxyDraft:
    """A new section with what its `defaults` say: as in HAProxy, rules only with their option."""
    return msgspec.structs.replace(
        defaults,
        name=name,
        kind=kind,
        origin=origin,
        timeouts=dict(defaults.timeouts),
        own_timeouts=set(),
        mode_origin=None,
        http_words=list(defaults.http_words),
        http=defaults.http.inherited(),
        logs=list(defaults.logs),
        binds=[],
        servers=[],
        server_templates=dict(defaults.server_templates),
        tcp_check=defaults.tcp_check.inherited(isinstance(defaults.check_option, TcpCheck)),
        own_http_words=(),
        http_check=defaults.http_check.inherited(isinstance(defaults.check_option, HttpCheck)),
        id=None,
        description=None,
    )
