"""`stick` lines (manual section 4.2): entries of stick tables that name a client's server."""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.http import rule_line
from proxy.config.lines.rules.condition import BEGINNINGS
from proxy.config.lines.rules.fetches import SampleType, Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.model.rules import RuleAction, Value
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of

_ANSWER = "store-response"
_ACTIONS = {
    "on": RuleAction.STICK_ON,
    "match": RuleAction.STICK_MATCH,
    "store-request": RuleAction.STICK_STORE,
    _ANSWER: RuleAction.STICK_ANSWER,
}


def stick(statement: Statement, draft: ProxyDraft) -> None:
    """`stick on|match|store-request|store-response <expression> [table <table>] [if <condition>]`.

    A key of `store-response` is of what the server has sent first.
    """
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'stick' not allowed in 'defaults' section.")
    what, *words = statement.arguments or ("",)
    if what not in _ACTIONS:
        raise ConfigError("'stick' expects 'on', 'match', or 'store'.")
    if not words:
        raise ConfigError("'stick' expects a fetch method.")
    key, kind = _key(words.pop(0), statement, of_answer=what == _ANSWER)
    table = draft.name
    if words[:1] == ["table"]:
        if len(words) == 1:
            raise ConfigError("'stick': the name of a table is missing behind 'table'.")
        table = words[1]
        del words[:2]
    if words and words[0] not in BEGINNINGS:
        raise ConfigError(f"'stick': unknown keyword '{words[0]}'.")
    draft.rules = draft.rules.with_rule(
        "answers" if what == _ANSWER else "sticks",
        ConnectionRuleDraft(
            _ACTIONS[what], rule_line(statement, draft), tuple(words), table, key, kind.value
        ),
    )


def _key(text: str, statement: Statement, *, of_answer: bool) -> tuple[Value, SampleType]:
    try:
        place = place_of(statement.context, statement.origin)
        scope = Scope.BACKEND | (Scope.RESPONSE if of_answer else Scope.CONTENT)
        reader = ValueReader(scope, statement.context.environment, place=place)
        return reader.typed(text)
    except ConfigError as error:
        raise ConfigError(f"'stick': {error}") from error
