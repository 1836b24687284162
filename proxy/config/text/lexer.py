"""One line of a configuration to its words: quotes, escapes, comments, environment (section 2.2).

Owns the characters. Knows no file and no keyword: the environment is passed in as a mapping, and
pseudo variables such as `.LINE` are entries of it.

    outside quotes   space ends a word, `#` starts a comment, `\\` escapes
    "weak quotes"    keep spaces and `#`; escapes and `$NAME`, `${NAME}`, `${NAME-default}` work
    'strong quotes'  keep everything as it is

`${NAME[*]}` splits the value at its spaces into several words. `$` outside weak quotes is an
ordinary character, as in HAProxy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from proxy.config.text.messages import ConfigError

WORDS_MAX = 64  # of one line, HAProxy's limit
LINE_MAX = 65_536  # characters of one line before and after expansion

_SPACES = " \t\n\r\v\f"
_WORD = re.compile(f"[^{_SPACES}]+")
_SIMPLE_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}
_ESCAPED_AS_IS = " \\#'\""
_FIRST_OF_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_REST_OF_NAME = _FIRST_OF_NAME | frozenset("0123456789")


class LexerError(ConfigError):
    """A line that cannot be split; the text has the position, from 1."""


def split_line(
    text: str, environment: Mapping[str, str], unset: list[tuple[int, str]] | None = None
) -> tuple[str, ...]:
    """The words of one line; LexerError for open quotes or braces, bad escapes, too many words."""
    if len(text) > LINE_MAX:
        raise LexerError(f"line of {len(text)} characters is too long (at most {LINE_MAX})")
    if "\0" in text:
        raise LexerError(f"NUL character at position {text.index(chr(0)) + 1}")
    plain = text.partition("#")[0]
    if not ("\\" in plain or '"' in plain or "'" in plain):  # as nearly all lines: a word is a word
        found = _WORD.findall(plain)
        if len(found) <= WORDS_MAX:
            return tuple(found)
    splitter = _Splitter(text, environment)
    words = splitter.run()
    if unset is not None:
        unset += splitter.unset
    return words


class _Splitter:
    """The state of one line while it is being split."""

    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self._text = text
        self._environment = environment
        self._at = 0
        self._quote = ""  # the open quote, or nothing
        self._quote_at = 0
        self._word: list[str] = []
        self._in_word = False  # an empty pair of quotes makes an empty word
        self._words: list[str] = []
        self._length = 0  # characters after expansion
        self.unset: list[tuple[int, str]] = []  # a word's index, and a variable that it lacks

    def run(self) -> tuple[str, ...]:
        text = self._text
        while self._at < len(text):
            character = text[self._at]
            if character == "#" and not self._quote:
                break
            if character in "\"'" and self._quote in ("", character):
                self._toggle_quote(character)
            elif character == "\\" and self._quote != "'":
                self._escape()
            elif character == "$" and self._quote == '"':
                self._variable()
            elif character in _SPACES and not self._quote:
                self._end_word()
                self._at += 1
            else:
                self._emit(character)
                self._at += 1
        if self._quote:
            raise LexerError(f"unmatched quote at position {self._quote_at + 1}")
        self._end_word()
        return tuple(self._words)

    def _toggle_quote(self, character: str) -> None:
        self._quote = "" if self._quote else character
        self._quote_at = self._at
        self._in_word = True
        self._at += 1

    def _emit(self, characters: str) -> None:
        self._length += len(characters)
        if self._length > LINE_MAX:
            raise LexerError(f"line is longer than {LINE_MAX} characters once expanded")
        self._word.append(characters)
        self._in_word = True

    def _end_word(self) -> None:
        if not self._in_word:
            return
        if len(self._words) == WORDS_MAX:
            raise LexerError(f"more than {WORDS_MAX} words at position {self._at + 1}")
        self._words.append("".join(self._word))
        self._word.clear()
        self._in_word = False

    def _escape(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "x":
            self._hexadecimal()
            return
        if following in _SIMPLE_ESCAPES:
            self._emit(_SIMPLE_ESCAPES[following])
            self._at += 2
        elif following and (
            following in _ESCAPED_AS_IS or (following == "$" and self._quote == '"')
        ):
            self._emit(following)
            self._at += 2
        else:  # no escape sequence: the backslash stands for itself
            self._emit("\\")
            self._at += 1

    def _hexadecimal(self) -> None:
        digits = self._text[self._at + 2 : self._at + 4]
        try:
            value = int(digits, 16) if len(digits) == 2 and digits.isalnum() else -1
        except ValueError:
            value = -1
        if value < 0:
            raise LexerError(f"invalid hexadecimal escape at position {self._at + 1}")
        if value == 0:
            raise LexerError(f"NUL character at position {self._at + 1}")
        # a byte above 0x7F becomes a surrogate, as Python reads undecodable bytes of files
        self._emit(chr(value) if value < 0x80 else chr(0xDC00 + value))
        self._at += 4

    def _variable(self) -> None:
        start = self._at
        self._at += 1
        braced = self._text[self._at : self._at + 1] == "{"
        if braced:
            self._at += 1
        name = self._variable_name()
        value = self._environment.get(name)
        split = False
        if braced:
            if self._text.startswith("[*]", self._at):
                split = True
                self._at += 3
            value = self._close_brace(start, value)
        if value is None:
            self.unset.append((len(self._words), name))
            return
        if split:
            self._emit_words(value)
        else:
            self._emit(value)

    def _variable_name(self) -> str:
        start = self._at
        text = self._text
        dot = 1 if text[start : start + 1] == "." else 0
        end = start + dot
        if text[end : end + 1] not in _FIRST_OF_NAME:
            raise LexerError(f"invalid name of an environment variable at position {start + 1}")
        while end < len(text) and text[end] in _REST_OF_NAME:
            end += 1
        self._at = end
        name = text[start:end]
        if dot and name not in self._environment:
            raise LexerError(f"unknown pseudo variable '{name}' at position {start + 1}")
        return name

    def _close_brace(self, start: int, value: str | None) -> str | None:
        """Skip `}` or `-default}`; returns the value, or the default for None."""
        text = self._text
        close = text.find("}", self._at)
        if close < 0 or (close > self._at and text[self._at] != "-"):
            raise LexerError(f"unmatched brace of an environment variable at position {start + 1}")
        if value is None and close > self._at:
            value = text[self._at + 1 : close]
        self._at = close + 1
        return value

    def _emit_words(self, value: str) -> None:
        parts = value.split()
        for index, part in enumerate(parts):
            if index:
                self._end_word()
            self._emit(part)
