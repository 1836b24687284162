"""Rules of connections in a section that answers itself: who may ask it.

They are judged when a client comes, by its addresses; what looks at bytes, counts in tables or does
anything but let in and keep out is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from proxy.config.drafts import ProxyDraft
from proxy.config.http_drafts import Expression
from proxy.config.lines.rules.condition import Clauses, flattened, parse_clauses
from proxy.config.lines.rules.fetches import FETCHES, Scope
from proxy.config.model.http import AdmissionRule, AdmissionStage, Denied
from proxy.config.model.rules import Condition, RuleAction, Term
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError, Messages

_JUDGED = (RuleAction.ACCEPT, RuleAction.REJECT)
TermLinker = Callable[[Expression, int, int], Term]


def admission_of(
    drafts: Sequence[ProxyDraft], term: TermLinker, messages: Messages
) -> tuple[AdmissionStage, ...]:
    """The rules of the section that has the clients, then of the one that is shown, by stage.

    `term` links an expression. Messages have an alert for each rule that cannot be honoured.
    """
    stages = []
    for draft in drafts:
        for denied, rules in (
            (Denied.CONNECTION, draft.rules.connection),
            (Denied.SESSION, draft.rules.session),
            (Denied.REQUEST, draft.rules.content),
        ):
            linked = tuple(_linked(draft, rules, term, messages))
            if linked:
                stages.append(AdmissionStage(denied, linked))
    return tuple(stages)


def _linked(
    draft: ProxyDraft,
    rules: Sequence[ConnectionRuleDraft],
    term: TermLinker,
    messages: Messages,
) -> Iterator[AdmissionRule]:
    for rule in rules:
        if rule.action is RuleAction.EXPECT_PROXY:
            continue  # refused elsewhere: all clients are direct
        try:
            if rule.action not in _JUDGED:
                raise ConfigError("only 'accept' and 'reject' can be honoured there")
            condition = _condition(rule, term, messages)
        except ConfigError as error:
            messages.alert(
                f"'{rule.line.text}' is not supported in {draft.title}, which answers itself : "
                f"{error}: use 'http-request deny', or the packet filter of the host",
                rule.line.origin,
            )
            continue
        yield AdmissionRule(rule.action is RuleAction.REJECT, condition)


def _condition(rule: ConnectionRuleDraft, term: TermLinker, messages: Messages) -> Condition | None:
    if not rule.condition:
        return None
    beginning, *words = rule.condition
    origin = rule.line.origin
    clauses = parse_clauses(
        origin,
        words,
        rule.line.lists,
        lambda text: messages.warning(text, origin),
        rule.line.place,
    )
    _check_scope(clauses)
    return flattened(clauses, term, unless=beginning == "unless")


def _check_scope(clauses: Clauses) -> None:
    """ConfigError for what a client's addresses do not tell."""
    for literal in (literal for clause in clauses for literal in clause):
        for expression in literal.expressions:
            word = re.split("[(,]", expression.word)[0]
            scope = FETCHES[word].scope
            if not (scope & Scope.CONNECTION and scope & Scope.REQUEST):
                raise ConfigError(f"'{word}' is not known when a client comes")
