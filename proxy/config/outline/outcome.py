"""What a reload of files would change in the running program, and what becomes of its orders.

The one comparison behind `show config diff` and `-c --against`. An order that was given at run time
holds over a reload while the files say of that thing what they said before (the supervisor's
handover does that); orders about limits, frontends, lists and variables end with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum

import msgspec

from proxy.config.model.lists import Reference
from proxy.config.model.settings import Origin
from proxy.config.outline.compare import (
    ADDRESS,
    Difference,
    LineChange,
    compare,
    template_of,
)
from proxy.config.outline.patterns import (
    digests_of,
    entries_digest,
    entries_read,
    title_of_list,
)
from proxy.config.outline.sections import OutlinedSection, SectionKey, sections_of
from proxy.config.text.sources import SourceLine

ADDED = "added"  # what an order was about: a server that no file has
DELETED = "deleted"  # likewise: a server of the files
ENTRIES = "entries"  # those of a list: of acls or maps
_RANGE = re.compile(r"(?:(\d+)-)?(\d+)")


class RunningOrder(msgspec.Struct, frozen=True):
    """One thing that is not as the files said when they were loaded, because it was ordered."""

    section: str  # "backend be"; "global"; "map <file>"
    what: str
    before: str
    now: str
    server: str = ""
    origin: Origin = Origin()  # of its line, as it was loaded
    by: str = ""  # the client, and when; empty: the list of events does not know it any more
    digest: str = ""  # of all entries that a list has now

    @property
    def text(self) -> str:
        """What was changed, and by whom."""
        if self.what == ADDED:
            return f"server {self.now} added" + (f" by {self.by}" if self.by else "")
        if self.what == DELETED:
            return f"server {self.server} deleted" + (f" by {self.by}" if self.by else "")
        about = f"server {self.server} " if self.server else ""
        told = f"{about}{self.what} {self.before} -> {self.now}"
        if self.what == ENTRIES:
            told = f"{self.what}: {self.now}"
        return f"{told}, by {self.by}" if self.by else told


class Running(msgspec.Struct, frozen=True):
    """A running program: the lines that it was loaded from, and what was ordered since."""

    loaded: float  # seconds since 1970
    generation: int
    orders: tuple[RunningOrder, ...]
    lines: tuple[tuple[str, int, tuple[str, ...]], ...]
    lists: dict[str, str] = {}  # digests of files with patterns, by their titles

    def source_lines(self) -> Iterable[SourceLine]:
        """The lines, as a reading of files gives them."""
        return (SourceLine(Origin(file, number), words) for file, number, words in self.lines)


class Fate(Enum):
    """What a reload does to an order."""

    KEPT = "a reload keeps it"
    LOST = "a reload loses it"
    FILE = "the files say something else than before: a reload goes by them"
    SAID = "the files say so by now"


class Comparison(msgspec.Struct, frozen=True):
    """Everything that a reload would change."""

    differences: list[Difference]
    orders: list[tuple[RunningOrder, Fate]]
    old: dict[SectionKey, OutlinedSection]
    new: dict[SectionKey, OutlinedSection]
    patterns: list[str]  # files of acls and maps with another content, by their titles

    def place(self, order: RunningOrder) -> Origin:
        """Where the files have now what an order is about; else where they had it."""
        section = _section(order, self.new)
        line = None if section is None else _server_line(section, order.server)
        if line is not None:
            return line.origin
        return section.header.origin if section is not None and not order.server else order.origin


def outcome(
    old: Iterable[SourceLine],
    new: Iterable[SourceLine],
    orders: Iterable[RunningOrder],
    digests: Mapping[str, str] = {},
    lists: Iterable[Reference] = (),
) -> Comparison:
    """Compare; the lines of `old` are those that were loaded.

    `digests` are those of the files of patterns as they were loaded, `lists` has them as they are.
    """
    before, after = sections_of(old), sections_of(new)
    differences = list(compare(before, after))
    read = {title_of_list(each): each for each in lists if each.name}
    now = digests_of(read.values())
    edited = [name for name, digest in digests.items() if now.get(name, digest) != digest]
    fates = [
        (
            order,
            _fate_of_entries(order, read.get(order.section), edited)
            if order.what == ENTRIES
            else _fate(order, after, differences),
        )
        for order in orders
    ]
    return Comparison(differences, fates, before, after, edited)


def _fate_of_entries(order: RunningOrder, now: Reference | None, edited: Iterable[str]) -> Fate:
    """Of entries that were changed: what the file has now is what a reload finds."""
    if now is None:
        return Fate.LOST
    if order.digest and entries_digest(entries_read(now)) == order.digest:
        return Fate.SAID
    return Fate.FILE if order.section in edited else Fate.LOST


_OPTIONS = {  # of a server line, by what an order changes
    "state": ("disabled", "enabled"),
    "weight": ("weight",),
    "maxconn": ("maxconn",),
    "address": (ADDRESS,),
    "name": (ADDRESS,),
    **dict.fromkeys(("check-addr", "check-port"), ("check", "addr", "port")),
}


def _section(
    order: RunningOrder, sections: dict[SectionKey, OutlinedSection]
) -> OutlinedSection | None:
    kind, _, name = order.section.partition(" ")
    return sections.get(SectionKey(kind, name))


def _server_line(section: OutlinedSection, name: str) -> SourceLine | None:
    """The line that makes a server of this name."""
    for line in section.lines:
        match line.words:
            case ("server", word, *_) if word == name:
                return line
            case ("server-template", prefix, numbers, *_) if name.startswith(prefix):
                found, number = _RANGE.fullmatch(numbers), name[len(prefix) :]
                first, last = (int(each or 1) for each in found.groups()) if found else (1, 0)
                if number.isdecimal() and first <= int(number) <= last:
                    return line
    return None


def _says_where(line: SourceLine) -> list[str]:
    """The address of its server, or servers."""
    place = 2 if line.words[0] == "server" else 3
    return list(line.words[place : place + 1])


def _fate(
    order: RunningOrder,
    sections: dict[SectionKey, OutlinedSection],
    differences: Iterable[Difference],
) -> Fate:
    section = _section(order, sections)
    if not order.server:
        words = tuple(f"{order.what} {order.now}".split())
        said = section is not None and any(line.words == words for line in section.lines)
        return Fate.SAID if said else Fate.LOST
    line = None if section is None else _server_line(section, order.server)
    if order.what == DELETED:
        return Fate.SAID if line is None else Fate.LOST
    if line is None or section is None:
        return Fate.LOST
    if order.what == ADDED:
        return Fate.SAID if _says_where(line) == order.now.split()[1:2] else Fate.FILE
    options = _OPTIONS.get(order.what, ())
    for difference in differences:
        if _touches(difference, section.key, line, options):
            return Fate.SAID if difference.new == (order.now,) else Fate.FILE
    return Fate.KEPT


def _touches(
    difference: Difference, key: SectionKey, line: SourceLine, options: tuple[str, ...]
) -> bool:
    """Whether a difference is about these options of the server of this line."""
    if difference.section == key and difference.subject[:2] == line.words[:2]:
        return difference.change is not LineChange.CHANGED or difference.option in options
    inherited = difference.section == key or difference.section.kind == "defaults"
    if inherited and difference.subject == template_of(line.words):
        return bool({*difference.old, *difference.new} & {*options})
    return False
