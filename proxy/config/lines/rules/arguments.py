"""The arguments of fetches that give values: words to what a Value has. Pure.

Owns their forms and the errors about them.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Any

from proxy.config.lines.rules.fetches import Argument
from proxy.config.lines.rules.table_words import (
    OWN_TABLE,
    entry_asked,
    entry_numbers,
    table_asked,
)
from proxy.config.model.rules import SETTING_CONDITIONS, Target
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
SCOPES = ("check", "sess", "txn", "req", "res", "proc")
SHARED = "proc."
_UNITS = {"s": 0, "ms": 1, "us": 2}
OFFSETS_MAX = 2**31
_LENGTH_BYTES_MAX = 8
_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")
_DIGITS_MAX = len(str(INTEGER_MAX))
_VARIABLE = re.compile(r"[A-Za-z0-9_.]+")
_TRUTHS = {"true": 1, "false": 0, "1": 1, "0": 0}
_COUNTS = {
    **dict.fromkeys((Argument.NONE, Argument.BACKEND, Argument.FRONTEND, Argument.LIMIT), (0, 1)),
    **dict.fromkeys((Argument.DATE,), (0, 2)),
    **dict.fromkeys((Argument.VARIABLE, Argument.HEADER), (1, 2)),
    Argument.TABLE: (0, 1),
    Argument.DISTINGUISHED: (0, 3),
    Argument.PART: (2, 2),
    Argument.BLOCK: (2, 3),
    **dict.fromkeys((Argument.TEXT, Argument.ANY_NAME), (0, 1)),
    **dict.fromkeys((Argument.TIME_UNIT, Argument.UUID), (0, 1)),
}
_ONE = (1, 1)


def integer(text: str, what: str) -> int:
    """A whole number, one beyond 64 bits being the limit, as in HAProxy; ConfigError."""
    found = _INTEGER.fullmatch(text)
    if found is None:
        raise ConfigError(f"'{what}': '{text}' is not a number")
    sign, digits = found.groups()
    size = int(digits) if len(digits) <= _DIGITS_MAX else INTEGER_MAX + 1
    return max(INTEGER_MIN, -size) if sign == "-" else min(size, INTEGER_MAX)


def is_variable(text: str) -> bool:
    """Whether a word has the form of a variable."""
    scope, dot, name = text.partition(".")
    return bool(dot and scope in SCOPES and _VARIABLE.fullmatch(name))


def captured(number: int) -> str:
    """The variable that has what a session captured there."""
    return f"capture.{number}"


def variable_name(text: str) -> str:
    """A variable as it is written, with its scope; ConfigError."""
    if not text:
        raise ConfigError("Empty variable name cannot be accepted.")
    if not is_variable(text):
        raise ConfigError(
            f"invalid variable name '{text}'. A variable name must be start by its scope. The "
            "scope can be 'proc', 'sess', 'txn', 'req', 'res' or 'check'."
        )
    return text


def setting_conditions(conditions: list[str]) -> int:
    """The bits of the conditions of `set-var`; ConfigError."""
    bits = 0
    for condition in conditions:
        if condition not in SETTING_CONDITIONS:
            raise ConfigError(
                f'unknown condition "{condition}"{hint(condition, SETTING_CONDITIONS)}'
            )
        bits |= 1 << SETTING_CONDITIONS.index(condition)
    return bits


def is_shared(name: str) -> bool:
    """Whether a variable is the program's: all of it sees one value."""
    return name.startswith(SHARED)


def given(kind: Argument, arguments: tuple[str, ...] | None) -> tuple[str, ...]:
    """The arguments; empty parentheses name a section's own table, none the entry's."""
    return ("",) if kind is Argument.ENTRY and arguments == () else arguments or ()


class ArgumentReader:
    """Makes fields of a Value of the arguments of one fetch."""

    def __init__(self, word: str, environment: Mapping[str, str]) -> None:
        """`word` is the fetch as written."""
        self._word = word
        self._environment = environment

    def read(self, kind: Argument, words: tuple[str, ...]) -> dict[str, Any]:
        """The fields; raises ConfigError."""
        if kind is Argument.ENTRY:
            asked = entry_asked(self._word, words)
            return {"numbers": entry_numbers(self._word, asked), "table": asked.table}
        least, most = _COUNTS.get(kind, _ONE)
        if kind is Argument.NONE:
            most = 0
        if not least <= len(words) <= most:
            usage = f"{self._word}({kind.value})" if kind.value else self._word
            raise ConfigError(f"'{self._word}': write {usage}")
        if kind in (Argument.NONE, Argument.TABLE, Argument.DISTINGUISHED):
            return self._own() if kind is Argument.NONE else self._listed(kind, words)
        first = words[0] if words else ""
        if kind in (Argument.BACKEND, Argument.SERVER, Argument.FRONTEND):
            return {"target": Target(first, kind.name.lower())}
        if kind in _CHOSEN:
            return self._chosen(kind, first)
        if kind in (Argument.NAME, Argument.HEADER):
            # without an occurrence the last value counts, where a condition looks at each
            occurrence = integer(words[1], self._word) if len(words) > 1 else -1
            return {"text": first, "numbers": (occurrence,)}
        return (
            self._constant(kind, first)
            if len(words) < 2 and kind in _CONSTANTS
            else (self._numbers(kind, words))
        )

    def _own(self) -> dict[str, Any]:
        if self._word == "hostname":
            return {"text": socket.gethostname()}
        if self._word in ("proc", "nbproc"):
            return {"numbers": (1,)}
        if self._word in ("be_name", "fe_name"):
            return {"target": Target("", self._word)}
        if self._word == "be_id":
            return {"target": Target("", "id")}
        return {}

    def _listed(self, kind: Argument, words: tuple[str, ...]) -> dict[str, Any]:
        """A table that is asked as a whole; of a name in a certificate, nothing is there to ask."""
        if kind is Argument.TABLE:
            return {"numbers": (0, OWN_TABLE), "table": table_asked(self._word, words)}
        return {"numbers": (integer(words[1], self._word),) if words[1:] else ()}

    def _chosen(self, kind: Argument, text: str) -> dict[str, Any]:
        """What may be left out; of a unit whether it is microseconds."""
        wrong = ""
        if kind is Argument.TIME_UNIT and text not in ("", "us", "ms"):
            wrong = f"expects 'us' or 'ms', got '{text}'"
        elif kind is Argument.UUID and text not in ("", "4"):
            wrong = f"Unsupported UUID version: '{text}'"
        if wrong:
            raise ConfigError(f"invalid args in fetch method '{self._word}' : {wrong}")
        return {"text": text} if kind is Argument.ANY_NAME else {"numbers": (int(text == "us"),)}

    def _constant(self, kind: Argument, text: str) -> dict[str, Any]:
        if kind is Argument.TEXT:
            return {"text": text, "numbers": (int(self._word != "str"),)}  # no number, if 1
        if kind is Argument.ENVIRONMENT:
            found = self._environment.get(text)
            return {"fetch": "nothing"} if found is None else {"text": found}
        if kind is Argument.INTEGER:
            return {"numbers": (integer(text, self._word),)}
        if kind is Argument.TRUTH:
            if text not in _TRUTHS:
                raise ConfigError(f"'{self._word}': '{text}' is neither true nor false")
            return {"numbers": (_TRUTHS[text], 1)}
        try:
            if kind is Argument.DIGITS:
                content = bytes.fromhex(text if text.isalnum() else "x")
                return {"content": content, "numbers": (1,)}
            maker = ipaddress.IPv4Address if self._word == "ipv4" else ipaddress.IPv6Address
            return {"content": maker(text).packed}
        except ValueError:
            raise ConfigError(f"'{self._word}': '{text}' is not {kind.value}") from None

    def _numbers(self, kind: Argument, words: tuple[str, ...]) -> dict[str, Any]:
        if kind is Argument.CAPTURED:
            captures = integer(words[0], self._word)
            return {"variable": captured(captures), "numbers": (-1, 0)}
        if kind is Argument.VARIABLE:
            given = {"variable": variable_name(words[0]), "text": "".join(words[1:])}
            return {**given, "numbers": (-1, len(words) - 1)}
        if kind is Argument.BLOCK:
            return {"numbers": self._block(words)}
        unit = 0
        if kind is Argument.DATE and len(words) > 1:
            if words[1] not in _UNITS:
                raise ConfigError(f"'{self._word}': the unit is s, ms or us")
            unit, words = _UNITS[words[1]], words[:1]
        numbers = [integer(word, self._word) for word in words] or [0]
        if kind is Argument.DATE:
            return {"numbers": (numbers[0], unit)}
        if min(numbers) < 0 or max(numbers) >= OFFSETS_MAX:
            raise ConfigError(f"'{self._word}': write {self._word}({kind.value})")
        return {"numbers": tuple(numbers)}

    def _block(self, words: tuple[str, ...]) -> tuple[int, int, int]:
        """Where the length is, how long; twice where the block is, and 1 if that is from there."""
        at, size = integer(words[0], self._word), integer(words[1], self._word)
        offset = words[2] if len(words) > 2 else ""
        relative = offset[:1] in ("", "+", "-")
        moved = integer(offset or "0", self._word)
        if not 0 <= at < OFFSETS_MAX or abs(moved) >= OFFSETS_MAX:
            raise ConfigError(f"'{self._word}': payload offset1 must be positive")
        if not 1 <= size <= _LENGTH_BYTES_MAX:
            raise ConfigError(
                f"'{self._word}': payload length must be > 0, and has at most "
                f"{_LENGTH_BYTES_MAX} bytes"
            )
        if relative and at + size + moved < 0:
            raise ConfigError(f"'{self._word}': payload offset2 too negative")
        return at, size, 2 * moved + relative


_CHOSEN = (Argument.ANY_NAME, Argument.TIME_UNIT, Argument.UUID)
_CONSTANTS = (
    *(Argument.TEXT, Argument.ENVIRONMENT, Argument.INTEGER, Argument.TRUTH),
    *(Argument.DIGITS, Argument.ADDRESS),
)
