"""The options of a server line: the table, and the handler of each (manual section 5.2).

Owns values and limits. Knows no name and no address of a server.
"""

from __future__ import annotations

from proxy.config.lines.handlers import flag, number, store, text, time
from proxy.config.lines.server.resolution import RESOLUTION_OPTIONS
from proxy.config.lines.server.tls import PROXY_V2_TLS, TLS_ALONE, TLS_OPTIONS
from proxy.config.lines.shapes import NUMBER, TIME, one_of
from proxy.config.lines.sockets import user_timeout
from proxy.config.lines.source import server_source, source_argument_count
from proxy.config.lines.table import (
    Handler,
    Statement,
    Table,
    later,
    unsupported,
    without_effect,
    works,
)
from proxy.config.model.settings import SERVER_WEIGHT_MAX, OnError
from proxy.config.server_drafts import ServerOptions
from proxy.config.text.addresses import PORT_MAX, WrittenAddress, parse_address, parse_port, resolve
from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms

ID_MAX = 2_147_483_647
RISE_FALL_MAX = 32_767  # a health, below rise + fall, has 16 bits in its record
ERROR_LIMIT_MAX = 2_147_483_647
CONNECTIONS_MAX = 2_147_483_647

_PROXY_V2 = ("crc32c", "authority", "unique-id")

Options = Table[ServerOptions]


def _interval(field: str) -> Handler[ServerOptions]:
    def handle(statement: Statement, options: ServerOptions) -> None:
        value = parse_time_ms(statement.one("a time"), statement.warn)
        if value == 0:
            raise ConfigError(f"'{statement.keyword}' must be greater than 0")
        store(options, field, value)

    return handle


def _check_port(statement: Statement, options: ServerOptions) -> None:
    """`port` of checks; 0 is the server's own port, as in HAProxy."""
    store(options, "checking.port", statement.number(0, PORT_MAX) or None)


def _address(statement: Statement, options: ServerOptions) -> None:
    """`addr <address>[:<port>]`; the port is in force where the line has no `port`."""
    address, number = _elsewhere(statement)
    port = parse_port(address.port_text, address.text) if address.port_text else 0
    store(options, "checking.address", number)
    store(options, "checking.address_port", port or None)


def _agent_address(statement: Statement, options: ServerOptions) -> None:
    address, number = _elsewhere(statement)
    if address.port_text:
        raise ConfigError(f"'agent-addr' takes no port: write 'agent-port {address.port_text}'")
    store(options, "asking.address", number)


def _elsewhere(statement: Statement) -> tuple[WrittenAddress, str]:
    """An address that is not the server's own, and its number; a name is resolved here, once."""
    what = "an IP address or a host name"
    address = parse_address(statement.one(what), statement.context.environment)
    if address.local is not None or address.wildcard:
        raise ConfigError(f"'{statement.keyword}' expects {what}, not '{address.text}'")
    return address, resolve(address, statement.context.resolve_host)[1]


def _agent_send(statement: Statement, options: ServerOptions) -> None:
    sent = statement.one("a string")
    if not sent:
        raise ConfigError("'agent-send' expects a string")
    store(options, "asking.send", sent.encode())


def _marked_down(statement: Statement, options: ServerOptions) -> None:
    statement.at_most(1)
    action = statement.words[1] if statement.arguments else ""
    if action != "shutdown-sessions":
        raise ConfigError(f"'on-marked-down' expects 'shutdown-sessions' but got '{action}'")
    store(options, "stopping.when_down", True)


def _observe(statement: Statement, options: ServerOptions) -> None:
    mode = statement.words[1] if statement.arguments else ""
    if not mode:
        raise ConfigError("'observe' expects <mode> as argument")
    if mode == "layer7":  # HAProxy warns and continues without it
        statement.notice("'observe layer7' has no effect here: it needs mode http")
        mode = "none"
    if mode not in ("none", "layer4"):
        raise ConfigError(f"'observe' expects one of 'none', 'layer4' but got '{mode}'")
    options.observe = mode == "layer4"


def _on_error(statement: Statement, options: ServerOptions) -> None:
    mode = statement.words[1] if statement.arguments else ""
    if mode not in {each.value for each in OnError}:
        known = ", ".join(f"'{each.value}'" for each in OnError)
        raise ConfigError(f"'on-error' expects one of {known} but got '{mode}'")
    store(options, "checking.on_error", OnError(mode))


def _marked_up(statement: Statement, options: ServerOptions) -> None:
    action = statement.words[1] if statement.arguments else ""
    if action != "shutdown-backup-sessions":
        raise ConfigError(f"'on-marked-up' expects 'shutdown-backup-sessions' but got '{action}'")
    store(options, "stopping.of_backups_when_up", True)


def _removed(statement: Statement, options: ServerOptions) -> None:
    """`on-removed`: the end of sessions to an address that DNS has taken from the server."""
    expected = "'on-removed' expects 'keep', 'drain <time>' or 'shutdown'"
    action, *times = statement.arguments or ("",)
    if action == "drain":
        if not times:
            raise ConfigError(f"{expected}: 'drain' without a time")
        drain_ms = parse_time_ms(times[0], statement.warn)
        if drain_ms == 0:
            raise ConfigError("'on-removed drain' must be greater than 0: 'shutdown' is at once")
        store(options, "stopping.removed_drain_ms", drain_ms)
    elif action in ("keep", "shutdown"):
        store(options, "stopping.removed_drain_ms", None if action == "keep" else 0)
    else:
        raise ConfigError(f"{expected}, not '{action}'")


def _proxy_v2_options(statement: Statement, options: ServerOptions) -> None:
    """`proxy-v2-options`: the fields of a version 2 header beside the addresses."""
    names = "".join(statement.arguments[:1]).split(",")
    for name in names:
        if name not in PROXY_V2_TLS and name not in _PROXY_V2:
            raise ConfigError(f"'{name}' : proxy v2 option not implemented")
    statement.one("a list of options")
    implied = {"ssl"} if PROXY_V2_TLS.intersection(names) else set()
    options.proxy_v2_fields = options.proxy_v2_fields.union(names, implied)


def _cookie(statement: Statement, options: ServerOptions) -> None:
    statement.one("a value")
    options.cookie = True


SERVER_OPTIONS: Options = {
    **RESOLUTION_OPTIONS,
    **TLS_OPTIONS,
    "check": works(flag("check")),
    "no-check": works(flag("check", False)),
    "inter": works(_interval("checking.inter_ms")),
    "fastinter": works(_interval("checking.fastinter_ms")),
    "downinter": works(_interval("checking.downinter_ms")),
    "agent-check": works(flag("agent_check")),
    "no-agent-check": works(flag("agent_check", False)),
    "agent-port": works(number("asking.port", 0, PORT_MAX)),
    "agent-addr": works(_agent_address),
    "agent-inter": works(_interval("asking.inter_ms")),
    "agent-send": works(_agent_send),
    "rise": works(number("checking.rise", 1, RISE_FALL_MAX)),
    "fall": works(number("checking.fall", 1, RISE_FALL_MAX)),
    "port": works(_check_port),
    "addr": works(_address),
    "weight": works(number("balancing.weight", 0, SERVER_WEIGHT_MAX)),
    "maxconn": works(number("queueing.maxconn", 0, CONNECTIONS_MAX)),
    "minconn": works(number("queueing.minconn", 0, CONNECTIONS_MAX)),
    "maxqueue": works(number("queueing.maxqueue", 0, CONNECTIONS_MAX)),
    "slowstart": works(time("balancing.slowstart_ms")),
    "send-proxy": works(flag("send_proxy")),
    "no-send-proxy": works(flag("send_proxy", False)),
    "send-proxy-v2": works(flag("send_proxy_v2")),
    "no-send-proxy-v2": works(flag("send_proxy_v2", False)),
    "proxy-v2-options": works(_proxy_v2_options),
    "check-send-proxy": works(flag("check_send_proxy")),
    "no-check-send-proxy": works(flag("check_send_proxy", False)),
    "backup": works(flag("balancing.backup")),
    "no-backup": works(flag("balancing.backup", False)),
    "disabled": works(flag("disabled")),
    "enabled": works(flag("disabled", False)),
    "on-marked-down": works(_marked_down),
    "observe": works(_observe),
    "error-limit": works(number("checking.error_limit", 1, ERROR_LIMIT_MAX)),
    "on-error": works(_on_error),
    "on-marked-up": works(_marked_up),
    "on-removed": works(_removed),
    "id": works(number("id", 1, ID_MAX)),
    "cookie": works(_cookie),
    "non-stick": works(flag("balancing.non_stick")),
    "stick": works(flag("balancing.non_stick", False)),
    "ws": without_effect("Millrace forwards TCP as it is", shape=one_of("auto", "h1", "h2")),
    "log-proto": without_effect("servers take no logs", shape=one_of("legacy", "octet-count")),
    "pool-max-conn": without_effect("idle connections to servers are not kept", shape=NUMBER),
    "pool-low-conn": without_effect("idle connections to servers are not kept", shape=NUMBER),
    "pool-purge-delay": without_effect("idle connections to servers are not kept", shape=TIME),
    "max-reuse": without_effect("connections to servers are not reused", shape=NUMBER),
    "from": unsupported("write it right behind the address of a server, before other options"),
    "guid": later(),
    "tcp-ut": works(user_timeout("connecting.user_timeout_ms")),
    "tfo": works(flag("connecting.fast_open")),
    "no-tfo": works(flag("connecting.fast_open", False)),
    "source": works(server_source),
    "track": works(text("track", "[<proxy>/]<server>")),
    "redir": unsupported("it needs mode http, which Millrace does not forward"),
    "check-proto": unsupported(
        "remove it: checks speak HTTP/1 with 'option httpchk', and else what their option says"
    ),
    "check-via-socks4": unsupported("remove it"),
    "socks4": unsupported("remove it"),
    "proto": unsupported("Millrace forwards TCP as it is"),
    "namespace": unsupported("start one Millrace in each network namespace"),
    "set-proxy-v2-tlv-fmt": unsupported("remove it"),
    "shard": unsupported("it needs peers"),
    "tcp-md5sig": unsupported("remove it"),
}

_ALONE = frozenset(
    {
        *TLS_ALONE,
        *("check", "no-check", "backup", "no-backup"),
        *(
            "disabled",
            "enabled",
            "non-stick",
            "stick",
            "agent-check",
            "no-agent-check",
            "send-proxy",
        ),
        *("no-send-proxy", "send-proxy-v2", "no-send-proxy-v2", "check-send-proxy"),
        *("no-check-send-proxy", "tfo", "no-tfo", "check-via-socks4"),
    }
)


def argument_count(words: tuple[str, ...]) -> int:
    """The number of arguments of the first of these options."""
    if words[:2] == ("on-removed", "drain"):
        return 2
    if words[0] == "source":
        return source_argument_count(words)
    return 0 if words[0] in _ALONE else 1
