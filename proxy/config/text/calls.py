"""One sample expression as words: a fetch with arguments, and converters behind commas. Pure.

Owns quotes, backslashes and parentheses (manual sections 7.3 and 2.2). Knows no fetch.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.config.text.messages import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ESCAPED = {  # behind a backslash; before any other character it is one itself
    **{same: same for same in "\\\"' "},
    "n": "\n",
    "r": "\r",
    "t": "\t",
}


class Call(NamedTuple):
    """A fetch or a converter; `arguments` None: there are no parentheses."""

    name: str
    arguments: tuple[str, ...] | None


class Calls(NamedTuple):
    """An expression: the fetch, and converters from the left to the right."""

    fetch: Call
    converters: tuple[Call, ...]


def scan_calls(text: str, at: int = 0) -> tuple[Calls, int]:
    """The expression that begins there, and where it ends; raises ConfigError."""
    fetch, at = _call(text, at, "fetch method")
    converters = []
    while text[at : at + 1] == ",":
        converter, at = _call(text, at + 1, "converter")
        converters.append(converter)
    return Calls(fetch, tuple(converters)), at


def whole_calls(text: str) -> Calls:
    """The expression that all of a word is; raises ConfigError."""
    calls, end = scan_calls(text)
    if end < len(text):
        raise ConfigError(f"unexpected '{text[end:]}' behind '{text[:end]}'")
    return calls


def _call(text: str, at: int, what: str) -> tuple[Call, int]:
    name = _NAME.match(text, at)
    if name is None:
        raise ConfigError(f"missing {what} near '{text[at:]}'")
    at = name.end()
    if text[at : at + 1] != "(":
        return Call(name[0], None), at
    arguments = []
    while True:
        argument, at = _argument(text, at + 1, name[0])
        arguments.append(argument)
        if text[at] == ")":
            return Call(name[0], () if arguments == [""] else tuple(arguments)), at + 1


def _argument(text: str, at: int, name: str) -> tuple[str, int]:
    """One argument up to its comma or parenthesis, where the second number is."""
    kept: list[str] = []
    quote = ""
    while at < len(text):
        character = text[at]
        if character == quote:
            quote = ""
        elif quote != "'" and character == "\\" and text[at + 1 : at + 2] in _ESCAPED:
            at += 1
            kept.append(_ESCAPED[text[at]])
        elif quote:
            kept.append(character)
        elif character in "\"'":
            quote = character
        elif character in ",)":
            return "".join(kept), at
        else:
            kept.append(character)
        at += 1
    raise ConfigError(f"expected ')' behind the arguments of '{name}'")
