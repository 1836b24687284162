"""`tcp-request` and `tcp-response` lines (manual section 4.2): rules for connections.

Owns their actions; what follows `if` is read when all sections are known. An action that HAProxy
has and Millrace does not is refused: it could keep a client out, or let one in.
"""

from __future__ import annotations

import re

import msgspec

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.http import rule_line
from proxy.config.lines.proxy.actions.session_actions import actions_at, session_action
from proxy.config.lines.proxy.rule_order import warn_misplaced
from proxy.config.lines.proxy.tables.counters import (
    counter_action,
    counter_actions_at,
    is_counter_action,
)
from proxy.config.lines.proxy.variable_rules import CAPTURE, SETTERS, variable_rule
from proxy.config.lines.rules.condition import BEGINNINGS
from proxy.config.lines.table import Statement
from proxy.config.model.rules import RuleAction
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_time_ms

_DECIDING = (RuleAction.ACCEPT, RuleAction.REJECT, RuleAction.SILENT_DROP)
_REQUEST = {action.value: action for action in _DECIDING}
_HEADED = "expect-proxy layer4"
_STAGES = {  # the stages of each word, and their actions
    "tcp-request": {
        "connection": {**_REQUEST, _HEADED: RuleAction.EXPECT_PROXY},
        "session": _REQUEST,
        "content": _REQUEST,
    },
    "tcp-response": {"content": {**_REQUEST, "close": RuleAction.CLOSE}},
}
_LATER = {  # and what to do instead
    "capture": "it stands in 'tcp-request content' only",
    "deny": "write 'reject'",
    "do-resolve": "write a server with 'resolvers', and choose it with 'use-server'",
    "expect-netscaler-cip": "let the device send PROXY headers, and write 'expect-proxy layer4'",
    "expect-proxy": "it stands in 'tcp-request connection' only",
    "lua": "write conditions on variables, lists and stick tables",
    "ot-group": "follow sessions by the access log",
    "sc-add-gpc": "write 'sc-inc-gpc' as often",
    "send-spoe-group": "write conditions on variables, lists and stick tables",
    "set-bandwidth-limit": "shape traffic with tc(8), by the mark of 'set-fc-mark'",
    "set-priority-class": "send sessions that may wait to a backend with fewer places",
    "set-priority-offset": "send sessions that may wait to a backend with fewer places",
    "switch-mode": "it needs mode http, which is not forwarded",
    "use-service": "it needs mode http: write 'http-request return' in a section of its own",
    "do-log": "write what it would say into 'log-format'",
    "attach-srv": "connections of servers are not reversed: let the server listen",
}
_DELAY = "inspect-delay"


def tcp_request(statement: Statement, draft: ProxyDraft) -> None:
    """One line: a rule of one of three stages, or the delay of the last one."""
    stage = _stage(statement, draft)
    if draft.kind is ProxyKind.DEFAULTS and not draft.name:
        raise ConfigError("'tcp-request' not allowed in anonymous 'defaults' section.")
    if stage == _DELAY:
        draft.rules = msgspec.structs.replace(draft.rules, inspect_ms=_delay(statement, draft))
        return
    if stage != "content" and not draft.kind.accepts and draft.kind is not ProxyKind.DEFAULTS:
        raise ConfigError(
            f"tcp-request {stage} is not allowed because {draft.title} is not a frontend"
        )
    rule = _rule(statement, draft, stage)
    warn_misplaced(statement, draft, f"tcp-request {stage}")
    draft.rules = draft.rules.with_rule(stage, rule)


def tcp_response(statement: Statement, draft: ProxyDraft) -> None:
    """One line: a rule for what a server has sent, or the delay of these rules."""
    stage = _stage(statement, draft)
    if not draft.kind.serves and (draft.kind is not ProxyKind.DEFAULTS or not draft.name):
        raise ConfigError(
            f"tcp-response {stage} is only allowed in 'backend' sections or 'defaults' section "
            "with a name"
        )
    if stage == _DELAY:
        draft.rules = msgspec.structs.replace(draft.rules, response_ms=_delay(statement, draft))
        return
    draft.rules = draft.rules.with_rule("response", _rule(statement, draft, stage))


def _stage(statement: Statement, draft: ProxyDraft) -> str:
    word = statement.keyword
    if not statement.arguments:
        raise ConfigError(f"missing argument for '{word}' in {draft.title}")
    stage = statement.arguments[0]
    known = (_DELAY, *_STAGES[word])
    if stage not in known:
        expected = "', '".join(known[:-1]) + f"' or '{known[-1]}"
        raise ConfigError(
            f"'{word}' expects '{expected}' in {draft.title} (got '{stage}'){hint(stage, known)}"
        )
    return stage


def _delay(statement: Statement, draft: ProxyDraft) -> int:
    """Milliseconds."""
    what = f"'{statement.keyword} {_DELAY}'"
    words = statement.pass_over(2, what).arguments[1:]
    expected = f"{what} expects a positive delay in milliseconds, in {draft.title}"
    if not words:
        raise ConfigError(expected)
    try:
        return parse_time_ms(words[0], statement.warn)
    except ConfigError as error:
        raise ConfigError(f"{expected} ({error})") from error


def _rule(statement: Statement, draft: ProxyDraft, stage: str) -> ConnectionRuleDraft:
    """The rule of a line, whose condition is still words."""
    what = f"{statement.keyword} {stage}"
    known = _STAGES[statement.keyword][stage]
    action, *rest = (*statement.arguments[1:], "")
    if action == "expect-proxy" and _HEADED in known:
        if rest[0] != "layer4":
            raise ConfigError(
                f"'{what} {action}' only supports 'layer4' in {draft.title} (got '{rest[0]}')"
            )
        action, rest = _HEADED, rest[1:]
    if is_counter_action(action, what):
        return _counter_rule(statement, draft, what)
    if action.partition("(")[0] in SETTERS or (action, what) == (CAPTURE, "tcp-request content"):
        rule, words = variable_rule(statement, draft, stage)
        condition = _condition(draft, f"{what} {action}", list(words))
        return msgspec.structs.replace(rule, condition=condition)
    if action in actions_at(what):
        rule, words = session_action(statement, draft, what)
        condition = _condition(draft, f"{what} {action}", list(words))
        return msgspec.structs.replace(rule, condition=condition)
    if action not in known:
        captures = (CAPTURE,) if what == "tcp-request content" else ()
        others = (*counter_actions_at(what), *SETTERS, *captures, *actions_at(what))
        raise ConfigError(_unknown(draft, what, action, (*known, *others)))
    condition = _condition(draft, f"{what} {action}", rest[:-1])
    return ConnectionRuleDraft(known[action], rule_line(statement, draft), condition)


def _unknown(draft: ProxyDraft, what: str, action: str, known: tuple[str, ...]) -> str:
    """What is said of an action that is not there, or not yet."""
    advice = _LATER.get(re.split("[(.]", action)[0])
    if advice is not None:
        return f"'{what} {action}' is not supported: {advice}"
    expected = "', '".join(known)
    return f"'{what}' expects '{expected}' in {draft.title} (got '{action}'){hint(action, known)}"


def _condition(draft: ProxyDraft, what: str, words: list[str]) -> tuple[str, ...]:
    """The words from `if` or `unless` on; ConfigError for others."""
    if words and words[0] not in BEGINNINGS:
        raise ConfigError(
            f"'{what}' only accepts 'if' or 'unless', in {draft.title} (got '{words[0]}')"
        )
    return tuple(words)


def _counter_rule(statement: Statement, draft: ProxyDraft, what: str) -> ConnectionRuleDraft:
    """A rule that follows an entry of a stick table, or counts by one."""
    said = counter_action(statement, what, list(statement.arguments[1:]))
    return ConnectionRuleDraft(
        said.action,
        rule_line(statement, draft),
        _condition(draft, f"{what} {statement.arguments[1]}", said.words),
        said.table,
        said.key,
        said.key_type.value,
        said.tracked,
        said.data,
    )
