"""The conditions of `.if`, `.elif` and `-cc` (manual section 2.4).

Owns the grammar and the predicates. Knows no file: the variables are passed in as a mapping.

    condition = term { "&&" term } { "||" ... }      && binds stronger than ||
    term      = "!" term | "(" condition ")" | predicate "(" [ argument { "," argument } ] ")"
              | integer                              0 is false, and so is an empty text
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from proxy.config.text.messages import ConfigError

LANGUAGE_VERSION = "3.2"  # the HAProxy whose configuration words Millrace follows
FEATURES = frozenset({"ACCEPT4", "EPOLL", "GETADDRINFO", "LINUX_SPLICE", "PROMEX", "THREAD"})
ENABLED = frozenset({"EPOLL", "GETADDRINFO", "REUSEPORT", "SPLICE"})
NESTED_MAX = 32  # parentheses and negations

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[+-]?[0-9]+")
_VERSION = re.compile(r"([0-9]+)(?:\.([0-9]+))?(?:-(dev|rc)([0-9]+))?(?:[.-]([0-9]+))?.*")
_STAGES = {"dev": 0, "rc": 1, None: 2}

_Arguments = list[str]
_Predicate = tuple[int, Callable[[_Arguments, Mapping[str, str]], bool]]


def evaluate(text: str, environment: Mapping[str, str]) -> bool:
    """Whether the condition is true; ConfigError for one with an error."""
    if not text.strip():
        return False
    parser = _ExpressionParser(text, environment)
    value = parser.disjunction(0)
    if parser.rest:
        raise ConfigError(f"unexpected '{parser.rest}' at the end of condition '{text}'")
    return value


def _version_key(text: str) -> tuple[int, int, int, int, int]:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ConfigError(f"'{text}' is not a version such as 2.6 or 3.2-dev1")
    major, minor, stage, stage_number, patch = match.groups()
    numbers = [int((part or "0")[:9]) for part in (major, minor, stage_number, patch)]
    return numbers[0], numbers[1], _STAGES[stage], numbers[2], numbers[3]


def _at_least(wanted: str) -> bool:
    return _version_key(LANGUAGE_VERSION) >= _version_key(wanted)


_PREDICATES: dict[str, _Predicate] = {
    "defined": (1, lambda a, environment: a[0] in environment),
    "feature": (1, lambda a, _: a[0] in FEATURES),
    "enabled": (1, lambda a, _: a[0] in ENABLED),
    "streq": (2, lambda a, _: a[0] == a[1]),
    "strneq": (2, lambda a, _: a[0] != a[1]),
    "strstr": (2, lambda a, _: a[1] in a[0]),
    "version_atleast": (1, lambda a, _: _at_least(a[0])),
    "version_before": (1, lambda a, _: not _at_least(a[0])),
    # Without OpenSSL both predicates are false.
    "openssl_version_atleast": (1, lambda _a, _: False),
    "openssl_version_before": (1, lambda _a, _: False),
}


class _ExpressionParser:
    """Recursive descent over one condition; evaluates every term, so finds every error."""

    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self._text = text
        self._at = 0
        self._environment = environment

    @property
    def rest(self) -> str:
        """The unread text, without leading spaces."""
        self._skip_spaces()
        return self._text[self._at :]

    def disjunction(self, depth: int) -> bool:
        value = self._conjunction(depth)
        while self._take("||"):
            value = self._conjunction(depth) or value
        return value

    def _conjunction(self, depth: int) -> bool:
        value = self._term(depth)
        while self._take("&&"):
            value = self._term(depth) and value
        return value

    def _term(self, depth: int) -> bool:
        if depth > NESTED_MAX:
            raise ConfigError(f"condition is nested more than {NESTED_MAX} deep")
        if self._take("!"):
            return not self._term(depth + 1)
        if self._take("("):
            value = self.disjunction(depth + 1)
            if not self._take(")"):
                raise ConfigError(f"closing parenthesis missing in condition '{self._text}'")
            return value
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            return number[0].strip("+-0") != ""
        name = _NAME.match(self._text, self._at)
        if name is None:
            raise ConfigError(f"cannot read '{self.rest}' in condition '{self._text}'")
        self._at = name.end()
        return self._predicate(name[0])

    def _predicate(self, name: str) -> bool:
        if name not in _PREDICATES:
            known = ", ".join(sorted(_PREDICATES))
            raise ConfigError(f"unknown predicate '{name}' in condition (known: {known})")
        count, function = _PREDICATES[name]
        if not self._take("("):
            raise ConfigError(f"predicate '{name}' expects its arguments in parentheses")
        arguments = self._arguments(name)
        if len(arguments) != count:
            raise ConfigError(f"predicate '{name}' expects {count} argument(s)")
        return function(arguments, self._environment)

    def _arguments(self, name: str) -> _Arguments:
        arguments = [""]
        quote = ""
        for index in range(self._at, len(self._text)):
            character = self._text[index]
            if quote:
                quote = "" if character == quote else quote
                arguments[-1] += "" if not quote else character
            elif character in "\"'":
                quote = character
            elif character == ",":
                arguments.append("")
            elif character == ")":
                self._at = index + 1
                return arguments
            else:
                arguments[-1] += character
        raise ConfigError(f"closing parenthesis of predicate '{name}' missing in condition")

    def _take(self, token: str) -> bool:
        self._skip_spaces()
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def _skip_spaces(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
