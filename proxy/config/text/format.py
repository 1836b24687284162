"""A log format as pieces: text, `%name`, `%[expression]`, with their flags (manual 8.2.4). Pure.

Owns the grammar: `%%`, `%{flags}name`, `%{flags}o` for all that follows. Knows neither variables
nor fetches: who reads the pieces does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from proxy.config.text.calls import Calls, scan_calls
from proxy.config.text.messages import ConfigError

_NAME = re.compile(r"[A-Za-z0-9]+")
UNKNOWN = (
    "no such format variable '{}'. If you wanted to emit the '%' character verbatim, you need to "
    "use '%%'."
)


class Text(NamedTuple):
    """What stands for itself."""

    text: str


class Alias(NamedTuple):
    """`%name`."""

    name: str
    flags: frozenset[str]


class Bracket(NamedTuple):
    """`%[expression]`; `text` is what stands between the brackets."""

    calls: Calls
    text: str
    flags: frozenset[str]


Piece = Text | Alias | Bracket


def format_pieces(text: str) -> Iterator[Piece]:
    """The pieces of a format, texts in one as far as they touch; ConfigError for an error."""
    kept: list[str] = []
    for piece in _Reader(text).pieces():
        if isinstance(piece, Text):
            kept.append(piece.text)
            continue
        if kept:
            yield Text("".join(kept))
            kept.clear()
        yield piece
    if kept:
        yield Text("".join(kept))


class _Reader:
    """One format while it is being read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags = frozenset[str]()  # set by %{...}o for what follows

    def pieces(self) -> Iterator[Piece]:
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character != "%":
                yield Text(character)
            elif self._text[self._at : self._at + 1] == "%":
                self._at += 1
                yield Text("%")
            else:
                flags = self._read_flags()
                if self._text[self._at : self._at + 1] == "[":
                    yield self._bracket(flags)
                else:
                    yield from self._alias(flags)

    def _bracket(self, flags: frozenset[str]) -> Bracket:
        begin = self._at + 1
        rest = self._text[begin:]
        calls, end = scan_calls(self._text, begin)
        if self._text[end : end + 1] != "]":
            raise ConfigError(f"missing ']' after '{rest}'.")
        self._at = end + 1
        return Bracket(calls, self._text[begin:end], flags)

    def _alias(self, flags: frozenset[str]) -> Iterator[Alias]:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise ConfigError(self._nameless())
        self._at = found.end()
        if found[0] == "o":
            self._flags = flags
        else:
            yield Alias(found[0], flags)

    def _nameless(self) -> str:
        if self._at >= len(self._text):
            return "truncated line after '%'."
        character = self._text[self._at]
        return (
            f"unexpected variable name near '{character}' at position {self._at} line : "
            f"'{self._text}'. Maybe you want to write a single '%', use the syntax '%%'."
        )

    def _read_flags(self) -> frozenset[str]:
        """`{+Q,-X,+E}`: the flags set by `o` with these changes; unknown ones have no effect."""
        if self._text[self._at : self._at + 1] != "{":
            return self._flags
        close = self._text.find("}", self._at)
        if close < 0:
            raise ConfigError(f"truncated line after '{self._text[self._at + 1 :]}'.")
        flags = set(self._flags)
        for word in self._text[self._at + 1 : close].split(","):
            (flags.discard if word.startswith("-") else flags.add)(word.strip(" +-"))
        self._at = close + 1
        return frozenset(flags)
