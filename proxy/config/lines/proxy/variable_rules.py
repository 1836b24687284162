"""Rules that note something of a session: `set-var`, `set-var-fmt`, `unset-var`, `capture`.

Owns what stands between the action and `if`. Which variables there are is known when all sections
are (linking/rules/variables.py).
"""

from __future__ import annotations

from msgspec.structs import replace

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.http import rule_line
from proxy.config.lines.rules.arguments import captured, setting_conditions, variable_name
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.model.rules import RuleAction
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of

SETTERS = ("set-var", "set-var-fmt", "unset-var")
CAPTURE = "capture"
CAPTURE_BYTES_MAX = 16_384
STAGES = {
    "tcp-request": {
        "connection": Scope.CONNECTION,
        "session": Scope.SESSION,
        "content": Scope.CONTENT,
    },
    "tcp-response": {"content": Scope.RESPONSE},
}
_EXPECTED = "Expects 'set-var(<var-name>)', 'set-var-fmt(<var-name>)' or 'unset-var(<var-name>)'"


def variable_rule(
    statement: Statement, draft: ProxyDraft, stage: str
) -> tuple[ConnectionRuleDraft, tuple[str, ...]]:
    """The rule of a line, and the words behind it; ConfigError."""
    action, *words = statement.arguments[1:]
    what = f"{statement.keyword} {stage}"
    scope = STAGES[statement.keyword][stage]
    if draft.kind.serves and stage == "content":
        scope |= Scope.BACKEND
    place = place_of(statement.context, statement.origin)
    reader = ValueReader(scope, statement.context.environment, place=place)
    rule = ConnectionRuleDraft(RuleAction.SET_VARIABLE, rule_line(statement, draft))
    try:
        if action == CAPTURE:
            return _capture(rule, draft, reader, words)
        return _setter(rule, reader, action, words)
    except ConfigError as error:
        raise ConfigError(f"'{what} {action}' : {error}") from error


def _setter(
    rule: ConnectionRuleDraft, reader: ValueReader, action: str, words: list[str]
) -> tuple[ConnectionRuleDraft, tuple[str, ...]]:
    kind, opening, rest = action.partition("(")
    if not opening:
        raise ConfigError(f"invalid or incomplete action '{action}'. {_EXPECTED}")
    if not rest.endswith(")"):
        raise ConfigError(f"incomplete argument after action '{action}'. {_EXPECTED}")
    name, *conditions = rest.removesuffix(")").split(",")
    rule = replace(rule, target=variable_name(name), when=setting_conditions(conditions))
    if kind == "unset-var":
        if conditions:
            raise ConfigError(f"takes no condition (got '{conditions[0]}')")
        return replace(rule, action=RuleAction.UNSET_VARIABLE), tuple(words)
    if not words:
        raise ConfigError("missing fetch method" if kind == "set-var" else "missing format")
    if kind == "set-var":
        return replace(rule, key=reader.expression(words[0])), tuple(words[1:])
    return replace(rule, form=reader.format(words[0])), tuple(words[1:])


def _capture(
    rule: ConnectionRuleDraft, draft: ProxyDraft, reader: ValueReader, words: list[str]
) -> tuple[ConnectionRuleDraft, tuple[str, ...]]:
    """`capture <expression> len <bytes>`."""
    if not words:
        raise ConfigError("missing fetch method")
    value = reader.expression(words[0])
    if words[1:2] != ["len"] or len(words) < 3:
        raise ConfigError("a positive 'len' argument is mandatory")
    length = capture_length(words[2])
    if not draft.kind.accepts:
        if draft.kind is ProxyKind.DEFAULTS:
            raise ConfigError("is not supported in 'defaults': write it in the frontend")
        raise ConfigError(f"proxy '{draft.name}' has no frontend capability")
    slot = draft.captures
    draft.captures += 1
    changed = replace(
        rule, action=RuleAction.CAPTURE, key=value, length=length, target=captured(slot)
    )
    return changed, tuple(words[3:])


def capture_length(word: str) -> int:
    """How many bytes are captured at most; ConfigError."""
    if not word.isdecimal() or int(word) == 0:
        raise ConfigError("length must be > 0")
    if int(word) > CAPTURE_BYTES_MAX:
        raise ConfigError(f"length must be <= {CAPTURE_BYTES_MAX}")
    return int(word)
