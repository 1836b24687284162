"""The words of defaults, frontend, backend and listen sections (manual section 4).

Owns the table, and the handlers of simple words. Lines of servers, bind addresses, options and HTTP
words have files of their own; others.py lists the words without effect.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.handlers import flag, number
from proxy.config.lines.http import HTTP_TIMEOUTS, HTTP_WORDS
from proxy.config.lines.log import OTHER_FORMATS, log_format, log_tag, other_format, proxy_log
from proxy.config.lines.proxy.actions.persistence import forcing, persist
from proxy.config.lines.proxy.balance import BALANCE_WORDS
from proxy.config.lines.proxy.bind import bind
from proxy.config.lines.proxy.check_options import EXTERNAL_WORD
from proxy.config.lines.proxy.email_alert import EMAIL_ALERT
from proxy.config.lines.proxy.http_check import http_check
from proxy.config.lines.proxy.http_request import REQUEST_WORDS
from proxy.config.lines.proxy.option import option
from proxy.config.lines.proxy.others import PROXY_OTHERS
from proxy.config.lines.proxy.stats import proxy_stats
from proxy.config.lines.proxy.switching import use_backend, use_server
from proxy.config.lines.proxy.tables.stick import stick
from proxy.config.lines.proxy.tables.stick_table import stick_table
from proxy.config.lines.proxy.tcp_check import tcp_check
from proxy.config.lines.proxy.tcp_rules import tcp_request, tcp_response
from proxy.config.lines.server.lines import default_server, server, server_template
from proxy.config.lines.shapes import AT_MOST_ONE, AT_MOST_TWO
from proxy.config.lines.sockets import KEEPALIVE_WORDS
from proxy.config.lines.source import proxy_source
from proxy.config.lines.state_files import load_server_state, server_state_file_name
from proxy.config.lines.table import (
    Handler,
    Statement,
    Table,
    act,
    act_on_second,
    removed,
    works,
)
from proxy.config.lines.wrong_side import timeout_fits, word_fits
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_number, parse_time_ms

MAXCONN_MAX = 2_147_483_647
BACKLOG_MAX = 2_147_483_647
RETRIES_MAX = 1_000_000
ID_MAX = 2_147_483_647


TIMEOUTS = (
    *("client", "client-fin", "server", "server-fin", "connect", "tunnel", "check", "queue"),
)
_RETRY_CONNECTS = frozenset({"conn-failure", "all-retryable-errors"})
_RETRY_ON = (
    *("none", "conn-failure", "empty-response", "junk-response", "response-timeout"),
    *("0rtt-rejected", "all-retryable-errors"),
)
_RETRY_STATUS = ("401", "403", "404", "408", "425", "429", "500", "501", "502", "503", "504")
NOT_IN_DEFAULTS = frozenset({"bind", "server", "server-template", "id", "description"})


def _mode(statement: Statement, draft: ProxyDraft) -> None:
    mode = statement.one("tcp, or http for a section that answers itself,")
    if mode == "health":
        raise ConfigError(
            "'mode health' does not exist any more: use 'mode http' and 'http-request return "
            "status 200'"
        )
    if mode not in ("tcp", "http"):
        raise ConfigError(
            f"unknown proxy mode '{mode}': write tcp, or http for a section that answers itself"
        )
    draft.mode = mode
    draft.mode_origin = statement.origin


def _default_backend(statement: Statement, draft: ProxyDraft) -> None:
    draft.default_backend = statement.one("the name of a backend")
    draft.default_backend_origin = statement.origin


def _retry_on(statement: Statement, draft: ProxyDraft) -> None:
    """`retry-on`: in mode tcp only a failed connect can be retried, all else needs mode http."""
    if not statement.arguments:
        raise ConfigError("'retry-on' expects at least one of " + ", ".join(_RETRY_ON))
    for word in statement.arguments:
        if word not in _RETRY_ON and word not in _RETRY_STATUS:
            known = (*_RETRY_ON, *_RETRY_STATUS)
            raise ConfigError(f"'retry-on': unknown keyword '{word}'{hint(word, known)}")
    if "none" in statement.arguments and len(statement.arguments) > 1:
        raise ConfigError("'retry-on' 'none' can only stand alone")
    draft.retry_connects = not _RETRY_CONNECTS.isdisjoint(statement.arguments)
    idle = [word for word in statement.arguments if word not in (*_RETRY_CONNECTS, "none")]
    if idle:
        statement.notice(f"'retry-on {' '.join(idle)}' has no effect here: it needs mode http")


def _rate_limit(statement: Statement, draft: ProxyDraft) -> None:
    what = statement.arguments[0] if statement.arguments else ""
    if what != "sessions":
        raise ConfigError(f"'rate-limit' only supports 'sessions' (got '{what}')")
    if len(statement.arguments) != 2:
        raise ConfigError("'rate-limit sessions' expects a number of sessions a second")
    try:
        draft.session_rate = parse_number(statement.words[2], 0, MAXCONN_MAX)
    except ConfigError as error:
        raise ConfigError(f"'rate-limit sessions' : {error}") from error


def _id(statement: Statement, draft: ProxyDraft) -> None:
    draft.id = statement.number(1, ID_MAX)
    draft.id_origin = statement.origin


def _description(statement: Statement, draft: ProxyDraft) -> None:
    text = " ".join(statement.arguments)
    if not text:
        raise ConfigError("'description' expects a text")
    draft.description = text


def _timeout(name: str) -> Handler[ProxyDraft]:
    field = f"{name.replace('-', '_')}_ms"

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        if not statement.arguments:
            raise ConfigError(f"'timeout {name}' expects a time")
        if len(statement.arguments) > 1:
            raise ConfigError(f"'timeout {name}' : unexpected argument '{statement.words[2]}'")
        try:
            value = parse_time_ms(statement.words[1], statement.warn)
        except ConfigError as error:
            raise ConfigError(f"'timeout {name}' : {error}") from error
        if not timeout_fits(statement, name, draft):
            return
        if field in draft.own_timeouts and draft.kind is not ProxyKind.DEFAULTS:
            statement.warn(f"overwriting 'timeout {name}' which was already specified")
        draft.own_timeouts.add(field)
        draft.timeouts[field] = value

    return handle


TIMEOUT_WORDS: Table[ProxyDraft] = {
    **{name: works(_timeout(name)) for name in TIMEOUTS},
    **HTTP_TIMEOUTS,
    "clitimeout": removed("use 'timeout client'"),
    "contimeout": removed("use 'timeout connect'"),
    "srvtimeout": removed("use 'timeout server'"),
}


def _timeout_line(statement: Statement, draft: ProxyDraft) -> None:
    act_on_second(
        statement, draft, TIMEOUT_WORDS, "a name (client, server, connect ...) and a time"
    )


PROXY_WORDS: Table[ProxyDraft] = {
    **HTTP_WORDS,
    **PROXY_OTHERS,
    **REQUEST_WORDS,
    "mode": works(_mode),
    "bind": works(bind),
    "server": works(server),
    "default-server": works(default_server),
    "server-template": works(server_template),
    **BALANCE_WORDS,
    **KEEPALIVE_WORDS,
    "source": works(proxy_source),
    "tcp-check": works(tcp_check),
    "http-check": works(http_check),
    "default_backend": works(_default_backend),
    "use_backend": works(use_backend),
    "use-server": works(use_server),
    "maxconn": works(number("maxconn", 0, MAXCONN_MAX)),
    "rate-limit": works(_rate_limit, shape=AT_MOST_TWO),
    "fullconn": works(number("fullconn", 0, MAXCONN_MAX)),
    "backlog": works(number("backlog", 0, BACKLOG_MAX)),
    "retry-on": works(_retry_on),
    "retries": works(number("retries", 0, RETRIES_MAX)),
    "id": works(_id),
    "option": works(option, negatable=True),
    "timeout": works(_timeout_line),
    "disabled": works(flag("disabled")),
    "enabled": works(flag("disabled", False)),
    "description": works(_description),
    "log": works(proxy_log, negatable=True),
    "log-format": works(log_format),
    **dict.fromkeys(OTHER_FORMATS, works(other_format)),
    "log-tag": works(log_tag, shape=AT_MOST_ONE),
    "stats": works(proxy_stats),
    "email-alert": EMAIL_ALERT,
    "external-check": EXTERNAL_WORD,
    "tcp-request": works(tcp_request),
    "tcp-response": works(tcp_response),
    "stick-table": works(stick_table),
    "stick": works(stick),
    "persist": works(persist),
    "force-persist": works(forcing),
    "ignore-persist": works(forcing),
    "load-server-state-from-file": works(load_server_state, shape=AT_MOST_ONE),
    "server-state-file-name": works(server_state_file_name),
}


def act_on_proxy_line(statement: Statement, draft: ProxyDraft) -> None:
    """Act on one line of a proxy section; ConfigError if the line is not acceptable."""
    keyword = statement.keyword
    if draft.kind is ProxyKind.DEFAULTS and keyword in NOT_IN_DEFAULTS:
        raise ConfigError(f"'{keyword}' not allowed in 'defaults' section")
    if word_fits(statement, draft):
        act(statement, draft, PROXY_WORDS, f"'{keyword}'", keyword)
