"""The numbers and structs that compiled code declares, read from its .pxd files.

Owns as much of their grammar as those files use: enums of numbers, structs of integers and of
structs that stand before them. The declarations are the only place where a number of the segment
stands; what is not compiled reads it here instead of repeating it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_HEAD = re.compile(r"cdef (?P<kind>enum|struct)(?: (?P<name>\w+))?:\s*(?:#\s*(?P<called>\w+))?")
_MEMBER = re.compile(r"(\w+) = ([\w ]+(?:\|[\w ]+)*)")
_INTEGER = re.compile(r"u?int(8|16|32|64)_t (.*)")
_FIELD = re.compile(r"(\w+)(?:\[(\w+)\])?")


@dataclass(frozen=True)
class Struct:
    """Bytes from its start to each field, and of the whole."""

    offsets: Mapping[str, int]
    size: int
    alignment: int


@dataclass(frozen=True)
class Declarations:
    """What one file declares; an enum has the name that the comment behind its head begins with."""

    numbers: Mapping[str, int]
    enums: Mapping[str, Mapping[str, int]]
    structs: Mapping[str, Struct]


@cache
def declared(path: str) -> Declarations:
    """The declarations of a file of this checkout, e.g. `shm/layout.pxd`."""
    numbers: dict[str, int] = {}
    enums: dict[str, dict[str, int]] = {}
    structs: dict[str, Struct] = {}
    for head, lines in _blocks((ROOT / path).read_text()):
        if head["kind"] == "enum":
            members = _members(lines, numbers)
            numbers |= members
            enums[head["name"] or head["called"] or f"enum {len(enums)}"] = members
        elif all(_kind(line, structs) for line in lines):
            structs[head["name"]] = _struct(lines, numbers, structs)
    return Declarations(numbers, enums, structs)


def _blocks(text: str) -> list[tuple[re.Match[str], list[str]]]:
    """Each head with the lines of its block, without comments."""
    blocks: list[tuple[re.Match[str], list[str]]] = []
    inside = False
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            blocks.append((head, []))
            inside = True
        elif line and not line.startswith((" ", "#")):
            inside = False
        elif inside and (said := line.partition("#")[0].strip()):
            blocks[-1][1].append(said)
    return blocks


def _members(lines: list[str], known: Mapping[str, int]) -> dict[str, int]:
    members: dict[str, int] = {}
    for line in lines:
        for name, value in _MEMBER.findall(line):
            members[name] = 0
            for part in value.split("|"):
                members[name] |= _number(part.strip(), {**known, **members})
    return members


def _kind(line: str, structs: Mapping[str, Struct]) -> tuple[int, int, str] | None:
    """Bytes and alignment of each field of a line, and their names; None: of another kind."""
    integer = _INTEGER.match(line)
    if integer:
        return int(integer[1]) // 8, int(integer[1]) // 8, integer[2]
    called, _, names = line.partition(" ")
    if called not in structs or "*" in names:
        return None
    return structs[called].size, structs[called].alignment, names


def _struct(lines: list[str], numbers: Mapping[str, int], structs: Mapping[str, Struct]) -> Struct:
    """Fields lie as in C: each at a multiple of its own alignment, the whole of the largest."""
    offsets: dict[str, int] = {}
    end = widest = 0
    for line in lines:
        kind = _kind(line, structs)
        assert kind is not None
        width, alignment, names = kind
        widest = max(widest, alignment)
        for name, count in _FIELD.findall(names):
            offsets[name] = -(-end // alignment) * alignment
            end = offsets[name] + width * (_number(count, numbers) if count else 1)
    return Struct(offsets, -(-end // widest) * widest, widest)


def _number(text: str, known: Mapping[str, int]) -> int:
    return known[text] if text in known else int(text, 0)
