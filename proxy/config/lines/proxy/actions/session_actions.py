"""Rules that change what a session is: its addresses, marks of its packets, its log level, retries.

Owns what stands between the action and `if`, in HAProxy's words about wrong ones. `set-mark` and
`set-tos` are the older names of `set-fc-mark` and `set-fc-tos`, which take expressions as well.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.http import rule_line
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.model.rules import RuleAction, Value
from proxy.config.rule_drafts import ConnectionRuleDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of
from proxy.config.text.suggest import hint
from shm.log_level import LogLevel

SILENT = 9  # beside the levels, each of which is one more than its number
NICE_MAX = 1024
RETRIES_MAX = 65_534
_MARK_MAX = 2**32 - 1
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)")

_REQUEST = ("tcp-request connection", "tcp-request session", "tcp-request content")
_CONTENT = ("tcp-request content", "tcp-response content")
_ACTIONS = {
    "set-src": RuleAction.SET_SOURCE,
    "set-src-port": RuleAction.SET_SOURCE_PORT,
    "set-dst": RuleAction.SET_DESTINATION,
    "set-dst-port": RuleAction.SET_DESTINATION_PORT,
    "set-mark": RuleAction.CLIENT_MARK,
    "set-tos": RuleAction.CLIENT_TOS,
    "set-fc-mark": RuleAction.CLIENT_MARK,
    "set-fc-tos": RuleAction.CLIENT_TOS,
    "set-bc-mark": RuleAction.SERVER_MARK,
    "set-bc-tos": RuleAction.SERVER_TOS,
    "set-log-level": RuleAction.LOG_LEVEL,
    "set-nice": RuleAction.NICE,
    "set-retries": RuleAction.RETRIES,
}
_WHERE = {
    **dict.fromkeys(("set-src", "set-src-port", "set-dst", "set-dst-port"), _REQUEST),
    **dict.fromkeys(
        ("set-mark", "set-tos", "set-fc-mark", "set-fc-tos"), (*_REQUEST, "tcp-response content")
    ),
    **dict.fromkeys(("set-bc-mark", "set-bc-tos", "set-retries"), ("tcp-request content",)),
    **dict.fromkeys(("set-log-level", "set-nice"), _CONTENT),
}
_OLD = ("set-mark", "set-tos")  # numbers only
_INTEGER = "integer/hex value"


def actions_at(stage: str) -> tuple[str, ...]:
    """The words that can stand at a stage, `tcp-request content` or the like."""
    return tuple(word for word, stages in _WHERE.items() if stage in stages)


def session_action(
    statement: Statement, draft: ProxyDraft, stage: str
) -> tuple[ConnectionRuleDraft, tuple[str, ...]]:
    """The rule of a line, and the words behind it; ConfigError."""
    word, *words = statement.arguments[1:]
    rule = ConnectionRuleDraft(_ACTIONS[word], rule_line(statement, draft))
    try:
        if not words:
            raise ConfigError(_missing(word))
        key = _value(word, words[0], statement, draft, stage)
    except ConfigError as error:
        raise ConfigError(f"'{stage} {word}' : {error}") from error
    return replace(rule, key=key), tuple(words[1:])


def _missing(word: str) -> str:
    if word == "set-log-level":
        return "expects exactly 1 argument (log level name or 'silent')"
    if word == "set-nice":
        return "expects exactly 1 argument (integer value)"
    if word.endswith(("mark", "tos")):
        return f"expects exactly 1 argument ({_INTEGER})"
    return "missing fetch method"


def _value(word: str, text: str, statement: Statement, draft: ProxyDraft, stage: str) -> Value:
    """What something is set to; ConfigError."""
    if word == "set-log-level":
        return _number(_level(text))
    if word == "set-nice":
        found = re.match(r"[+-]?[0-9]+", text)  # HAProxy takes what is no number for 0
        statement.notice(
            f"'{stage} set-nice' has no effect here: sessions of a worker have their turns alike"
        )
        return _number(max(-NICE_MAX, min(NICE_MAX, int(found[0]) if found else 0)))
    if word.endswith(("mark", "tos", "retries")):
        if _NUMBER.fullmatch(text):
            return _number(_plain(word, text))
        if word in _OLD or text[:1].isdigit():
            raise ConfigError(_wrong(text))
    return _reader(statement, draft, stage).expression(text)


def _reader(statement: Statement, draft: ProxyDraft, stage: str) -> ValueReader:
    """Of expressions: also those that have nothing to look at before there are bytes."""
    scope = Scope.RESPONSE if stage.startswith("tcp-response") else Scope.CONTENT
    if draft.kind.serves:
        scope |= Scope.BACKEND
    place = place_of(statement.context, statement.origin)
    return ValueReader(scope, statement.context.environment, place=place)


def _level(text: str) -> int:
    known = {level.name.lower(): level + 1 for level in LogLevel} | {"silent": SILENT}
    if text not in known:
        raise ConfigError(f"{_missing('set-log-level')}{hint(text, known)}")
    return known[text]


def _plain(word: str, text: str) -> int:
    """A number as C reads it: hexadecimal, octal or decimal."""
    digits = text.lstrip("+-")
    octal = digits.startswith("0") and digits[1:].isdigit()
    if octal and not re.fullmatch(r"[0-7]+", digits):
        raise ConfigError(_wrong(digits))
    number = int(digits, 8 if octal else 0)
    if word == "set-retries" and (text.startswith("-") or number > RETRIES_MAX):
        raise ConfigError(f"expects a number of retries from 0 to {RETRIES_MAX}")
    number = min(number, 2**64 - 1)
    return (-number if text.startswith("-") else number) & _MARK_MAX


def _wrong(text: str) -> str:
    """What is said of a text that does not go on as a number."""
    rest = re.sub(r"^[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[0-9]+)", "", text)
    return f"invalid character starting at '{rest}' ({_INTEGER} expected)"


def _number(value: int) -> Value:
    return Value("number", numbers=(value, 0))
