"""`option ...` of proxies, with `no` and `default` before it (manual section 4.2).

Owns the table of options. An option that is on or off sets one field of the draft.
"""

from __future__ import annotations

from msgspec.structs import replace

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.http import HTTP_LOG_OPTIONS, HTTP_OPTIONS
from proxy.config.lines.log import set_log_format, told_of_override
from proxy.config.lines.proxy.check_options import CHECK_OPTIONS
from proxy.config.lines.shapes import ALONE, AT_MOST_ONE
from proxy.config.lines.table import (
    Handler,
    Prefix,
    Statement,
    Table,
    Word,
    act,
    removed,
    unsupported,
    without_effect,
    works,
)
from proxy.config.lines.wrong_side import option_fits
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_number

REDISPATCH_MAX = 1_000_000
REDISPATCH_LAST = -1  # `option redispatch` without a number: the last retry only

_BUILT_IN = ProxyDraft("", ProxyKind.DEFAULTS, Origin())


def _switch(*fields: str) -> Handler[ProxyDraft]:
    """A handler for an option that is on or off."""

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        statement.at_most(0)
        for field in fields:
            value = statement.prefix is Prefix.NONE
            if statement.prefix is Prefix.DEFAULT:
                value = bool(getattr(_BUILT_IN, field))
            setattr(draft, field, value)

    return handle


def _redispatch(statement: Statement, draft: ProxyDraft) -> None:
    interval = REDISPATCH_LAST
    if statement.arguments:
        try:
            interval = parse_number(statement.arguments[0], -REDISPATCH_MAX, REDISPATCH_MAX)
        except ConfigError as error:
            raise ConfigError(f"'option redispatch' {error}") from error
    draft.redispatch = interval if statement.prefix is Prefix.NONE else 0


def _tcplog(statement: Statement, draft: ProxyDraft) -> None:
    """`option tcplog`: the usual format, which replaces the log of `defaults`."""
    statement.at_most(0)
    told_of_override(statement, draft, "option tcplog")
    set_log_format(statement, draft)


def _http_log(name: str) -> Word[ProxyDraft]:
    """`option httplog` and `httpslog`, which replace the log of an earlier line."""
    word = HTTP_OPTIONS[name]

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        told_of_override(statement, draft, f"option {name}")
        if word.handler is not None:
            word.handler(statement, draft)

    return replace(word, handler=handle)


def _nothing(_statement: Statement, _draft: ProxyDraft) -> None:
    """An option that Millrace always implements."""


OPTIONS: Table[ProxyDraft] = {
    **HTTP_OPTIONS,
    **{name: _http_log(name) for name in HTTP_LOG_OPTIONS},
    "redispatch": works(_redispatch, negatable=True, shape=AT_MOST_ONE),
    "splice-auto": works(_switch("splice"), negatable=True),
    "splice-request": works(_switch("splice"), negatable=True),
    "splice-response": works(_switch("splice"), negatable=True),
    "tcpka": works(_switch("client_keepalive", "server_keepalive"), negatable=True),
    "clitcpka": works(_switch("client_keepalive"), negatable=True),
    "srvtcpka": works(_switch("server_keepalive"), negatable=True),
    "abortonclose": works(_switch("abortonclose"), negatable=True),
    "nolinger": works(_switch("nolinger"), negatable=True),
    "allbackups": works(_switch("allbackups"), negatable=True),
    "contstats": works(_nothing, negatable=True, shape=ALONE),  # counters are always current
    "socket-stats": without_effect(
        "counters are kept for each frontend", shape=ALONE, negatable=True
    ),
    "tcp-smart-accept": without_effect(
        "acknowledgements are saved where it is safe", shape=ALONE, negatable=True
    ),
    "tcp-smart-connect": without_effect(
        "acknowledgements are saved where it is safe", shape=ALONE, negatable=True
    ),
    "tcplog": works(_tcplog),
    "dontlognull": works(_switch("log_skip_null"), negatable=True),
    "dontlog-normal": works(_switch("log_skip_normal"), negatable=True),
    "log-separate-errors": works(_switch("log_separate_errors"), negatable=True),
    "logasap": works(_switch("log_as_soon"), negatable=True),
    "log-health-checks": works(_switch("log_health_checks"), negatable=True),
    "independent-streams": without_effect(
        "bytes that are sent to a side count as its activity, too", shape=ALONE, negatable=True
    ),
    "prefer-last-server": without_effect("it needs mode http", shape=ALONE, negatable=True),
    **CHECK_OPTIONS,
    "spop-check": unsupported(
        "no check says the HELLO of SPOP: remove it, then 'check' finds out whether the agent "
        "accepts connections, or write its frames with 'tcp-check send-binary' and 'expect binary'"
    ),
    "transparent": unsupported("write the addresses of the servers"),
    "persist": works(_switch("persist"), negatable=True),
    "rdp-cookie": unsupported("write 'persist rdp-cookie'"),
    "http-tunnel": removed("remove it"),
    "http_proxy": removed("remove it"),
    "forceclose": removed("remove it"),
    "http-use-htx": removed("remove it"),
}


def option(statement: Statement, draft: ProxyDraft) -> None:
    """`[no|default] option <name> ...`."""
    if not statement.arguments:
        raise ConfigError("'option' expects the name of an option")
    name = statement.words[1]
    if name not in OPTIONS:
        raise ConfigError(f"unknown option '{name}'{hint(name, OPTIONS)}")
    if not option_fits(statement, name, draft):
        return
    act(statement.skip(1), draft, OPTIONS, f"'option {name}'", name)
