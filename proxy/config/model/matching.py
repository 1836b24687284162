"""How samples are compared with patterns, and what maps give (manual sections 7.1.3 and 7.3.1)."""

from __future__ import annotations

import enum


class Matcher(enum.Enum):
    """How a sample is compared with a pattern: the methods of `-m`."""

    FOUND = "found"
    BOOL = "bool"
    INT = "int"
    IP = "ip"
    STR = "str"
    BIN = "bin"
    BEG = "beg"
    END = "end"
    SUB = "sub"
    DIR = "dir"
    DOM = "dom"
    LEN = "len"
    REG = "reg"
    REGM = "regm"  # of maps: values name groups of the expression

    @property
    def regular(self) -> bool:
        """Whether patterns are regular expressions."""
        return self in (Matcher.REG, Matcher.REGM)


class MapType(enum.Enum):
    """What a map gives for a key."""

    TEXT = "str"
    NUMBER = "int"
    ADDRESS = "ip"
