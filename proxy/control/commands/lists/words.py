"""What the words of orders about lists mean: versions, numbers of patterns, payloads. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from proxy.control.command import CommandError

_VERSION_MASK = (1 << 32) - 1
_VERSION_READ_MAX = (1 << 64) - 1  # a larger number is read as this one
_VERSION_DIGITS = len(str(_VERSION_READ_MAX))
FIRST_SHOWN = 0x100000  # HAProxy shows addresses, among which small ones are none
NO_ORDER = (1 << 40) - 1  # no pattern has it
_BLANKS = re.compile(r"[ \t]+")


class ListKind(NamedTuple):
    """Acls, or maps: the word of a command, and what errors say."""

    word: str
    title: str

    @property
    def unknown(self) -> CommandError:
        """No list has this name."""
        return CommandError(f"Unknown {self.title} identifier. Please use #<id> or <file>.")


ACL = ListKind("acl", "ACL")
MAP = ListKind("map", "map")


class Words(NamedTuple):
    """The words of an order behind its version."""

    version: int | None
    rest: list[str]


def split_version(words: list[str]) -> Words:
    """`[@<version>]`, which is 0 where it is no number: as HAProxy reads it."""
    if not words or not words[0].startswith("@"):
        return Words(None, words)
    digits = re.match(r"[0-9]*", words[0][1:])
    assert digits is not None
    value = min(int(digits.group().lstrip("0")[:_VERSION_DIGITS] or "0"), _VERSION_READ_MAX)
    return Words(value & _VERSION_MASK, words[1:])


def is_later(version: int, other: int) -> bool:
    """Whether a version comes after another: their numbers wrap."""
    return 0 < (version - other) % (_VERSION_MASK + 1) < 1 << 31


def order_of(word: str) -> int:
    """The number of a pattern behind `#`, as it is shown; -1 for a text."""
    if not word.startswith("#"):
        return -1
    try:
        found = int(word[1:], 16)
    except ValueError:
        return NO_ORDER
    return found - FIRST_SHOWN if FIRST_SHOWN <= found < NO_ORDER else NO_ORDER


def shown_order(order: int) -> str:
    """The number of a pattern as an operator writes it behind `#`."""
    return f"0x{order + FIRST_SHOWN:x}"


def entries_of(payload: str) -> Iterator[tuple[str, str]]:
    """Keys and values, one of each a line; CommandError for a key without a value."""
    for line in payload.split("\n"):
        text = line.removesuffix("\r").lstrip(" \t")
        if not text:
            continue
        key, *value = _BLANKS.split(text, maxsplit=1)
        if not value or not value[0]:
            raise CommandError(f"Missing value for key '{key}'.")
        yield key, value[0]
