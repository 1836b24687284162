"""The order in which the rules of a section are in force, whatever the order of their lines.

Owns HAProxy's warnings about a line that stands behind one that comes later, and about one behind
a rule that always decides.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.http import REDIRECT, noted, warn_order
from proxy.config.lines.table import Statement
from proxy.config.model.sockets import Origin
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import Messages

UNCONDITIONAL = "has no condition attached"

_ORDER = (
    *("tcp-request connection", "tcp-request session", "tcp-request content", "monitor fail"),
    *("http-request", "redirect", "use_backend", "use-server"),
)
_SPOKEN = {
    **dict.fromkeys(_ORDER[:3], "a 'tcp-request'"),
    "http-request": "an 'http-request'",
}


def warn_misplaced(statement: Statement, draft: ProxyDraft, rule: str) -> None:
    """Warn if a rule that comes later has a line already; `rule` is one of the order."""
    behind = _ORDER[_ORDER.index(rule) + 1 :]
    found = next((each for each in _given(draft) if each in behind), None)
    if found is not None:
        article = "an" if found == "http-request" else "a"
        warn_order(statement, _SPOKEN.get(rule, f"a '{rule}'"), f"{article} '{found}'")


def warn_behind(family: str, origin: Origin, messages: Messages, why: str = UNCONDITIONAL) -> None:
    """Warn of a rule that never acts, because one before it always decides."""
    messages.warning(
        f"previous '{family}' action is final and {why}, further entries are NOOP.", origin
    )


def _given(draft: ProxyDraft) -> Iterator[str]:
    """The kinds of rules that a section itself has so far, in their order."""
    rules = draft.rules
    if _own(draft, rules.session):
        yield "tcp-request session"
    if _own(draft, rules.content):
        yield "tcp-request content"
    if noted(draft, "'monitor fail'"):
        yield "monitor fail"
    if noted(draft, "'http-request'"):
        yield "http-request"
    if noted(draft, REDIRECT):
        yield "redirect"
    if draft.switches:
        yield "use_backend"
    if rules.server_rules:
        yield "use-server"


def _own(draft: ProxyDraft, rules: tuple[ConnectionRuleDraft, ...]) -> bool:
    """Whether the section has such a rule itself: those of `defaults` see other lists."""
    return any(rule.line.lists is draft.http.expressions for rule in rules[-1:])
