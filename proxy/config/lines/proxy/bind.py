"""`bind` lines: addresses, port ranges and options (manual section 5.1).

Owns the options of a listening socket, which stats sockets share. Opens no socket.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.drafts import BindDraft, BindOptions, ProxyDraft
from proxy.config.lines.handlers import flag, number, text
from proxy.config.lines.shapes import NUMBER, ONE, RANGES, ArgumentShape, one_of
from proxy.config.lines.sockets import interface_name, user_timeout
from proxy.config.lines.table import (
    Statement,
    Table,
    Word,
    act,
    unsupported,
    without_effect,
    works,
)
from proxy.config.model.settings import Endpoint, SocketFamily
from proxy.config.text.addresses import check_path, parse_address, parse_port_range, resolve
from proxy.config.text.context import Context, find_group, find_user
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

BACKLOG_MAX = 2_147_483_647
MAXCONN_MAX = 2_147_483_647
ID_MAX = 2_147_483_647
OWNER_MAX = 4_294_967_294
MODE_MAX = 0o777
SHARDS = ArgumentShape(
    1, 1, form=r"[1-9][0-9]*|by-thread|by-group", expected="a number, 'by-thread' or 'by-group'"
)
MSS_MAX = 65_535  # bytes: no TCP segment is longer

Options = Table[BindOptions]


def parse_mode(statement: Statement) -> int:
    """The access bits of `mode 660`."""
    text = statement.one("an octal mode")
    try:
        mode = int(text, 8) if text.isdigit() and len(text) <= 6 else -1
    except ValueError:
        mode = -1
    if not 0 <= mode <= MODE_MAX:
        raise ConfigError(f"'mode' expects an octal mode such as 660, not '{text}'")
    return mode


def _mode(statement: Statement, options: BindOptions) -> None:
    options.unix_mode = parse_mode(statement)


def _user(statement: Statement, options: BindOptions) -> None:
    options.unix_user = find_user(statement.one("a user name"))


def _group(statement: Statement, options: BindOptions) -> None:
    options.unix_group = find_group(statement.one("a group name"))


def _level(statement: Statement, options: BindOptions) -> None:
    level = statement.one("user, operator or admin")
    if level not in ("user", "operator", "admin"):
        raise ConfigError(f"'level' knows user, operator and admin, not '{level}'")
    options.level = level


def _idle_level(statement: Statement, options: BindOptions) -> None:
    _level(statement, options)
    statement.notice("'level' has no effect here: clients of a 'bind' line give no commands")


def _interface(statement: Statement, options: BindOptions) -> None:
    options.interface = interface_name(statement)


def _mss(statement: Statement, options: BindOptions) -> None:
    options.mss = statement.number(-MSS_MAX, MSS_MAX, "a number of bytes")
    if options.mss == 0:
        raise ConfigError(f"'mss' expects an MSS with an absolute value between 1 and {MSS_MAX}")


def _expose(statement: Statement, options: BindOptions) -> None:
    what = statement.one("'listeners'")
    if what != "listeners":
        raise ConfigError(f"'expose-fd' knows only 'listeners', not '{what}'")
    options.exposes = True


def _idle_expose(statement: Statement, options: BindOptions) -> None:
    _expose(statement, options)
    statement.notice("'expose-fd' has no effect here: a 'stats socket' line gives the sockets")


_TLS: Word[BindOptions] = unsupported(
    "Millrace forwards TCP without opening it; pass TLS through, or terminate it behind or in front"
)
_TLS_OPTIONS: Options = dict.fromkeys(
    (
        *("ssl", "crt", "crt-list", "ca-file", "ca-verify-file", "verify", "alpn", "npn"),
        *("ciphers", "ciphersuites", "curves", "ecdhe", "crl-file", "no-sslv3", "no-tlsv10"),
        *("no-tlsv11", "no-tlsv12", "no-tlsv13", "no-tls-tickets", "ssl-min-ver", "ssl-max-ver"),
        *("force-sslv3", "force-tlsv10", "force-tlsv11", "force-tlsv12", "force-tlsv13"),
        *("strict-sni", "generate-certificates", "allow-0rtt", "tls-ticket-keys", "ocsp-update"),
        *("ca-ignore-err", "crt-ignore-err", "ca-sign-file", "prefer-client-ciphers", "sigalgs"),
    ),
    _TLS,
)

_NOT_LISTED = "stats sockets are not listed in the statistics"
_BOUNDED = "the control process bounds its connections itself"
STATS_SOCKET_OPTIONS: Options = {
    "mode": works(_mode),
    "user": works(_user),
    "group": works(_group),
    "uid": works(number("unix_user", 0, OWNER_MAX)),
    "gid": works(number("unix_group", 0, OWNER_MAX)),
    "level": works(_level),
    "expose-fd": works(_expose),
    "name": without_effect(_NOT_LISTED, shape=ONE),
    "id": without_effect(_NOT_LISTED, shape=NUMBER),
    "backlog": without_effect(_BOUNDED, shape=NUMBER),
    "maxconn": without_effect(_BOUNDED, shape=NUMBER),
    "process": without_effect("one process serves all stats sockets", shape=RANGES),
    "severity-output": without_effect(
        "answers carry no severity", shape=one_of("none", "number", "string")
    ),
    **_TLS_OPTIONS,
}

BIND_OPTIONS: Options = {
    **STATS_SOCKET_OPTIONS,
    "level": works(_idle_level),
    "expose-fd": works(_idle_expose),
    "name": works(text("name", "a name")),
    "id": works(number("id", 1, ID_MAX)),
    "backlog": works(number("backlog", 0, BACKLOG_MAX)),
    "maxconn": works(number("maxconn", 0, MAXCONN_MAX)),
    "v4v6": works(flag("v4v6")),
    "v6only": works(flag("v6only")),
    "nice": without_effect("all clients are served in the order of their arrival", shape=NUMBER),
    "process": without_effect("every worker accepts on every address", shape=RANGES),
    "thread": without_effect("every worker accepts on every address", shape=RANGES),
    "shards": without_effect("every worker has a socket of its own for each address", shape=SHARDS),
    "transparent": works(flag("transparent")),
    "tfo": works(flag("fast_open")),
    "defer-accept": works(flag("defer_accept")),
    "interface": works(_interface),
    "mss": works(_mss),
    "tcp-ut": works(user_timeout("user_timeout_ms")),
    "accept-proxy": works(flag("accept_proxy")),
    "accept-netscaler-cip": unsupported("use the PROXY protocol"),
    "namespace": unsupported("start one Millrace in each network namespace"),
    "proto": unsupported("Millrace forwards TCP as it is"),
    "tcp-md5sig": unsupported("remove it"),
    "cc": unsupported("set net.ipv4.tcp_congestion_control of the host"),
    "quic-cc-algo": unsupported("QUIC is not TCP"),
}

WITHOUT_ARGUMENT = frozenset(
    {
        *("v4v6", "v6only", "transparent", "tfo", "defer-accept", "accept-proxy", "ssl"),
        *("prefer-client-ciphers", "strict-sni", "generate-certificates", "allow-0rtt"),
    }
)


def read_bind_options(statement: Statement, described: str, table: Options) -> BindOptions:
    """Read `<keyword> [<value>]...`; `statement.words` hold nothing before the first keyword."""
    common = statement.context.unix_bind
    options = BindOptions(unix_mode=common.mode, unix_user=common.user, unix_group=common.group)
    words = statement.words
    while words:
        keyword = words[0]
        if keyword not in table:
            raise ConfigError(f"'{described}' : unknown keyword '{keyword}'{hint(keyword, table)}")
        size = 1 if keyword in WITHOUT_ARGUMENT else 2
        piece = Statement(statement.origin, words[:size], statement.context)
        try:
            act(piece, options, table, f"'{keyword}'", keyword)
        except ConfigError as error:
            raise ConfigError(f"'{described}' : {error}") from error
        words = words[size:]
    return options


def bind(statement: Statement, draft: ProxyDraft) -> None:
    """`bind [<address>]:<port>[-<end>][,...] [<keyword> ...]`."""
    if not statement.arguments:
        raise ConfigError("'bind' expects [<address>]:<port>[-<end>][, ...] or a socket path")
    draft.has_bind_line = True
    options = read_bind_options(statement.skip(2), f"bind {statement.words[1]}", BIND_OPTIONS)
    if options.v4v6 and options.v6only:
        raise ConfigError("'bind' : 'v4v6' and 'v6only' exclude each other")
    found = [
        BindDraft(endpoint, statement.origin, options)
        for text in statement.words[1].split(",")
        if text
        for endpoint in _endpoints(text, statement.context)
    ]
    draft.binds.extend(found)


def _endpoints(text: str, context: Context) -> Iterator[Endpoint]:
    address = parse_address(text, context.environment)
    text = address.text
    if address.transport == "udp":
        raise ConfigError(f"'bind' : '{text}' is UDP, which Millrace does not forward")
    if address.local is SocketFamily.UNIX:
        yield Endpoint(address.local, check_path(context.unix_bind.prefix + address.host))
        return
    if address.local is not None:
        yield Endpoint(address.local, address.host)
        return
    ports = parse_port_range(address.port_text, text)
    family, host = resolve(address, context.resolve_host)
    for port in ports:
        yield Endpoint(family, host, port)
