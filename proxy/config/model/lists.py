"""Lists of patterns: what is known of those that the stats socket shows and changes.

A reference is a file or the patterns of one line. Each way in which its patterns are compared makes
a list of it (proxy/lists/).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from proxy.config.model.matching import MapType, Matcher
from proxy.config.model.sockets import Origin


class Place(NamedTuple):
    """Where a line stands: the paths of its files begin in `folder`."""

    folder: str = ""
    origin: Origin = Origin()


NOWHERE = Place()


class ListUse(msgspec.Struct, frozen=True):
    """How patterns are compared, and what the values of a map are."""

    matcher: Matcher
    insensitive: bool = False
    dotted: bool = False  # numbers are versions
    gives: MapType | None = None  # None: whether there is a pattern, without a value


class ListSource(msgspec.Struct, frozen=True):
    """Patterns where they are written: in a file, or in the line of a condition."""

    by: str  # "acl" or "map"
    origin: Origin
    word: str = ""  # the fetch of the line
    file: str = ""  # as it is written; "": the patterns of the line itself
    path: str = ""  # of the file
    valued: bool = False  # lines have a key and a value
    content: bytes = b""  # of the file
    patterns: tuple[str, ...] = ()
    id: int | None = None  # given by `-u`


class PatternList(msgspec.Struct, frozen=True):
    """One list, packed."""

    packed: bytes  # b"": the matcher compares with none
    use: ListUse
    source: ListSource


class Reference(msgspec.Struct, frozen=True):
    """What the stats socket calls a list: all of the program that has the same patterns."""

    id: int
    name: str  # the file as it is written; "" for the patterns of a line
    path: str  # where it was read
    description: str
    of_acls: bool
    of_maps: bool
    valued: bool
    content: bytes  # of the file
    patterns: tuple[str, ...]  # of the line
    lists: tuple[tuple[int, ListUse], ...]  # the number of each, and how it is compared
