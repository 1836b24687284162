"""Conditions as the configuration compiles them: flat terms with jumps (manual sections 7.1-7.3).

A condition is a row of terms. Each fetches a sample, compares it with patterns, and says which term
is next: `and`, `or` and negation are forward jumps, so the time of a condition is bounded by its
length, and nothing of it recurs. proxy/rules/ runs them.
"""

from __future__ import annotations

import enum

import msgspec

ACCEPTED = -1  # the condition holds
REJECTED = -2  # it does not


class Matcher(enum.Enum):
    """How a sample is compared with a pattern: the methods of `-m`."""

    FOUND = "found"
    BOOL = "bool"
    INT = "int"
    IP = "ip"
    STR = "str"
    BEG = "beg"
    END = "end"
    SUB = "sub"
    DIR = "dir"
    DOM = "dom"
    LEN = "len"


class IntRange(msgspec.Struct, frozen=True):
    """Numbers from `low` to `high`, both included; None: no limit on that side."""

    low: int | None
    high: int | None


class Network(msgspec.Struct, frozen=True):
    """Addresses whose first `bits` bits are those of `address`: 4 bytes or 16."""

    address: bytes
    bits: int


Pattern = bytes | IntRange | Network


class Term(msgspec.Struct, frozen=True):
    """One fetch and one comparison; `then` and `otherwise` are terms, ACCEPTED or REJECTED."""

    fetch: str
    matcher: Matcher
    then: int
    otherwise: int
    text: str = ""  # the argument that is a name: of a header
    numbers: tuple[int, ...] = ()  # arguments: indices, slots, occurrences
    insensitive: bool = False
    texts: tuple[bytes, ...] = ()
    ranges: tuple[IntRange, ...] = ()
    networks: tuple[Network, ...] = ()


class Condition(msgspec.Struct, frozen=True):
    """What stands after `if` or `unless`; it begins at its first term."""

    terms: tuple[Term, ...]
