"""Patterns of a condition: numbers and ranges, networks, texts (manual section 7.1).

Pure; raises ConfigError for what is no pattern of its kind.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from string import hexdigits

from proxy.config.model.matching import Matcher
from proxy.config.model.rules import IntRange, Network
from proxy.config.text.messages import ConfigError

INTEGER_LIMITS = (-(2**63), 2**63 - 1)
OPERATORS = ("eq", "ge", "gt", "le", "lt")
_SIGNS = {">": "gt", ">=": "ge", "<": "lt", "<=": "le", "=": "eq", "==": "eq"}
VERSION_PART_MAX = 65_535
_Bound = Callable[[str, str], int | None]  # one end, and the whole word for messages
DIGITS_MAX = 18
_RANGE = re.compile(r"([^:-]*)([:-]?)(.*)", re.DOTALL)  # as HAProxy: `-` is no sign


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


def texts_of(words: Sequence[str], matcher: Matcher) -> tuple[str, ...]:
    """Patterns of a line as HAProxy shows them: operators are ranges."""
    if matcher not in (Matcher.INT, Matcher.LEN):
        return tuple(words)
    operator = "eq"
    found = []
    for word in words:
        if word in OPERATORS:
            operator = word
            continue
        if operator == "eq":
            found.append(word)
        elif operator in ("gt", "ge"):
            found.append(f"{_moved(word, int(operator == 'gt'))}:")
        else:
            found.append(f":{_moved(word, -int(operator == 'lt'))}")
    return tuple(found)


def _moved(word: str, by: int) -> str:
    """The next number, or version."""
    major, dot, last = word.rpartition(".")
    number = int(last) + by
    if dot and not 0 <= number <= VERSION_PART_MAX:
        return f"{int(major) + by}.{VERSION_PART_MAX if by < 0 else 0}"
    return f"{major}{dot}{number}"


def _range(word: str, operator: str, bound: _Bound) -> IntRange:
    match = _RANGE.fullmatch(word)
    assert match is not None, "every word has the form"
    low, separator, high = match.groups()
    first, last = bound(low, word), bound(high, word)
    if operator == "eq":
        if first is None and last is None:
            raise ConfigError(f"'{word}' is not a valid number range")
        found = IntRange(first, last if separator else first)
        if first is not None and last is not None and first > last:
            raise ConfigError(f"'{word}' is not a valid number range: it ends before it begins")
        return found
    if separator or first is None:
        raise ConfigError(f"'{word}': a range stands behind 'eq' only, not behind '{operator}'")
    return {
        "ge": IntRange(first, None),
        "gt": IntRange(first + 1, None),
        "le": IntRange(None, first),
        "lt": IntRange(None, first - 1),
    }[operator]


def _bound(digits: str, word: str) -> int | None:
    """One end of a range; None where it is open."""
    if digits and not (digits.isascii() and digits.isdecimal()):
        one_of = "number" if word.strip("0123456789:-") else "valid number range"
        hint = f" (write '{_SIGNS[word]}')" if word in _SIGNS else ""
        raise ConfigError(f"'{word}' is not a {one_of}{hint}")
    if len(digits) > DIGITS_MAX:
        raise ConfigError(f"'{word}' is not a number")
    return int(digits) if digits else None


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


def network_of(word: str) -> Network:
    """An address, or a network `address/bits` or `address/mask`."""
    try:
        found = ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ConfigError(
            f"'{word}' is not a valid IPv4 or IPv6 address (host names are not resolved here)"
        ) from None
    return Network(found.network_address.packed, found.prefixlen)


def bytes_of(word: str) -> bytes:
    """Bytes by pairs of hexadecimal digits."""
    if len(word) % 2:
        raise ConfigError("an even number of hex digit is expected")
    wrong = next((letter for letter in word if letter not in hexdigits), None)
    if wrong is not None:
        raise ConfigError(f"an hex digit is expected (found '{wrong}')")
    return bytes.fromhex(word)


def text_of(word: str) -> bytes:
    """The bytes of a text as they are in the file."""
    return word.encode(errors="surrogateescape")
