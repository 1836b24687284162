"""`use_backend` and `use-server`: where a session goes (manual section 4.2)."""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.http import rule_line
from proxy.config.lines.proxy.rule_order import warn_misplaced
from proxy.config.lines.rules.condition import BEGINNINGS
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.model.rules import Format, RuleAction
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of


def use_backend(statement: Statement, draft: ProxyDraft) -> None:
    """`use_backend`: the first line that holds precedes `default_backend`.

    A first line without a condition is as good as `default_backend`.
    """
    if not statement.arguments:
        raise ConfigError("'use_backend' expects a backend name.")
    name, *condition = statement.arguments
    if condition and condition[0] not in BEGINNINGS:
        raise ConfigError(
            f"unexpected keyword '{condition[0]}' after switching rule, only 'if' and 'unless' are "
            "allowed."
        )
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'use_backend' not allowed in 'defaults' section.")
    warn_misplaced(statement, draft, "use_backend")
    name, form = _name(name, statement)
    if not form and draft.switched_backend is None and not draft.rules.backends and not condition:
        draft.switched_backend, draft.switched_backend_origin = name, statement.origin
        return
    draft.rules = draft.rules.with_rule(
        "backends",
        ConnectionRuleDraft(
            RuleAction.USE_BACKEND, rule_line(statement, draft), tuple(condition), name, form=form
        ),
    )


def _name(text: str, statement: Statement) -> tuple[str, Format]:
    """The name of a backend, or the format that says it for each session."""
    place = place_of(statement.context, statement.origin)
    try:
        form = ValueReader(Scope.CONTENT, statement.context.environment, place=place).text(text)
    except ConfigError as error:
        raise ConfigError(f"failed to parse use_backend rule '{text}' : {error}") from error
    return (form, ()) if isinstance(form, str) else ("", form)


def use_server(statement: Statement, draft: ProxyDraft) -> None:
    """`use-server`: the first line that holds, and whose server is up, precedes balancing."""
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'use-server' not allowed in 'defaults' section.")
    if not statement.arguments:
        raise ConfigError("'use-server' expects a server name.")
    name, *condition = statement.arguments
    if not condition or condition[0] not in BEGINNINGS:
        raise ConfigError("'use-server' requires either 'if' or 'unless' followed by a condition.")
    draft.rules = draft.rules.with_rule(
        "server_rules",
        ConnectionRuleDraft(
            RuleAction.USE_SERVER, rule_line(statement, draft), tuple(condition), name
        ),
    )
