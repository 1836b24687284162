"""The half of a proxy to which each word belongs: frontend or backend.

Owns those lists. A word of the other half is ignored with HAProxy's warning (`server` is refused).
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, Side
from proxy.config.lines.table import Statement
from proxy.config.text.messages import ConfigError

_FRONT = {
    *("bind", "backlog", "default_backend", "maxconn", "monitor-uri", "monitor", "capture"),
    *("use_backend", "rate-limit"),
    *("clitcpka-cnt", "clitcpka-idle", "clitcpka-intvl"),
}
_BACK = {
    *("balance", "hash-type", "hash-balance-factor", "server", "default-server"),
    *("server-template", "retries", "retry-on", "cookie", "source"),
    *("srvtcpka-cnt", "srvtcpka-idle", "srvtcpka-intvl"),
    *("fullconn", "http-reuse", "http-send-name-header", "max-keep-alive-queue", "force-persist"),
    *("use-server", "stick"),
    *(
        "tcp-check",
        "http-check",
        "ignore-persist",
        "load-server-state-from-file",
        "server-state-file-name",
    ),
}
_REFUSED = {"server", "default-server", "server-template"}
_FRONT_OPTIONS = {
    *("accept-invalid-http-request", "accept-unsafe-violations-in-http-request"),
    *("http-ignore-probes", "http-use-proxy-header", "idle-close-on-response"),
    *("h1-case-adjust-bogus-client", "disable-h2-upgrade", "clitcpka", "contstats"),
    *("socket-stats", "tcp-smart-accept", "dontlognull", "dontlog-normal", "log-separate-errors"),
    *("logasap", "httplog", "httpslog"),
}
_BACK_OPTIONS = {
    *("accept-invalid-http-response", "accept-unsafe-violations-in-http-response", "checkcache"),
    *("http-pretend-keepalive", "h1-case-adjust-bogus-server", "redispatch", "srvtcpka"),
    *("allbackups", "tcp-smart-connect", "log-health-checks", "prefer-last-server"),
    *("abortonclose", "tcp-check", "httpchk", "mysql-check", "pgsql-check", "redis-check"),
    *("smtpchk", "ldap-check", "ssl-hello-chk", "spop-check", "transparent", "persist"),
}
_FRONT_TIMEOUTS = {"client", "client-fin"}
_BACK_TIMEOUTS = {"server", "server-fin", "connect", "tunnel", "check", "queue"}
# HAProxy accepts these on either side without a warning, and uses them where they apply.
_QUIET_OPTIONS = {"httplog", "httpslog"}
# What says how connections are logged: read in a backend, too, and of no use there.
_LOG_WORDS = {"log-format", "log-format-sd", "error-log-format"}
_LOG_OPTIONS = {"tcplog", "httplog", "httpslog"}


def _side(name: str, front: set[str], back: set[str]) -> Side:
    if name in front:
        return Side.FRONT
    return Side.BACK if name in back else Side.BOTH


def side_of_word(name: str) -> Side:
    """The side of a proxy word."""
    return _side(name, _FRONT, _BACK)


def side_of_option(name: str) -> Side:
    """The side of `option <name>`."""
    return _side(name, _FRONT_OPTIONS, _BACK_OPTIONS)


def word_fits(statement: Statement, draft: ProxyDraft) -> bool:
    """Whether the section has the half of the line's word; else adds a warning or raises."""
    name = statement.keyword
    side = side_of_word(name)
    if name in _LOG_WORDS:
        _warn_unlogged(statement, draft, f"'{name}'")
    if side.fits(draft.kind):
        return True
    if name in _REFUSED:
        because = f"because {draft.title} has no {side.value} capability"
        raise ConfigError(f"'{name}' not allowed {because}")
    return _ignore(statement, draft, f"'{name}' ignored", side)


def option_fits(statement: Statement, name: str, draft: ProxyDraft) -> bool:
    """The same for `option <name>`."""
    side = side_of_option(name)
    if name in _LOG_OPTIONS:
        _warn_unlogged(statement, draft, f"'option {name}'")
    if side.fits(draft.kind) or name in _QUIET_OPTIONS:
        return True
    return _ignore(statement, draft, f"'option {name}' ignored", side)


def timeout_fits(statement: Statement, name: str, draft: ProxyDraft) -> bool:
    """The same for `timeout <name>`."""
    side = _side(name, _FRONT_TIMEOUTS, _BACK_TIMEOUTS)
    return side.fits(draft.kind) or _ignore(
        statement, draft, f"'timeout {name}' will be ignored", side
    )


def _warn_unlogged(statement: Statement, draft: ProxyDraft, what: str) -> None:
    if not Side.FRONT.fits(draft.kind):
        statement.warn(f"{draft.title} : {what} directive is ignored in backends.")


def _ignore(statement: Statement, draft: ProxyDraft, what: str, side: Side) -> bool:
    statement.warn(f"{what} because {draft.title} has no {side.value} capability")
    return False
