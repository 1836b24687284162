"""`stats ...` in proxy sections: the statistics of a mode http section (manual section 4.2).

Owns what these lines set. Each of them enables the page, as in HAProxy.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.http_drafts import StatsDraft
from proxy.config.lines.http import note, rule_line
from proxy.config.lines.shapes import (
    ALONE_LENIENT,
    AT_MOST_ONE,
    ONE_LENIENT,
    TIME_LENIENT,
    ArgumentShape,
)
from proxy.config.lines.table import (
    Handler,
    Statement,
    Table,
    Word,
    act_on_second,
    without_effect,
    works,
)
from proxy.config.model.http import User
from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms

STATS_URI_DEFAULT = "/haproxy?stats"

_WARNING = "{} ignored for {} as it requires HTTP mode."


def _word(set_in: Handler[StatsDraft], shape: ArgumentShape | None = None) -> Word[ProxyDraft]:
    """A word that sets something of the page, and enables it."""

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        _own(draft)
        set_in(statement, draft.http.stats)
        _turn_on(statement, draft)

    return works(handle, shape=shape)


def _own(draft: ProxyDraft) -> None:
    """A section with a line of its own has a page of its own, without the lines of `defaults`."""
    if draft.http.stats.from_defaults:
        draft.http.stats = StatsDraft()


def _turn_on(statement: Statement, draft: ProxyDraft) -> None:
    draft.http.stats.enabled = True
    if draft.http.stats.uri is None:
        draft.http.stats.uri = STATS_URI_DEFAULT
    note(statement, draft, "'stats' statement", _WARNING)


def _nothing(_statement: Statement, _stats: StatsDraft) -> None:
    """`stats enable`: the page is enabled by any word."""


def _uri(statement: Statement, stats: StatsDraft) -> None:
    stats.uri = statement.one("a path")


def _flag(field: str) -> Handler[StatsDraft]:
    def handle(_statement: Statement, stats: StatsDraft) -> None:
        setattr(stats, field, True)

    return handle


def _refresh(statement: Statement, stats: StatsDraft) -> None:
    milliseconds = parse_time_ms(statement.one("a time"), statement.warn, "s")
    stats.refresh_seconds = milliseconds // 1_000


def _realm(statement: Statement, stats: StatsDraft) -> None:
    stats.realm = statement.one("a name")


def _auth(statement: Statement, stats: StatsDraft) -> None:
    name, _, password = statement.one("<user>:<password>").partition(":")
    stats.users = (*stats.users, User(name, password))


def _scope(statement: Statement, stats: StatsDraft) -> None:
    stats.scope = (*stats.scope, statement.one("the name of a section, or '.'"))


def _node(statement: Statement, stats: StatsDraft) -> None:
    stats.node = statement.words[1] if statement.arguments else ""


def _description(statement: Statement, stats: StatsDraft) -> None:
    stats.description = " ".join(statement.arguments)


def _modules(statement: Statement, _stats: StatsDraft) -> None:
    statement.notice("'stats show-modules' has no effect here: the page has one look")


def _admin(statement: Statement, draft: ProxyDraft) -> None:
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'stats admin' not allowed in 'defaults' section.")
    if statement.arguments[:1] not in (("if",), ("unless",)):
        raise ConfigError("'stats admin' requires either 'if' or 'unless' followed by a condition.")
    _own(draft)
    draft.http.stats.admin = rule_line(statement, draft, "stats")
    _turn_on(statement, draft)


def _rule(statement: Statement, draft: ProxyDraft) -> None:
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'stats http-request' not allowed in 'defaults' section.")
    if not statement.arguments:
        raise ConfigError("'stats http-request' expects 'allow', 'deny' or 'auth'")
    _own(draft)
    draft.http.stats.rules = (*draft.http.stats.rules, rule_line(statement, draft))
    _turn_on(statement, draft)


STATS: Table[ProxyDraft] = {
    "enable": _word(_nothing, ALONE_LENIENT),
    "uri": _word(_uri, AT_MOST_ONE),
    "refresh": _word(_refresh, TIME_LENIENT),
    "realm": _word(_realm, ONE_LENIENT),
    "auth": _word(_auth, ONE_LENIENT),
    "scope": _word(_scope, ONE_LENIENT),
    "hide-version": _word(_flag("hide_version"), ALONE_LENIENT),
    "show-legends": _word(_flag("show_legends"), ALONE_LENIENT),
    "show-node": _word(_node, AT_MOST_ONE),
    "show-desc": _word(_description),
    "show-modules": _word(_modules, ALONE_LENIENT),
    "admin": works(_admin),
    "http-request": works(_rule),
    "bind-process": without_effect("one process serves all pages"),
}


def proxy_stats(statement: Statement, draft: ProxyDraft) -> None:
    """`stats enable|uri|...` of a proxy section."""
    act_on_second(statement, draft, STATS, "'enable' or 'uri <path>'")
