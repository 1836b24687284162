"""The table of words: the kind of each keyword of a section, and the action of a line.

Owns the kinds of words and the messages about words without effect. To add a word, add an entry
to a section's table; to make a "not supported yet" word work, replace its entry by one with a
handler. Knows no single keyword.

    WORKS        the handler reads the line
    NO_EFFECT    tunes what Millrace does not have: one NOTICE
    HTTP_ONLY    means something in mode http only: HAProxy's WARNING where it gives one
    LATER        belongs to Millrace's language, is not built yet: ALERT
    UNSUPPORTED  changes what clients see and cannot be done: ALERT with advice
    REMOVED      gone from HAProxy, too: ALERT with what to write instead
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from proxy.config.lines.shapes import ArgumentShape
from proxy.config.model.settings import Origin
from proxy.config.text.context import Context
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_number

D = TypeVar("D")
FEW = 10  # known words that a complaint may list


class Treatment(enum.Enum):
    """How Millrace treats a word."""

    WORKS = "works"
    NO_EFFECT = "no effect here"
    HTTP_ONLY = "http only"
    LATER = "not supported yet"
    UNSUPPORTED = "not supported"
    REMOVED = "removed"


class Prefix(enum.Enum):
    """The word before the keyword: `no option x`, `default option x`."""

    NONE = ""
    NO = "no"
    DEFAULT = "default"


class Statement(msgspec.Struct, frozen=True):
    """One line on its way to a handler; `words[0]` is the keyword itself."""

    origin: Origin
    words: tuple[str, ...]
    context: Context
    prefix: Prefix = Prefix.NONE

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.words[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words after the keyword."""
        return self.words[1:]

    def at_most(self, count: int) -> None:
        """ConfigError if there are more than `count` arguments."""
        if len(self.arguments) > count:
            extra = self.words[count + 1]
            raise ConfigError(f"'{self.keyword}' cannot handle unexpected argument '{extra}'")

    def pass_over(self, count: int, described: str) -> Statement:
        """The line with its first `count` arguments, and a warning about each surplus one."""
        for extra in self.arguments[count:]:
            self.warn(f"{described} : surplus argument '{extra}' is ignored")
        return Statement(self.origin, self.words[: count + 1], self.context, self.prefix)

    def one(self, what: str) -> str:
        """The only argument; ConfigError with `what` as the expected one."""
        self.at_most(1)
        if not self.arguments or not self.arguments[0]:
            raise ConfigError(f"'{self.keyword}' expects {what} as argument")
        return self.arguments[0]

    def number(self, low: int, high: int, what: str = "a number") -> int:
        """The only argument as a number within the limits."""
        text = self.one(what)
        try:
            return parse_number(text, low, high)
        except ConfigError as error:
            raise ConfigError(f"'{self.keyword}' {error}") from error

    def skip(self, count: int) -> Statement:
        """The same line without its first `count` words."""
        return Statement(self.origin, self.words[count:], self.context, self.prefix)

    def warn(self, text: str) -> None:
        """Add a warning at this line."""
        self.context.messages.warning(text, self.origin)

    def notice(self, text: str) -> None:
        """Add a notice at this line, that something has no effect."""
        self.context.messages.notice(text, self.origin)


Handler = Callable[[Statement, D], None]


class Word(msgspec.Struct, Generic[D], frozen=True):
    """One entry of a table; `advice` completes the message of the kinds that have no handler."""

    kind: Treatment
    handler: Handler[D] | None = None
    advice: str = ""
    negatable: bool = False
    shape: ArgumentShape | None = None  # None: the handler checks the arguments, or any are allowed


Table = Mapping[str, Word[D]]


def works(
    handler: Handler[D], *, negatable: bool = False, shape: ArgumentShape | None = None
) -> Word[D]:
    """A word with a handler."""
    return Word(Treatment.WORKS, handler, negatable=negatable, shape=shape)


def without_effect(
    why: str, shape: ArgumentShape | None = None, *, negatable: bool = False
) -> Word[D]:
    """A word that is accepted with a NOTICE; `why` follows "has no effect here: "."""
    return Word(Treatment.NO_EFFECT, advice=why, negatable=negatable, shape=shape)


def later(advice: str = "") -> Word[D]:
    """A word of Millrace's language that is not built yet."""
    return Word(Treatment.LATER, advice=advice, negatable=True)


def unsupported(advice: str) -> Word[D]:
    """A word that Millrace cannot honour; `advice` says what to do instead."""
    return Word(Treatment.UNSUPPORTED, advice=advice)


def removed(advice: str) -> Word[D]:
    """A word that HAProxy removed; `advice` says what to write instead."""
    return Word(Treatment.REMOVED, advice=advice)


def act(statement: Statement, draft: D, table: Table[D], described: str, key: str) -> None:
    """Act on a line by the table's entry for `key`; `described` is the word in messages.

    Raises ConfigError for a word that is not supported, and for errors of the handler.
    """
    word = table[key]
    if statement.prefix is not Prefix.NONE and not word.negatable:
        raise ConfigError(f"'{statement.prefix.value}' cannot stand before {described}")
    if word.shape is not None:
        count = word.shape.fitting(statement.arguments, described)
        statement = statement.pass_over(count, described)
    if word.handler is not None:
        word.handler(statement, draft)
        return
    tail = f": {word.advice}" if word.advice else ""
    if word.kind is Treatment.NO_EFFECT:
        if word.shape is None and statement.arguments:  # not checked
            described = f"{described} ({' '.join(statement.arguments)})"
        statement.notice(f"{described} has no effect here{tail}")
    elif word.kind is Treatment.LATER:
        raise ConfigError(f"{described} is not supported yet{tail}")
    elif word.kind is Treatment.UNSUPPORTED:
        raise ConfigError(f"{described} is not supported{tail}")
    elif word.kind is Treatment.REMOVED:
        raise ConfigError(f"{described} does not exist any more{tail}")


def act_on_second(statement: Statement, draft: D, table: Table[D], expectation: str) -> None:
    """Dispatch on the word after the keyword (`timeout client`, `option tcpka`).

    It is the handler's keyword.
    """
    if not statement.arguments:
        raise ConfigError(f"'{statement.keyword}' expects {expectation}")
    second = statement.words[1]
    if second not in table:
        every = f" (known: {', '.join(table)})" if len(table) <= FEW else ""
        raise ConfigError(f"unknown {statement.keyword} '{second}'{hint(second, table) or every}")
    act(statement.skip(1), draft, table, f"'{statement.keyword} {second}'", second)
