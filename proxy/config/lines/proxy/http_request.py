"""Lines about requests: `http-request`, `acl`, `monitor fail` (manual section 4.2).

Owns their storing only: what conditions name may follow, and in mode tcp none of them means
anything. `acl` is read at once, because its errors are those of its line.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.http_drafts import RuleLine
from proxy.config.lines.http import REDIRECT, RULES, note, noted, rule_line, warn_order
from proxy.config.lines.proxy.rule_order import warn_behind
from proxy.config.lines.rules.condition import BEGINNINGS, OR
from proxy.config.lines.rules.expression import parse_expression
from proxy.config.lines.table import Statement, Treatment, Word, works
from proxy.config.text.messages import ConfigError
from proxy.config.text.names import check_label
from proxy.config.text.pem import place_of

_REQUEST = "http-request"
_FINAL = ("allow", "auth", "deny", "redirect", "return", "tarpit")  # of HAProxy's warning


def _http_request(statement: Statement, draft: ProxyDraft) -> None:
    if not statement.arguments:
        raise ConfigError("'http-request' expects an action")
    if draft.kind is ProxyKind.DEFAULTS and not draft.name:
        raise ConfigError("'http-request' not allowed in anonymous 'defaults' section.")
    last = _last_request(draft)
    if last is not None and last.words[1] in _FINAL and not set(BEGINNINGS) & set(last.words):
        warn_behind(_REQUEST, statement.origin, statement.context.messages)
    if noted(draft, REDIRECT):
        warn_order(statement, "a 'http-request'", "a 'redirect'")
    elif draft.switches:
        warn_order(statement, "a 'http-request'", "a 'use_backend'")
    note(statement, draft, f"'{_REQUEST}'", RULES, rule=True)


def _last_request(draft: ProxyDraft) -> RuleLine | None:
    """The last `http-request` line of the section's own: those of `defaults` are others."""
    last = next((rule for rule in reversed(draft.http.rules) if rule.words[0] == _REQUEST), None)
    return last if last is not None and last.lists is draft.http.expressions else None


def _acl(statement: Statement, draft: ProxyDraft) -> None:
    if draft.kind is ProxyKind.DEFAULTS and not draft.name:
        raise ConfigError("'acl' not allowed in anonymous 'defaults' section.")
    if not statement.arguments:
        raise ConfigError("'acl' expects a name and a condition")
    name = check_label(statement.words[1], "acl")
    if name in OR:
        raise ConfigError(
            f"acl name '{name}' will never match. '{name}' is used to express a logical "
            "disjunction within a condition."
        )
    try:
        place = place_of(statement.context, statement.origin)
        found = parse_expression(statement.origin, statement.words[2:], statement.warn, place)
    except ConfigError as error:
        raise ConfigError(f"error detected while parsing ACL '{name}' : {error}") from error
    draft.http.expressions[name] = (*draft.http.expressions.get(name, ()), *found)


def _monitor(statement: Statement, draft: ProxyDraft) -> None:
    if statement.arguments[:1] != ("fail",):
        raise ConfigError("'monitor' only supports 'fail'.")
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'monitor fail' not allowed in 'defaults' section.")
    if statement.words[2:3] not in (("if",), ("unless",)):
        raise ConfigError(
            "'monitor fail' requires either 'if' or 'unless' followed by a condition."
        )
    if _last_request(draft) is not None:
        warn_order(statement, "a 'monitor fail'", "an 'http-request'")
    elif noted(draft, REDIRECT):
        warn_order(statement, "a 'monitor fail'", "a 'redirect'")
    elif draft.switches:
        warn_order(statement, "a 'monitor fail'", "a 'use_backend'")
    draft.http.monitor_fail = (*draft.http.monitor_fail, rule_line(statement, draft))
    note(statement, draft, "'monitor fail'", "")


REQUEST_WORDS: dict[str, Word[ProxyDraft]] = {
    "http-request": Word(Treatment.HTTP_ONLY, _http_request),
    "acl": works(_acl),
    "monitor": Word(Treatment.HTTP_ONLY, _monitor),
}
