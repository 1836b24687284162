"""Rules of connections: drafts to settings (manual section 4.2, `tcp-request` and the like).

Owns the errors about what their conditions and targets name. Reads drafts, changes none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.config.drafts import ProxyDraft
from proxy.config.http_drafts import Expression, written
from proxy.config.lines.rules.condition import Clauses, Literal, flattened, parse_clauses
from proxy.config.lines.rules.fetches import FETCHES, RULES, SampleType, Scope
from proxy.config.linking.rules.conditions import ConditionLinker, SectionIndex, ValueLinker
from proxy.config.linking.rules.reach import constant_of, warn_unreached
from proxy.config.linking.rules.stick_tables import table_of, table_to_track
from proxy.config.linking.rules.table_names import TableLinker, UnknownTableError
from proxy.config.model.matching import Matcher
from proxy.config.model.rules import Condition, ConnectionRules, Rule, RuleAction, Term
from proxy.config.model.settings import Origin
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError, Messages
from proxy.config.text.suggest import hint

NOWHERE = -1  # the index of a backend that is disabled
_TCP = RULES & ~Scope.REQUEST
_PERSISTING = (RuleAction.FORCE_PERSIST, RuleAction.IGNORE_PERSIST)
_TABLE_RULES = {  # how HAProxy calls them in errors about tables
    RuleAction.TRACK: "tracking rule",
    RuleAction.TAG: "",
    RuleAction.CAPTURE: "capture rule",
    RuleAction.USE_BACKEND: "use_backend expression",
}


class ConnectionRuleLinker:
    """Links the rules of one section in mode tcp."""

    def __init__(self, draft: ProxyDraft, directory: SectionIndex, messages: Messages) -> None:
        """Errors and warnings are added to `messages`."""
        self._draft = draft
        self._directory = directory
        self._messages = messages
        self._conditions = ConditionLinker(
            directory, draft.name, TableLinker(directory, draft.name, "ACL keyword")
        )
        self._constants: dict[Origin, bool] = {}  # what conditions always say, by their line

    def check(self) -> None:
        """Add the errors of the rules; without any, warnings about rules that never act."""
        rules = self.rules()
        if rules is not None and not self._messages.failed:
            warn_unreached(rules, self._constants, self._messages)

    def rules(self) -> ConnectionRules | None:
        """The rules, as far as they have no error; None: there are none."""
        found = self._draft.rules
        if self._draft.switched_backend is None and found.empty:
            return None
        accepts, serves = self._draft.kind.accepts, self._draft.kind.serves
        own = Scope.BACKEND if serves else Scope(0)
        linked = ConnectionRules(
            connection=self._stage(found.connection if accepts else (), Scope.CONNECTION),
            session=self._stage(found.session if accepts else (), Scope.SESSION),
            content=self._stage(found.content, Scope.CONTENT | own),
            backends=(*self._switch(), *self._stage(found.backends, Scope.CONTENT)),
            server_rules=self._stage(found.server_rules if serves else (), Scope.CONTENT | own),
            response=self._stage(found.response if serves else (), Scope.RESPONSE | own),
            sticks=self._stage(found.sticks if serves else (), Scope.CONTENT | own),
            persists=self._stage(found.persists if serves else (), Scope.CONTENT | own),
            cookies=self._stage(found.cookies if serves else (), Scope.CONTENT | own),
            hashes=self._stage(found.hashes if serves else (), Scope.CONTENT | own),
            answers=self._stage(found.answers if serves else (), Scope.RESPONSE | own),
            inspect_ms=found.inspect_ms,
            response_ms=found.response_ms,
        )
        return linked if linked.every else None

    def _switch(self) -> tuple[Rule, ...]:
        """A first `use_backend` without a condition: others act while nothing leads there."""
        name, origin = self._draft.switched_backend, self._draft.switched_backend_origin
        if name is None or origin is None:
            return ()
        backend = self._directory.backend(name)  # its name is checked elsewhere
        target = NOWHERE if backend is None else backend[0]
        text = written(("use_backend", name))
        return (Rule(RuleAction.USE_BACKEND, None, target, text=text, origin=origin),)

    def _stage(self, drafts: Sequence[ConnectionRuleDraft], scope: Scope) -> tuple[Rule, ...]:
        linked: list[Rule] = []
        for draft in drafts:
            try:
                condition, target = self._condition(draft, scope), self._target(draft, scope)
                linked.append(self._rule(draft, condition, target, scope))
            except ConfigError as error:
                self._messages.alert(str(error), draft.line.origin)
        return tuple(linked)

    def _condition(self, draft: ConnectionRuleDraft, scope: Scope) -> Condition | None:
        if not draft.condition:
            return None
        origin = draft.line.origin
        beginning, *words = draft.condition
        self._conditions.environment = draft.line.environment
        try:
            clauses = parse_clauses(
                origin,
                words,
                draft.line.lists,
                lambda text: self._messages.warning(text, origin),
                draft.line.place,
            )
            self._check_scope(clauses, draft, scope)
            constant = constant_of(clauses, unless=beginning == "unless")
            if constant is not None:
                self._constants[origin] = constant

            def linked(expression: Expression, then: int, otherwise: int) -> Term:
                if _sees(expression, scope):
                    return self._conditions.term(expression, then, otherwise, scope)
                return Term("always_false", Matcher.BOOL, then, otherwise)

            return flattened(clauses, linked, unless=beginning == "unless")
        except UnknownTableError:
            raise
        except ConfigError as error:
            raise ConfigError(self._wrong(draft, beginning, error)) from error

    def _wrong(self, draft: ConnectionRuleDraft, beginning: str, error: ConfigError) -> str:
        if draft.action is RuleAction.USE_BACKEND:
            return f"error detected while parsing switching rule : {error}"
        if draft.action is RuleAction.USE_SERVER:
            return f"error detected while parsing switching rule : {error}"
        if draft.action.uses_table:
            return f"'stick': error detected while parsing sticking condition : {error}"
        if draft.action in _PERSISTING:
            return f"error detected while parsing a '{draft.action.value}' rule : {error}"
        words = " ".join(draft.line.words[:3])
        return (
            f"'{words}' : error detected in {self._draft.title} while parsing '{beginning}' "
            f"condition : {error}"
        )

    def _check_scope(self, clauses: Clauses, draft: ConnectionRuleDraft, scope: Scope) -> None:
        """Warn of lists that look at what is not there yet; refuse what is of mode http only."""
        for clause in clauses:
            for literal in clause:
                for expression in literal.expressions:
                    _check_mode(expression)
                blind = [each for each in literal.expressions if not _sees(each, scope)]
                if len(blind) == len(literal.expressions):
                    self._warn_blind(literal, draft, draft.line.origin)

    def _warn_blind(self, literal: Literal, draft: ConnectionRuleDraft, origin: Origin) -> None:
        stage, place = self._place(draft)
        word = re.split("[(,]", literal.expressions[0].word)[0]
        self._messages.warning(
            f"acl '{literal.name}' will never match{stage} because it only involves "
            f"keywords that are incompatible with '{place}'"
            if literal.name
            else f"anonymous acl will never match{stage} because it uses keyword '{word}' "
            f"which is incompatible with '{place}'",
            origin,
        )

    def _place(self, draft: ConnectionRuleDraft) -> tuple[str, str]:
        """The rule as HAProxy names it, and where it looks."""
        if draft.action is RuleAction.USE_BACKEND:
            return "", "frontend use-backend rule"
        if draft.action in _PERSISTING:
            return "", "backend tcp-request content rule"
        if draft.action is RuleAction.STICK_ANSWER:
            return "", "backend stick-store rule"
        if draft.action is RuleAction.USE_SERVER or draft.action.uses_table:
            return "", "backend use-server, balance or stick-match rule"
        stage = " ".join(draft.line.words[:2])
        asking = self._draft.kind.accepts and draft.line.words[0] == "tcp-request"
        return f" in '{stage}'", f"{'frontend' if asking else 'backend'} {stage} rule"

    def _target(self, draft: ConnectionRuleDraft, scope: Scope) -> int:
        """The index of a backend, or the slot of a server; 0 for what goes nowhere else."""
        if draft.action.names_variable:
            return self._directory.variables.number(draft.target, scope)
        if draft.action is RuleAction.USE_BACKEND:
            backend = self._directory.backend(draft.target)  # its name is checked elsewhere
            return NOWHERE if backend is None else backend[0]
        if draft.action is RuleAction.USE_SERVER:
            return self._server(draft.target)
        kind, name = SampleType(draft.key_type or "truth"), self._draft.name
        if draft.action is RuleAction.TRACK:
            self._warn_of_luck(draft)
            table = draft.target or name
            return table_to_track(kind, table, draft.tracked, name, self._directory)
        if draft.action.uses_table:
            store = "store table" if draft.action is RuleAction.STICK_ANSWER else "stick-table"
            return table_of(kind, draft.target, name, self._directory, store)
        return 0

    def _warn_of_luck(self, draft: ConnectionRuleDraft) -> None:
        """Warn of a key that is of bytes which nothing waits for."""
        of_bytes = draft.line.words[1] == "content" and not any(
            FETCHES[re.split("[(,]", draft.line.words[3])[0]].scope & scope
            for scope in (Scope.CONNECTION, Scope.SESSION)
        )
        if of_bytes and not self._draft.rules.inspect_ms:
            self._messages.warning(
                f"{self._draft.title} : a 'tcp-request content track-sc*' rule explicitly "
                "depending on request contents without any 'tcp-request inspect-delay' setting. "
                "This means that this rule will randomly find its contents. This can be fixed by "
                "setting the tcp-request inspect-delay.",
                draft.line.origin,
            )

    def _rule(
        self, draft: ConnectionRuleDraft, condition: Condition | None, target: int, scope: Scope
    ) -> Rule:
        name, tables = self._draft.name, self._tables(draft)
        values = ValueLinker(self._directory, name, 0, front=name, stage=scope)
        return Rule(
            draft.action,
            condition,
            target,
            None if draft.key is None else values.value(tables.value(draft.key)),
            draft.tracked,
            draft.data,
            form=values.format(tables.format(draft.form)),
            when=draft.when,
            length=draft.length,
            text=written(draft.line.words),
            origin=draft.line.origin,
        )

    def _tables(self, draft: ConnectionRuleDraft) -> TableLinker:
        """What links the tables of a rule's values, named as HAProxy names the rule."""
        keyword, rule = "sample fetch keyword", _TABLE_RULES.get(draft.action, "stick rule")
        if draft.action is RuleAction.TAG:
            keyword = "ACL keyword"
        elif draft.action is RuleAction.SET_VARIABLE or draft.action.value.startswith("set-"):
            rule = f"{draft.line.words[0]} {draft.line.words[1]} expression"
        return TableLinker(self._directory, self._draft.name, keyword, rule)

    def _server(self, name: str) -> int:
        slot = self._directory.server(self._draft.name, name)
        if slot is None and name.startswith("%["):
            raise ConfigError(
                f"'use-server {name}' : a format is not supported there; write a line "
                "'use-server <name> if ...' for each server"
            )
        if slot is None:
            known = [server.name for server in self._draft.servers]
            raise ConfigError(
                f"unable to find server '{name}' in backend '{self._draft.name}' referenced in a "
                f"'use-server' rule.{hint(name, known)}"
            )
        return slot


def _sees(expression: Expression, scope: Scope) -> bool:
    return bool(FETCHES[re.split("[(,]", expression.word)[0]].scope & scope)


def _check_mode(expression: Expression) -> None:
    """ConfigError for what can only be asked of a request by HTTP."""
    word = re.split("[(,]", expression.word)[0]
    if not FETCHES[word].scope & _TCP:
        raise ConfigError(f"'{word}' is not supported in mode tcp: HTTP is forwarded as it is")
