"""`tcp-request` lines (manual section 4.2): rules for connections before they are forwarded.

Owns their actions; what follows `if` is read when all sections are known. An action that HAProxy
has and Millrace does not is refused: it could keep a client out, or let one in.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.http import rule_line
from proxy.config.lines.proxy.rule_order import warn_misplaced
from proxy.config.lines.rules.condition import BEGINNINGS
from proxy.config.lines.table import Statement
from proxy.config.model.rules import RuleAction
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_time_ms

_STAGES = ("connection", "session", "content")
_ANYWHERE = {
    "accept": RuleAction.ACCEPT,
    "reject": RuleAction.REJECT,
    "silent-drop": RuleAction.SILENT_DROP,
}
_LATER = (
    *("capture", "do-resolve", "expect-netscaler-cip", "expect-proxy", "lua", "ot-group"),
    *("sc-add-gpc", "sc-inc-gpc", "sc-inc-gpc0", "sc-inc-gpc1", "sc-set-gpt", "sc-set-gpt0"),
    *("send-spoe-group", "set-bandwidth-limit", "set-bc-mark", "set-bc-tos", "set-dst"),
    *("set-dst-port", "set-fc-mark", "set-fc-tos", "set-log-level", "set-mark", "set-nice"),
    *("set-priority-class", "set-priority-offset", "set-src", "set-src-port", "set-tos"),
    *("set-var", "set-var-fmt", "switch-mode", "track-sc0", "track-sc1", "track-sc2"),
    *("unset-var", "use-service", "set-retries", "close", "do-log", "attach-srv"),
)


def tcp_request(statement: Statement, draft: ProxyDraft) -> None:
    """One line: a rule of one of three stages, or the delay of the last one."""
    words = statement.arguments
    if not words:
        raise ConfigError(f"missing argument for 'tcp-request' in {draft.title}")
    if draft.kind is ProxyKind.DEFAULTS and not draft.name:
        raise ConfigError("'tcp-request' not allowed in anonymous 'defaults' section.")
    if words[0] == "inspect-delay":
        _inspect_delay(statement, draft)
        return
    if words[0] not in _STAGES:
        raise ConfigError(
            f"'tcp-request' expects 'inspect-delay', 'connection', 'session' or 'content' in "
            f"{draft.title} (got '{words[0]}'){hint(words[0], (*_STAGES, 'inspect-delay'))}"
        )
    if words[0] != "content" and not draft.kind.accepts and draft.kind is not ProxyKind.DEFAULTS:
        raise ConfigError(
            f"tcp-request {words[0]} is not allowed because {draft.title} is not a frontend"
        )
    _add_rule(statement, draft, words[0], words[1:])


def _inspect_delay(statement: Statement, draft: ProxyDraft) -> None:
    words = statement.pass_over(2, "'tcp-request inspect-delay'").arguments[1:]
    expected = (
        f"'tcp-request inspect-delay' expects a positive delay in milliseconds, in {draft.title}"
    )
    if not words:
        raise ConfigError(expected)
    try:
        delay = parse_time_ms(words[0], statement.warn)
    except ConfigError as error:
        raise ConfigError(f"{expected} ({error})") from error
    draft.rules = msgspec.structs.replace(draft.rules, inspect_ms=delay)


def _add_rule(statement: Statement, draft: ProxyDraft, stage: str, words: Sequence[str]) -> None:
    what = f"'tcp-request {stage}'"
    action, rest = words[0] if words else "", tuple(words[1:])
    if stage == "connection" and action == "expect-proxy":
        _expect_proxy(statement, draft, rest)
        return
    if action not in _ANYWHERE:
        if action.partition("(")[0] in _LATER:
            raise ConfigError(f"'tcp-request {stage} {action}' is not supported yet")
        expected = "', '".join(_ANYWHERE)
        raise ConfigError(
            f"{what} expects '{expected}'{_HEADED if stage == 'connection' else ''} in "
            f"{draft.title} (got '{action}'){hint(action, _ANYWHERE)}"
        )
    if rest and rest[0] not in BEGINNINGS:
        raise ConfigError(
            f"'tcp-request {stage} {action}' only accepts 'if' or 'unless', in {draft.title} "
            f"(got '{rest[0]}')"
        )
    _keep(statement, draft, stage, _ANYWHERE[action], rest)


_HEADED = ", 'expect-proxy layer4'"


def _keep(
    statement: Statement,
    draft: ProxyDraft,
    stage: str,
    action: RuleAction,
    condition: tuple[str, ...],
) -> None:
    warn_misplaced(statement, draft, f"tcp-request {stage}")
    rule = ConnectionRuleDraft(action, rule_line(statement, draft), condition)
    draft.rules = draft.rules.with_rule(stage, rule)


def _expect_proxy(statement: Statement, draft: ProxyDraft, words: tuple[str, ...]) -> None:
    """`tcp-request connection expect-proxy layer4`: as `accept-proxy`, for clients it holds for."""
    if words[:1] != ("layer4",):
        layer = words[0] if words else ""
        raise ConfigError(
            f"'tcp-request connection expect-proxy' only supports 'layer4' in {draft.title} "
            f"(got '{layer}')"
        )
    if words[1:] and words[1] not in BEGINNINGS:
        raise ConfigError(
            "'tcp-request connection expect-proxy layer4' only accepts 'if' or 'unless', in "
            f"{draft.title} (got '{words[1]}')"
        )
    _keep(statement, draft, "connection", RuleAction.EXPECT_PROXY, words[1:])
