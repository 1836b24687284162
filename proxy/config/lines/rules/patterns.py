"""Patterns of a condition: numbers and ranges, networks, texts (manual section 7.1).

Pure; raises ConfigError for what is no pattern of its kind.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence

from proxy.config.model.rules import IntRange, Network
from proxy.config.text.messages import ConfigError

OPERATORS = ("eq", "ge", "gt", "le", "lt")
VERSION_PART_MAX = 65_535
_Bound = Callable[[str, str], int | None]  # one end, and the whole word for messages


def ranges_of(words: Sequence[str]) -> Iterator[IntRange]:
    """Numbers: each word is one, or a range `low:high`, or an operator for those after it."""
    return _ranges_of(words, _bound)


def versions_of(words: Sequence[str]) -> Iterator[IntRange]:
    """The same of versions `major.minor`, which are numbers of twice 16 bits."""
    return _ranges_of(words, _version)


def _ranges_of(words: Sequence[str], bound: _Bound) -> Iterator[IntRange]:
    operator = "eq"
    for word in words:
        if word in OPERATORS:
            operator = word
        else:
            yield _range(word, operator, bound)


def _range(word: str, operator: str, bound: _Bound) -> IntRange:
    low, colon, high = word.partition(":")
    if operator == "eq":
        found = IntRange(bound(low, word), bound(high, word) if colon else bound(low, word))
        if found.low is None and found.high is None:
            raise ConfigError(f"'{word}' is not a number or a range")
        if found.low is not None and found.high is not None and found.low > found.high:
            raise ConfigError(f"'{word}' is not a valid number range: it ends before it begins")
        return found
    if colon:
        raise ConfigError(f"'{word}': a range stands behind 'eq' only, not behind '{operator}'")
    number = bound(low, word)
    if number is None:
        raise ConfigError(f"'{word}' is not a number")
    return {
        "ge": IntRange(number, None),
        "gt": IntRange(number + 1, None),
        "le": IntRange(None, number),
        "lt": IntRange(None, number - 1),
    }[operator]


def _bound(text: str, word: str) -> int | None:
    """One end of a range; None where it is open."""
    if not text:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
        raise ConfigError(f"'{word}' is not a number")
    return int(text)


def _version(text: str, word: str) -> int | None:
    """One end of a range of versions; the minor is 0 where there is none."""
    if not text:
        return None
    parts = text.split(".")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ConfigError(f"'{word}' is not a dotted number")
    major, minor = int(parts[0]), int(parts[1]) if len(parts) > 1 else 0
    if max(major, minor) > VERSION_PART_MAX:
        raise ConfigError(f"'{word}' is not a dotted number")
    return major << 16 | minor


def bytes_of(word: str) -> bytes:
    """What hexadecimal digits say, two a byte."""
    try:
        return bytes.fromhex(word if word.isalnum() else "x")
    except ValueError:
        raise ConfigError(f"'{word}' is not a row of hexadecimal digits, two for a byte") from None


def network_of(word: str) -> Network:
    """An address, or a network `address/bits` or `address/mask`."""
    try:
        found = ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ConfigError(
            f"'{word}' is not a valid IPv4 or IPv6 address (host names are not resolved here)"
        ) from None
    return Network(found.network_address.packed, found.prefixlen)


def text_of(word: str) -> bytes:
    """The bytes of a text as they are in the file."""
    return word.encode(errors="surrogateescape")
