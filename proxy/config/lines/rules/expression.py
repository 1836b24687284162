"""One expression of a condition: a fetch, flags and patterns (manual sections 7.1 and 7.2).

Owns what stands behind `acl <name>` and between braces. Names of backends, servers and user lists
are looked up when all sections are known (linking/conditions.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from proxy.config.http_drafts import Expression
from proxy.config.lines.rules.arguments import ArgumentReader, given
from proxy.config.lines.rules.converters import converters_of
from proxy.config.lines.rules.fetches import (
    FETCHES,
    RULES,
    USUAL_MATCHERS,
    Argument,
    Fetch,
    SampleType,
)
from proxy.config.lines.rules.lists import ListReader
from proxy.config.lines.rules.refused import refusal
from proxy.config.lines.rules.table_words import entry_asked
from proxy.config.model.rules import Converter, MapType, Matcher
from proxy.config.model.settings import Origin
from proxy.config.text.calls import whole_calls
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

_OF_TEXTS = (
    *(Matcher.STR, Matcher.BEG, Matcher.END, Matcher.SUB, Matcher.DIR, Matcher.DOM),
    Matcher.REG,
)
_WITHOUT_PATTERNS = (Matcher.FOUND, Matcher.BOOL)
_HERE = tuple(name for name, fetch in FETCHES.items() if RULES & fetch.scope)
READ_AS_VALUES = (
    *(Argument.PART, Argument.BLOCK, Argument.ANY_NAME, Argument.TIME_UNIT, Argument.UUID),
    *(Argument.TEXT, Argument.ENVIRONMENT, Argument.INTEGER, Argument.TRUTH, Argument.DATE),
    *(Argument.ADDRESS, Argument.DIGITS, Argument.LIMIT, Argument.ENTRY, Argument.VARIABLE),
    *(Argument.CAPTURED, Argument.TABLE, Argument.DISTINGUISHED),
)
_OWN_SECTION = (Argument.BACKEND, Argument.FRONTEND)  # without an argument
_OCCURRENCE = re.compile(r"-?[0-9]|-10|[0-9]{2,4}")  # from the end, HAProxy knows ten


class _Sample(NamedTuple):
    """What an expression compares; `type` is that behind the converters."""

    name: str
    fetch: Fetch
    arguments: tuple[str, ...]
    converters: tuple[Converter, ...]
    type: SampleType

    @property
    def usual_matcher(self) -> Matcher:
        """The method without `-m`: converters end what an old spelling says of it."""
        spelled = None if self.converters else self.fetch.matcher
        found = spelled or USUAL_MATCHERS.get(self.type)
        if found is None:
            raise ConfigError(
                "matching method must be specified first (using '-m') when using a sample fetch "
                f"of this type ('{self.name}')"
            )
        return found


def parse_expression(
    origin: Origin, words: tuple[str, ...], warn: Callable[[str], None], folder: str = ""
) -> tuple[Expression, ...]:
    """The expressions that these words are, one of which has to match: `-i` may come between files.

    Warns of one without patterns, which never matches. The paths of files begin in `folder`.
    """
    if not words:
        raise ConfigError("missing fetch method in ACL expression ''")
    sample = _sample(words[0], folder)
    flags = _Flags(sample, folder)
    patterns = flags.read(words[1:])
    if "" in patterns:
        raise ConfigError(f"'{words[0]}': an empty pattern is not possible; '-m len 0' is")
    matcher = flags.matcher
    expression = Expression(
        word=words[0],
        fetch=sample.fetch.live or sample.fetch.name,
        arguments=sample.arguments,
        matcher=matcher,
        insensitive=False,
        patterns=b"",
        words=patterns,
        origin=origin,
        converters=sample.converters,
        of_file=flags.of_file,
    )
    if matcher in _WITHOUT_PATTERNS:
        if patterns:
            warn(
                f"'{words[0]}' with matching method '{matcher.value}' takes no pattern, so "
                f"'{patterns[0]}' is not looked at: remove it, or write '-m int' before it"
            )
        return (expression,)
    if not patterns and not flags.ended and not flags.of_file:
        warn(
            f"'{words[0]}' has no pattern to match against, so it never matches: add one, or "
            "'-m found' to ask for existence, or '--' if this is what you want"
        )
    return tuple(
        msgspec.structs.replace(expression, insensitive=insensitive, patterns=reader.packed())
        for insensitive, reader in flags.lists(patterns)
    )


def _sample(word: str, folder: str) -> _Sample:
    """What is compared: a fetch, and converters behind commas."""
    name = re.split("[(,]", word)[0]
    if name not in FETCHES or not RULES & FETCHES[name].scope:
        reason = refusal(name)
        if reason is not None:
            raise ConfigError(f"fetch method '{name}' is not supported: {reason}")
        raise ConfigError(
            f"fetch method '{name}' is unknown, or not supported yet{hint(name, _HERE)}"
        )
    fetch = FETCHES[name]
    try:
        calls = whole_calls(word)
        arguments = given(fetch.argument, calls.fetch.arguments)
        if fetch.argument is Argument.ENTRY:
            entry_asked(name, arguments)
        converters, kind = converters_of(fetch.type, calls.converters, folder)
    except ConfigError as error:
        raise ConfigError(f"{error} in ACL expression '{word}'") from error
    _check_arguments(word, fetch, arguments)
    return _Sample(name, fetch, arguments, converters, kind)


def _check_arguments(word: str, fetch: Fetch, arguments: tuple[str, ...]) -> None:
    wanted = fetch.argument
    if wanted in READ_AS_VALUES:
        ArgumentReader(re.split("[(,]", word)[0], {}).read(wanted, arguments)
        return
    most = 0 if wanted is Argument.NONE else 2 if wanted is Argument.HEADER else 1
    least = 0 if wanted in (Argument.NONE, *_OWN_SECTION) else 1
    usage = f"{word.partition('(')[0]}({wanted.value})" if most else word.partition("(")[0]
    if not least <= len(arguments) <= most or "" in arguments:
        raise ConfigError(f"'{word}': write {usage}")
    if wanted is Argument.HEADER and arguments[1:] and not _OCCURRENCE.fullmatch(arguments[1]):
        raise ConfigError(f"'{word}': '{arguments[1]}' is not the number of an occurrence")


class _Flags:
    """The flags of an expression, in their order, and the lists that they make."""

    def __init__(self, sample: _Sample, folder: str) -> None:
        self.ended = False  # by `--`
        self.of_file = False
        self._sample = sample
        self._folder = folder
        self._matcher: Matcher | None = None
        self._insensitive = False
        self._mapped = False  # by `-M`: files have values
        self._readers: dict[tuple[bool, bool], ListReader] = {}

    @property
    def matcher(self) -> Matcher:
        """The method of `-m`, or the usual one."""
        return self._matcher or self._sample.usual_matcher

    @property
    def _dotted(self) -> bool:
        """Whether numbers are versions: what HAProxy compares without `-m`."""
        return (
            self._matcher is None
            and self._sample.fetch.name == "req.ssl_ver"
            and (not self._sample.converters)
        )

    def read(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Read flags up to the first pattern; the patterns."""
        while words and words[0].startswith("-") and not self.ended:
            flag, words = words[0], words[1:]
            if flag == "-i":
                self._insensitive = True
            elif flag == "-m":
                self._matcher, words = self._method(words), words[1:]
            elif flag == "-f":
                self._file(words[0] if words else "")
                words = words[1:]
            elif flag == "-u":
                _check_number(words[0] if words else "")
                words = words[1:]
            elif flag == "-M":
                self._mapped = True
            elif flag == "--":
                self.ended = True
            elif flag != "-n":  # names are never resolved here
                raise ConfigError(
                    f"'{flag}' is not a valid ACL option. Please use '--' before any pattern "
                    "beginning with a '-'."
                )
        return words

    def lists(self, patterns: tuple[str, ...]) -> Iterator[tuple[bool, ListReader]]:
        """Whether case is ignored, and a list, after the patterns of the line were added."""
        if patterns or not self._readers:
            self._reader(mapped=False).add(patterns)
        for (insensitive, _), reader in self._readers.items():
            yield insensitive, reader

    def _reader(self, *, mapped: bool) -> ListReader:
        insensitive = self._insensitive and self.matcher in _OF_TEXTS
        if (insensitive, mapped) not in self._readers:
            self._readers[insensitive, mapped] = ListReader(
                self.matcher,
                insensitive=insensitive,
                dotted=self._dotted,
                gives=MapType.TEXT if mapped else None,
            )
        return self._readers[insensitive, mapped]

    def _method(self, words: tuple[str, ...]) -> Matcher:
        name = words[0] if words else ""
        if self.of_file:
            raise ConfigError(
                "'-m' must only be specified before patterns and files in parsing ACL expression"
            )
        known = {matcher.value: matcher for matcher in Matcher}
        if name not in known:
            raise ConfigError(
                f"unknown matching method '{name}' when parsing ACL expression{hint(name, known)}"
            )
        found = known[name]
        if not self._sample.type.suits(found):
            raise ConfigError(
                f"matching method '{name}' cannot be used with fetch keyword '{self._sample.name}'"
            )
        return found

    def _file(self, path: str) -> None:
        if self.matcher in _WITHOUT_PATTERNS:
            raise ConfigError(f"matching method '{self.matcher.value}' takes no pattern (got '-f')")
        if self._dotted:
            raise ConfigError("'-f' takes no versions yet: write numbers, and '-m int' before it")
        reader = self._reader(mapped=self._mapped)
        reader.add_file(str(Path(self._folder, path)) if path else "")
        self.of_file = True


def _check_number(word: str) -> None:
    """ConfigError for what is no number of a list."""
    if not word.removeprefix("-").isdecimal():
        raise ConfigError("the argument of -u must be an integer")
