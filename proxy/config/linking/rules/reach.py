"""Warnings about rules that cannot act, conditions that say always the same, lists without a use.

Only what is so whatever a client does: a rule behind one that always decides, a rule that an equal
one precedes, a condition of constants. What a rule says twice on purpose (a counter that goes up by
two) is none of it. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.proxy.rule_order import UNCONDITIONAL, warn_behind
from proxy.config.lines.rules.condition import Clauses, Literal
from proxy.config.lines.rules.table_words import TABLE_CONVERTERS
from proxy.config.linking.rules.lists import ListTable
from proxy.config.model.matching import Matcher
from proxy.config.model.rules import Condition, ConnectionRules, Rule, RuleAction, Term
from proxy.config.model.sockets import Origin
from proxy.config.text.messages import ConfigError, Messages

_FINAL = {  # what decides, so that no rule behind it in its ruleset is looked at
    RuleAction.ACCEPT,
    RuleAction.REJECT,
    RuleAction.SILENT_DROP,
    RuleAction.CLOSE,
    RuleAction.USE_BACKEND,
}
_ONCE = _FINAL | {  # what a second time adds nothing to
    RuleAction.EXPECT_PROXY,
    RuleAction.USE_SERVER,
    RuleAction.STICK_ON,
    RuleAction.STICK_MATCH,
    RuleAction.STICK_STORE,
}
_STEADY = ("src", "src_port", "dst", "dst_port", "always_true", "always_false", "wait_end")
_OF_TABLES = {word.name for word in TABLE_CONVERTERS.values()}  # what sessions change
_STEADY_KINDS = ("req.", "req_", "res.")  # bytes that both rules look at
_CONSTANTS = {"always_true": True, "always_false": False}


def constant_of(clauses: Clauses, *, unless: bool) -> bool | None:
    """What a condition always says; None: that depends."""
    told = _any(_all(map(_literal, clause)) for clause in clauses)
    return None if told is None else told is not unless


def _literal(literal: Literal) -> bool | None:
    told = _any(
        _CONSTANTS[each.fetch]
        if each.fetch in _CONSTANTS and each.matcher is Matcher.BOOL and not each.converters
        else None
        for each in literal.expressions
    )
    return None if told is None else told is not literal.negated


def _any(told: Iterable[bool | None]) -> bool | None:
    every = tuple(told)
    if True in every:
        return True
    return None if None in every else False


def _all(told: Iterable[bool | None]) -> bool | None:
    found = _any(None if each is None else not each for each in told)
    return None if found is None else not found


def warn_unreached(
    rules: ConnectionRules, constants: Mapping[Origin, bool], messages: Messages
) -> None:
    """Warn of rules that never act; `constants` has what conditions always say, by their line."""
    for stage in rules.stages.values():
        before: dict[object, Rule] = {}
        closed = ""  # why no rule is looked at any more
        for rule in stage:
            if closed:
                warn_behind(_family(rule), rule.origin, messages, closed)
                continue
            _warn_constant(rule, constants, messages)
            if constants.get(rule.origin) is not False:
                _warn_equal(rule, before, messages)
            if rule.action in _FINAL and rule.condition is None:
                closed = UNCONDITIONAL
            elif rule.action in _FINAL and constants.get(rule.origin):
                closed = "has a condition that always holds"


def _family(rule: Rule) -> str:
    count = 2 if rule.text.startswith(("tcp-", "stick")) else 1
    return " ".join(rule.text.split()[:count])


def _warn_constant(rule: Rule, constants: Mapping[Origin, bool], messages: Messages) -> None:
    told = constants.get(rule.origin)
    if told is not None:
        messages.warning(
            f"the condition of this '{_family(rule)}' rule always holds: it can be left out"
            if told
            else f"this '{_family(rule)}' rule never acts: its condition never holds",
            rule.origin,
        )


def _warn_equal(rule: Rule, before: dict[object, Rule], messages: Messages) -> None:
    if rule.action not in _ONCE or not _is_steady(rule):
        return
    first = before.setdefault((rule.text, _unnumbered(rule.condition)), rule)
    if first is not rule:
        where = f"{first.origin.file}:{first.origin.line}"
        messages.warning(
            f"this '{_family(rule)}' rule never acts: it is the same as the one at {where}",
            rule.origin,
        )


def _unnumbered(condition: Condition | None) -> tuple[Term, ...]:
    """What a condition says: each line has lists of its own, also where they are equal."""
    terms = condition.terms if condition is not None else ()
    return tuple(msgspec.structs.replace(term, lists=()) for term in terms)


def _is_steady(rule: Rule) -> bool:
    """Whether its condition says the same when it is looked at again at once."""
    terms = rule.condition.terms if rule.condition else ()
    return all(
        (term.fetch in _STEADY or term.fetch.startswith(_STEADY_KINDS))
        and not any(each.variable or each.name in _OF_TABLES for each in term.converters)
        for term in terms
    )


def check_lists(draft: ProxyDraft, lists: ListTable, messages: Messages) -> None:
    """The `acl` lines of a section: what they name of lists, and whether conditions name them."""
    for name, expressions in draft.http.expressions.items():
        for each in expressions:
            try:
                lists.numbers(each)
            except ConfigError as error:
                text = f"error detected while parsing ACL '{name}' : {error}"
                messages.alert(text, each.origin)
        if name not in draft.http.named:
            messages.warning(f"acl '{name}' of {draft.title} is never used", expressions[0].origin)
