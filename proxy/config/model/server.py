"""Settings of servers: what their lines say, by concern.

Owns what each server has; import it from settings.py. An option of a server is a field of the part
that it concerns: how connections to it are made (`Connecting`), how many sessions it takes
(`Queueing`), which of them it gets (`Balancing`), how it is checked (`Check`, `Agent`), what ends
its sessions beside client and server (`Stopping`). The drafts of server lines hold the same parts.
"""

from __future__ import annotations

import enum

import msgspec

from proxy.config.model.sockets import Endpoint, Origin, Source
from proxy.config.model.tls import CheckTls
from resolverd.config import ResolutionSettings

SERVER_WEIGHT_DEFAULT = 1
LOCAL_PLACE = "0.0.0.0"  # in the slot of a server on a Unix socket: an address of no server
SERVER_WEIGHT_MAX = 256
CHECK_INTER_MS = 2_000
CHECK_RISE = 2
CHECK_FALL = 3
ERROR_LIMIT_DEFAULT = 10
MAXCONN_NONE = 0  # no limit of its own


class ProxyHeader(enum.Enum):
    """The PROXY header of connections to a server, with the client's address."""

    NONE = "none"
    V1 = "send-proxy"
    V2 = "send-proxy-v2"
    V2_CHECKSUM = "send-proxy-v2 proxy-v2-options crc32c"
    V2_TLS = "send-proxy-v2 proxy-v2-options ssl"  # it says that there is no TLS
    V2_TLS_CHECKSUM = "send-proxy-v2 proxy-v2-options ssl,crc32c"


class Connecting(msgspec.Struct, frozen=True):
    """How connections to a server are made."""

    proxy_header: ProxyHeader = ProxyHeader.NONE
    user_timeout_ms: int = 0  # tcp-ut; 0: none
    fast_open: bool = False
    source: Source | None = None  # None: the backend's
    header_authority: bool = False  # the header tells the name that the client's own had
    header_unique_id: bool = False  # and the unique id of the session


class Queueing(msgspec.Struct, frozen=True):
    """How many sessions a server has, and how many wait for it."""

    maxconn: int = MAXCONN_NONE
    minconn: int = 0  # below maxconn: the limit moves between them; 0: it does not
    maxqueue: int = 0  # 0: no limit


class Balancing(msgspec.Struct, frozen=True):
    """Which of its backend's sessions a server gets."""

    weight: int = SERVER_WEIGHT_DEFAULT
    slowstart_ms: int = 0  # for which its weight grows after it came back; 0: none
    backup: bool = False
    non_stick: bool = False  # no entry of a stick table is made to name it


class Stopping(msgspec.Struct, frozen=True):
    """What ends sessions beside their clients and servers."""

    when_down: bool = False  # `on-marked-down shutdown-sessions`
    of_backups_when_up: bool = False  # `on-marked-up shutdown-backup-sessions`
    removed_drain_ms: int | None = None  # `on-removed drain`; 0: `shutdown`, None: `keep`

    @property
    def ends_sessions(self) -> bool:
        """Whether a change of the server may end sessions."""
        return self.when_down or self.of_backups_when_up or self.removed_drain_ms is not None


# The parts of servers whose lines say nothing of them: one object each, in drafts, too, because
# what `is` its default is not sent through a pipe, and shared by all servers on its other side.
PLAIN_CONNECTING = Connecting()
PLAIN_QUEUEING = Queueing()
PLAIN_BALANCING = Balancing()
PLAIN_STOPPING = Stopping()


class OnError(enum.StrEnum):
    """`on-error`: the effect of `error-limit` consecutive errors of sessions (manual 5.2).

    Plain strings for the same reason as InitAddr.
    """

    FASTINTER = "fastinter"
    FAIL_CHECK = "fail-check"
    SUDDEN_DEATH = "sudden-death"
    MARK_DOWN = "mark-down"


class Check(msgspec.Struct, frozen=True):
    """The checks of one server (manual section 5.2, `check`)."""

    inter_ms: int = CHECK_INTER_MS
    fastinter_ms: int | None = None  # None: inter
    downinter_ms: int | None = None  # None: inter
    rise: int = CHECK_RISE
    fall: int = CHECK_FALL
    port: int | None = None  # None: the server's own
    address: str | None = None  # numeric; None: the server's own
    address_port: int | None = None  # behind the address, in force without `port`
    timeout_check_ms: int | None = None  # timeout check; None: inter bounds the whole check
    error_limit: int = 0  # `observe layer4`: errors of sessions in a row; 0: not observed
    on_error: OnError = OnError.FAIL_CHECK
    proxy_header: ProxyHeader = ProxyHeader.NONE  # what each check sends
    tls: CheckTls | None = None  # None: no connection of its checks is encrypted

    @property
    def own_port(self) -> int | None:
        """The port that is not the server's; None without one."""
        return self.port or self.address_port


class Agent(msgspec.Struct, frozen=True):
    """The agent that is asked about one server (manual section 5.2, `agent-check`)."""

    port: int = 0
    address: str | None = None  # numeric; None: the server's own
    inter_ms: int | None = None  # None only in drafts: that of the checks
    send: bytes = b""  # sent before its line is read
    timeout_check_ms: int | None = None  # timeout check; None: inter bounds the whole check


class InitAddr(enum.StrEnum):
    """One method of `init-addr`; `Server.init_addr` may also have an address.

    Settings that were sent as bytes have plain strings: compare with ==, not with `is`.
    """

    LAST = "last"
    LIBC = "libc"
    NONE = "none"


class InitState(enum.StrEnum):
    """`init-state`: the state of a server with a new address, and the checks that change it.

    Plain strings for the same reason as InitAddr.
    """

    UP = "up"
    DOWN = "down"
    FULLY_UP = "fully-up"
    FULLY_DOWN = "fully-down"


class Server(msgspec.Struct, frozen=True, omit_defaults=True):
    """One server of a backend; a server-template makes several.

    `host` is the text of the file: a numeric address (then `address` is the same), a host name
    (then `fqdn` is its normal form) or an SRV label (then `srv_record` is the same, `fqdn` is None,
    and `port` is used until there is a record).
    The slot of a server on a Unix socket (`local`) has LOCAL_PLACE and no port, which makes it
    eligible.
    `resolution_index` is the row of its resolution in `Settings.resolverd`, None without
    `resolvers`; one that was added at run time has no row, and says in `resolution` what resolverd
    has to know. `port_relative`: the port was written as +N or -N, and is added to the client's
    destination port.
    """

    slot: int
    backend_index: int
    id: int
    name: str
    host: str
    port: int
    origin: Origin
    address: str | None = None
    port_relative: bool = False
    local: Endpoint | None = None  # its Unix socket
    fqdn: str | None = None
    connecting: Connecting = PLAIN_CONNECTING
    queueing: Queueing = PLAIN_QUEUEING
    balancing: Balancing = PLAIN_BALANCING
    check: Check | None = None
    agent: Agent | None = None
    stopping: Stopping = PLAIN_STOPPING
    disabled: bool = False
    id_given: bool = False  # `id` was written, not counted
    resolvers: str | None = None
    resolution_index: int | None = None
    init_addr: tuple[str, ...] = (InitAddr.LAST, InitAddr.LIBC)
    srv_record: str | None = None
    init_state: InitState = InitState.UP
    track: str | None = None  # "backend/server" that it tracks
    tracked_slot: int | None = None  # of that server
    added: int = 0  # the change that added it at run time (shm/members.pxd); 0: the file
    line: str = ""  # of such a one what the order said behind its name
    enabled: bool = False  # likewise: its words let it begin without maintenance
    resolution: ResolutionSettings | None = None  # likewise, with `resolvers`

    @property
    def watched(self) -> bool:
        """Whether a worker finds out how it is, by checks or from an agent."""
        return self.check is not None or self.agent is not None

    @property
    def resolvable(self) -> bool:
        """Whether its address comes from a name, or the operator may order one."""
        by_address = self.address is not None and self.local is None
        if self.resolution_index is not None or self.resolution is not None:
            return True
        return by_address and self.resolvers is not None

    @property
    def asked_for(self) -> bool:
        """Whether the name in its line is asked for while the program runs."""
        if self.resolution is not None:
            return bool(self.resolution.name)
        return self.resolution_index is not None
