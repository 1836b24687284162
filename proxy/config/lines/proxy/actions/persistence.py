"""`persist`, `force-persist`, `ignore-persist` (manual section 4.2), and what a backend hashes.

Whether a session goes to the server that was named for it. An RDP cookie may name one; the
conditions say whether that counts while the server is down.
"""

from __future__ import annotations

import re

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.http import rule_line
from proxy.config.lines.rules.condition import BEGINNINGS
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.model.rules import RuleAction, Value
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of

RDP = "rdp-cookie"
EMPTY_IS_NONE = 1  # of a value that is hashed
_PERSISTING = "msts"  # the name of the cookie that names a server
_BALANCING = "mstshash"  # of the one that names a user
_FORCING = {
    "force-persist": RuleAction.FORCE_PERSIST,
    "ignore-persist": RuleAction.IGNORE_PERSIST,
}


def persist(statement: Statement, draft: ProxyDraft) -> None:
    """`persist rdp-cookie[(<name>)]`; the last line counts."""
    words = statement.arguments
    if not words:
        raise ConfigError("missing persist method.")
    if not words[0].startswith(RDP):
        raise ConfigError("unknown persist method.")
    named = re.match(r"\(([^)]+)\)", words[0].removeprefix(RDP))
    if words[0] != RDP:
        if named is None:
            raise ConfigError("'persist rdp-cookie(name)' requires an rdp cookie name.")
        statement.at_most(1)
    statement.pass_over(1, "'persist'")
    rule = ConnectionRuleDraft(
        RuleAction.PERSIST_COOKIE,
        rule_line(statement, draft),
        key=_cookie(named[1] if named else _PERSISTING),
    )
    draft.rules = draft.rules.with_only("cookies", rule)


def forcing(statement: Statement, draft: ProxyDraft) -> None:
    """`force-persist|ignore-persist if|unless <condition>`; the first that holds counts."""
    word = statement.keyword
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError(f"'{word}' not allowed in 'defaults' section.")
    if not statement.arguments or statement.arguments[0] not in BEGINNINGS:
        raise ConfigError(f"'{word}' requires either 'if' or 'unless' followed by a condition.")
    if word == "ignore-persist":
        statement.notice(
            "'ignore-persist' only keeps later 'force-persist' lines back here: what it ignores "
            "are cookies of HTTP"
        )
    rule = ConnectionRuleDraft(
        _FORCING[word], rule_line(statement, draft), tuple(statement.arguments)
    )
    draft.rules = draft.rules.with_rule("persists", rule)


def hash_cookie(statement: Statement, draft: ProxyDraft) -> None:
    """`balance rdp-cookie[(<name>)]`."""
    named = re.match(r"\(([^)]+)\)", statement.arguments[0].removeprefix(RDP))
    if statement.arguments[0] != RDP and named is None:
        raise ConfigError("balance rdp-cookie : missing cookie name.")
    _hash(statement, draft, _cookie(named[1] if named else _BALANCING), EMPTY_IS_NONE)


def hash_value(statement: Statement, draft: ProxyDraft) -> None:
    """`balance hash <expression>`."""
    words = statement.arguments[1:]
    if not words:
        raise ConfigError("balance hash requires a sample expression.")
    if len(words) > 1:
        raise ConfigError(f"balance hash takes no other argument (got '{words[1]}').")
    place = place_of(statement.context, statement.origin)
    scope = Scope.CONTENT | Scope.BACKEND
    try:
        reader = ValueReader(scope, statement.context.environment, place=place)
        value = reader.expression(words[0])
    except ConfigError as error:
        raise ConfigError(
            f"failed to parse 'balance hash' expression '{words[0]}' in : {error}"
        ) from error
    _hash(statement, draft, value, 0)


def _hash(statement: Statement, draft: ProxyDraft, value: Value, data: int) -> None:
    rule = ConnectionRuleDraft(RuleAction.HASH, rule_line(statement, draft), key=value, data=data)
    draft.rules = draft.rules.with_only("hashes", rule)


def _cookie(name: str) -> Value:
    return Value("req.rdp_cookie", text=name)
