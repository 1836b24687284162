"""One expression of a condition: a fetch, flags and patterns (manual sections 7.1 and 7.2).

Owns what stands behind `acl <name>` and between braces. Names of backends, servers and user lists
are looked up when all sections are known (linking/rules/conditions.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.config.http_drafts import Expression
from proxy.config.lines.rules.arguments import ArgumentReader
from proxy.config.lines.rules.fetches import FETCHES, RULES, Argument, Fetch, SampleType
from proxy.config.lines.rules.patterns import (
    bytes_of,
    network_of,
    ranges_of,
    text_of,
    versions_of,
)
from proxy.config.model.rules import Matcher
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

_CALL = re.compile(r"([^(),]+)(?:\(([^()]*)\))?(,.*)?")
_LATER_FLAGS = {
    "-f": "patterns of a file",
    "-M": "maps",
    "-u": "the number of a list",
}
_HERE = tuple(name for name, fetch in FETCHES.items() if RULES & fetch.scope)
READ_AS_VALUES = (Argument.PART, Argument.BLOCK, Argument.ANY_NAME)
_OCCURRENCE = re.compile(r"-?[0-9]|-10|[0-9]{2,4}")  # from the end, HAProxy knows ten


def parse_expression(
    origin: Origin, words: tuple[str, ...], warn: Callable[[str], None]
) -> Expression:
    """The expression that these words are; warns of one without patterns, which never matches."""
    if not words:
        raise ConfigError("missing fetch method in ACL expression ''")
    fetch, arguments = _fetch(words[0])
    matcher, insensitive, ended, patterns = _flags(fetch, words[1:])
    if "" in patterns:
        raise ConfigError(f"'{words[0]}': an empty pattern is not possible; '-m len 0' is")
    if matcher not in fetch.type.matchers:
        known = ", ".join(each.value for each in fetch.type.matchers)
        raise ConfigError(
            f"matching method '{matcher.value}' is not supported yet for '{words[0]}', which gives "
            f"a {fetch.type.value}: use {known}"
        )
    if matcher in (Matcher.FOUND, Matcher.BOOL):
        if patterns:
            raise ConfigError(
                f"'{words[0]}' with matching method '{matcher.value}' takes no pattern "
                f"(got '{patterns[0]}')"
            )
    elif not patterns and not ended:
        warn(
            f"'{words[0]}' has no pattern to match against, so it never matches: add one, or "
            "'-m found' to ask for existence, or '--' if this is what you want"
        )
    numbers = matcher in (Matcher.INT, Matcher.LEN)
    texts = not numbers and matcher is not Matcher.IP
    dotted = fetch.name == "req.ssl_ver" and "-m" not in words
    ranges = versions_of if dotted else ranges_of
    return Expression(
        word=words[0],
        fetch=fetch.name,
        arguments=arguments,
        matcher=matcher,
        insensitive=insensitive,
        texts=tuple(map(bytes_of if matcher is Matcher.BIN else text_of, patterns))
        if texts
        else (),
        ranges=tuple(ranges(patterns)) if numbers else (),
        networks=tuple(map(network_of, patterns)) if matcher is Matcher.IP else (),
        origin=origin,
    )


def _fetch(word: str) -> tuple[Fetch, tuple[str, ...]]:
    match = _CALL.fullmatch(word)
    name = match[1] if match else word.partition("(")[0]
    if name not in FETCHES or not RULES & FETCHES[name].scope:
        raise ConfigError(
            f"fetch method '{name}' is unknown, or not supported yet{hint(name, _HERE)}"
        )
    if match is None:
        raise ConfigError(f"'{word}': the arguments of a fetch end with ')'")
    if match[3]:
        raise ConfigError(f"'{word}': converters ('{match[3]}') are not supported yet")
    fetch = FETCHES[name]
    arguments = tuple(match[2].split(",")) if match[2] else ()
    _check_arguments(word, fetch, arguments)
    return fetch, arguments


def _check_arguments(word: str, fetch: Fetch, arguments: tuple[str, ...]) -> None:
    wanted = fetch.argument
    if wanted in READ_AS_VALUES:
        ArgumentReader(word.partition("(")[0], {}).read(wanted, arguments)
        return
    most = 0 if wanted is Argument.NONE else 2 if wanted is Argument.HEADER else 1
    least = 0 if wanted is Argument.NONE else 1
    usage = f"{word.partition('(')[0]}({wanted.value})" if most else word.partition("(")[0]
    if not least <= len(arguments) <= most or "" in arguments:
        raise ConfigError(f"'{word}': write {usage}")
    if wanted is Argument.HEADER and arguments[1:] and not _OCCURRENCE.fullmatch(arguments[1]):
        raise ConfigError(f"'{word}': '{arguments[1]}' is not the number of an occurrence")
    if wanted is Argument.SERVER and "/" not in arguments[0]:
        raise ConfigError(f"'{word}': write {usage}")


def _flags(fetch: Fetch, words: tuple[str, ...]) -> tuple[Matcher, bool, bool, tuple[str, ...]]:
    """The matcher, whether case is ignored, whether `--` was there, and the patterns."""
    matcher: Matcher | None = None
    insensitive, ended = False, False
    while words and words[0].startswith("-") and not ended and not _is_number(fetch, words[0]):
        flag, words = words[0], words[1:]
        if flag == "-i":
            insensitive = True
        elif flag == "-m":
            matcher, words = _matcher(words), words[1:]
        elif flag == "--":
            ended = True
        elif flag in _LATER_FLAGS:
            raise ConfigError(f"'{flag}' ({_LATER_FLAGS[flag]}) is not supported yet")
        elif flag != "-n":  # names are never resolved here
            raise ConfigError(
                f"'{flag}' is not a valid ACL option. Please use '--' before any pattern "
                "beginning with a '-'."
            )
    found = matcher or fetch.usual_matcher
    if found is None:
        raise ConfigError(
            "matching method must be specified first (using '-m') when using a sample fetch of "
            f"this type ('{fetch.name}')"
        )
    return found, insensitive, ended, words


def _is_number(fetch: Fetch, word: str) -> bool:
    """A negative number is a pattern, not a flag."""
    return fetch.type is SampleType.NUMBER and word[1:2].isdecimal()


def _matcher(words: tuple[str, ...]) -> Matcher:
    name = words[0] if words else ""
    known = {matcher.value: matcher for matcher in Matcher}
    if name == "reg":
        raise ConfigError(f"matching method '{name}' is not supported yet")
    if name not in known:
        raise ConfigError(
            f"unknown matching method '{name}' when parsing ACL expression{hint(name, known)}"
        )
    return known[name]
