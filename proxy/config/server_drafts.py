"""Servers while they are read, references by name; what their lines have from others."""

from __future__ import annotations

import msgspec

from proxy.config.model.settings import (
    ERROR_LIMIT_DEFAULT,
    PLAIN_BALANCING,
    PLAIN_CONNECTING,
    PLAIN_QUEUEING,
    PLAIN_STOPPING,
    Agent,
    Balancing,
    Check,
    Connecting,
    InitState,
    Origin,
    Queueing,
    Stopping,
)
from proxy.config.model.tls import PLAIN_TLS, TlsWords
from proxy.config.text.addresses import WrittenAddress
from resolverd.config import Family


class ServerOptions(msgspec.Struct):
    """The options of a `server` line, or of `default-server` before it.

    Its parts are those of model.Server. What a part has beside the words of its line is added when
    sections are linked: the PROXY headers, `timeout check`.
    """

    connecting: Connecting = PLAIN_CONNECTING
    queueing: Queueing = PLAIN_QUEUEING
    balancing: Balancing = PLAIN_BALANCING
    checking: Check = Check(error_limit=ERROR_LIMIT_DEFAULT)
    stopping: Stopping = PLAIN_STOPPING
    check: bool = False
    asking: Agent = Agent()
    agent_check: bool = False
    observe: bool = False
    send_proxy: bool = False
    send_proxy_v2: bool = False  # takes precedence over `send_proxy`
    proxy_v2_fields: frozenset[str] = frozenset()
    check_send_proxy: bool = False
    check_ssl: bool = False
    tls: TlsWords = PLAIN_TLS
    disabled: bool = False
    resolvers: str | None = None
    resolve_prefer: Family = Family.IPV6
    resolve_networks: tuple[str, ...] = ()
    allow_dup_ip: bool = False
    ignore_weight: bool = False
    srv_priority: bool = False
    rfc_weight: bool = False
    all_families: bool = False
    search: bool = False
    init_addr: tuple[str, ...] | None = None
    init_state: InitState = InitState.UP
    track: str | None = None  # as written
    cookie: bool = False  # warned of once the mode is known
    id: int | None = None

    def copy(self) -> ServerOptions:
        """A copy, to be changed independently."""
        return msgspec.structs.replace(self)


class ServerTemplate(msgspec.Struct, frozen=True):
    """`default-server name <template>`: the options of servers with `from <template>`."""

    words: tuple[str, ...]
    options: ServerOptions


class ServerDraft(msgspec.Struct):
    """One server; a server-template makes one for each of its numbers."""

    name: str
    origin: Origin
    address: WrittenAddress
    port: int
    port_relative: bool
    options: ServerOptions
