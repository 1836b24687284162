"""`stats ...` in proxy sections: the statistics of a mode http section (manual section 4.2).

Owns which of these lines may be skipped: not one that restricts access or content.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.http import note
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
    later,
    without_effect,
    works,
)

STATS_URI_DEFAULT = "/haproxy?stats"

_WARNING = "{} ignored for {} as it requires HTTP mode."


def _enable(statement: Statement, draft: ProxyDraft) -> None:
    _turn_on(statement, draft)


def _uri(statement: Statement, draft: ProxyDraft) -> None:
    draft.stats_uri = statement.one("a path")
    _turn_on(statement, draft)


def _shown(field: str) -> Handler[ProxyDraft]:
    """A word that changes the content of the page; it enables the page too, as in HAProxy."""

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        setattr(draft, field, True)
        _turn_on(statement, draft)

    return handle


def _without_effect(why: str, shape: ArgumentShape | None = None) -> Word[ProxyDraft]:
    """A word without effect on the page, except that it enables it."""

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        statement.notice(f"'stats {' '.join(statement.words)}' has no effect here: {why}")
        _turn_on(statement, draft)

    return works(handle, shape=shape)


def _turn_on(statement: Statement, draft: ProxyDraft) -> None:
    draft.stats_enabled = True
    if draft.stats_uri is None:
        draft.stats_uri = STATS_URI_DEFAULT
    note(statement, draft, "'stats' statement", _WARNING)


_LOOKS = "the page has one look"

STATS: Table[ProxyDraft] = {
    "enable": works(_enable, shape=ALONE_LENIENT),
    "uri": works(_uri, shape=AT_MOST_ONE),
    "refresh": _without_effect("the page refreshes itself in its own time", TIME_LENIENT),
    "realm": _without_effect("nobody is asked for a password", ONE_LENIENT),
    "hide-version": works(_shown("stats_hide_version"), shape=ALONE_LENIENT),
    "show-legends": works(_shown("stats_show_legends"), shape=ALONE_LENIENT),
    "show-node": _without_effect(_LOOKS, AT_MOST_ONE),
    "show-desc": _without_effect(_LOOKS),
    "show-modules": _without_effect(_LOOKS, ALONE_LENIENT),
    "admin": _without_effect("the page changes nothing; use the stats socket"),
    "bind-process": without_effect("one process serves all pages"),
    # These restrict access: without them the page would show more than the file allows.
    "auth": later("keep the address out of reach of others, and remove the line"),
    "scope": later("remove it if everything may be seen"),
    "http-request": later("keep the address out of reach of others, and remove the line"),
}


def proxy_stats(statement: Statement, draft: ProxyDraft) -> None:
    """`stats enable|uri|...` of a proxy section."""
    act_on_second(statement, draft, STATS, "'enable' or 'uri <path>'")
