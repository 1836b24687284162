"""One expression of a condition: a fetch, flags and patterns (manual sections 7.1 and 7.2).

Owns what stands behind `acl <name>` and between braces. Names of backends, servers and user lists
are looked up when all sections are known (linking/conditions.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

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
from proxy.config.lines.rules.lists import ListReader, list_of
from proxy.config.lines.rules.patterns import texts_of
from proxy.config.lines.rules.refused import refusal
from proxy.config.lines.rules.table_words import entry_asked
from proxy.config.model.lists import NOWHERE, ListSource, ListUse, PatternList, Place
from proxy.config.model.matching import Matcher
from proxy.config.model.rules import Converter
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
    origin: Origin, words: tuple[str, ...], warn: Callable[[str], None], place: Place = NOWHERE
) -> tuple[Expression, ...]:
    """The expressions that these words are, one of which has to match: `-i` may come between files.

    Warns of one without patterns, which never matches. The paths of files begin in `place`.
    """
    if not words:
        raise ConfigError("missing fetch method in ACL expression ''")
    place = place._replace(origin=origin)
    sample = _sample(words[0], place)
    flags = _Flags(sample, place)
    patterns = flags.read(words[1:])
    if "" in patterns:
        raise ConfigError(f"'{words[0]}': an empty pattern is not possible; '-m len 0' is")
    matcher = flags.matcher
    if matcher in _WITHOUT_PATTERNS:
        if patterns:
            warn(
                f"'{words[0]}' with matching method '{matcher.value}' takes no pattern, so "
                f"'{patterns[0]}' is not looked at: remove it, or write '-m int' before it"
            )
    elif not patterns and not flags.ended and not flags.of_file:
        warn(
            f"'{words[0]}' has no pattern to match against, so it never matches: add one, or "
            "'-m found' to ask for existence, or '--' if this is what you want"
        )
    lists = flags.lists(patterns)
    expression = Expression(
        word=words[0],
        fetch=sample.fetch.live or sample.fetch.name,
        arguments=sample.arguments,
        matcher=matcher,
        insensitive=any(each.use.insensitive for each in lists),
        lists=lists,
        words=patterns,
        origin=origin,
        converters=sample.converters,
        of_file=flags.of_file,
    )
    return (expression,)


def _sample(word: str, place: Place) -> _Sample:
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
        converters, kind = converters_of(fetch.type, calls.converters, place)
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

    def __init__(self, sample: _Sample, place: Place) -> None:
        self.ended = False  # by `--`
        self.of_file = False
        self._sample = sample
        self._place = place
        self._matcher: Matcher | None = None
        self._insensitive = False
        self._mapped = False  # by `-M`: files have values
        self._id: int | None = None  # by `-u`
        self._files: list[PatternList] = []

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
                self._id, words = _number(words[0] if words else ""), words[1:]
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

    def lists(self, patterns: tuple[str, ...]) -> tuple[PatternList, ...]:
        """Those of files, and that of the patterns of the line, also if there are none yet."""
        use = self._use()
        packed, shown = b"", tuple[str, ...]()
        if self.matcher not in _WITHOUT_PATTERNS:
            reader = ListReader(use)
            reader.add(patterns)
            packed, shown = reader.packed(), texts_of(patterns, self.matcher)
        source = ListSource(
            "acl", self._place.origin, word=self._sample.name, patterns=shown, id=self._id
        )
        return (*self._files, PatternList(packed, use, source))

    def _use(self) -> ListUse:
        insensitive = self._insensitive and self.matcher in _OF_TEXTS
        return ListUse(self.matcher, insensitive, self._dotted)

    def _method(self, words: tuple[str, ...]) -> Matcher:
        name = words[0] if words else ""
        if self.of_file:
            raise ConfigError(
                "'-m' must only be specified before patterns and files in parsing ACL expression"
            )
        known = {matcher.value: matcher for matcher in Matcher}
        known["regm"] = Matcher.REG  # of maps alone it is another one
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
        self._files.append(list_of(path, self._place, self._use(), by="acl", valued=self._mapped))
        self.of_file = True


def _number(word: str) -> int | None:
    """The number of a list; None for one that is negative; ConfigError for what is none."""
    if not word.removeprefix("-").isdecimal():
        raise ConfigError("the argument of -u must be an integer")
    return None if word.startswith("-") else int(word)
