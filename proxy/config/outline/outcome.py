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
from proxy.config.outline.compare import ADDRESS, Difference, compare
from proxy.config.outline.patterns import (
    digests_of,
    entries_digest,
    entries_read,
    title_of_list,
)
from proxy.config.outline.sections import OutlinedSection, SectionKey, sections_of
from proxy.config.outline.server_words import ServerWords, Words, last_of
from proxy.config.text.sources import SourceLine

ADDED = "added"  # what an order was about: a server, or a backend, that no file has
DELETED = "deleted"  # likewise: a server of the files
RENAMED = "renamed"  # likewise; the order's server has the name in the files
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
            what = f"server {self.now} added" if self.server else f"added {self.now}"
            return what + (f" by {self.by}" if self.by else "")
        if self.what == DELETED:
            return f"server {self.server} deleted" + (f" by {self.by}" if self.by else "")
        if self.what == RENAMED:
            told = f"server {self.server} renamed to {self.now}"
            return told + (f" by {self.by}" if self.by else "")
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
    names: Mapping[tuple[str, str], str] = {}  # in the files, of servers that were renamed

    def place(self, order: RunningOrder) -> Origin:
        """Where the files have now what an order is about; else where they had it."""
        section = _section(order, self.new)
        now = order.now if order.what == RENAMED else order.server
        name = order.server if order.what == DELETED else self.names.get((order.section, now), now)
        line = None if section is None else _server_line(section, name)
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
    orders = tuple(orders)
    said_before, said_now = _Said(before, orders), _Said(after)
    renamed = {(each.section, each.now): each for each in orders if each.what == RENAMED}
    names = {key: _name_after(each, said_before, said_now) for key, each in renamed.items()}
    fates = [
        (
            order,
            _fate_of_entries(order, read.get(order.section), edited)
            if order.what == ENTRIES
            else _fate(order, said_before, said_now, names),
        )
        for order in orders
    ]
    return Comparison(differences, fates, before, after, edited, names)


def _fate_of_entries(order: RunningOrder, now: Reference | None, edited: Iterable[str]) -> Fate:
    """Of entries that were changed: what the file has now is what a reload finds."""
    if now is None:
        return Fate.LOST
    if order.digest and entries_digest(entries_read(now)) == order.digest:
        return Fate.SAID
    return Fate.FILE if order.section in edited else Fate.LOST


_AIMS = (("check", "no-check"), ("addr",), ("port",))
_OPTIONS = {  # of a server line, by what an order changes; of those together the last one counts
    "state": (("disabled", "enabled"),),
    "weight": (("weight",),),
    "maxconn": (("maxconn",),),
    "address": ((ADDRESS,),),
    "name": ((ADDRESS,),),
    **dict.fromkeys(("check-addr", "check-port"), _AIMS),
}
_UNSAID = {"disabled": ("enabled",), "weight": ("weight", "1"), "maxconn": ("maxconn", "0")}


class _Said:
    """What one side says of servers: its files, and what was added to them."""

    def __init__(
        self, sections: dict[SectionKey, OutlinedSection], orders: Iterable[RunningOrder] = ()
    ) -> None:
        self.sections = sections
        self._words = ServerWords(sections)
        self._added = {
            (each.section, each.server): SourceLine(Origin(), ("server", *each.now.split()))
            for each in orders
            if each.what == ADDED and each.server
        }
        self._configured = {
            (each.section, each.now): each.server for each in orders if each.what == RENAMED
        }

    def line(self, order: RunningOrder) -> SourceLine | None:
        """The line that made the server of an order."""
        name = self._configured.get((order.section, order.server), order.server)
        return self._added.get((order.section, order.server)) or self.named(order, name)

    def named(self, order: RunningOrder, name: str) -> SourceLine | None:
        """The line that makes the server of this name, in the section of an order."""
        section = _section(order, self.sections)
        return None if section is None else _server_line(section, name)

    def options(self, order: RunningOrder, line: SourceLine) -> tuple[Words, ...]:
        """What an order changes, as the line of its server and those before it say."""
        words = self._words.of(_section(order, self.sections), line)
        return tuple(
            tuple(_says_where(line))
            if names == (ADDRESS,)
            else last_of(words, names) or _UNSAID.get(names[0], ())
            for names in _OPTIONS.get(order.what, ())
        )


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


def _name_after(renamed: RunningOrder, before: _Said, after: _Said) -> str:
    """By which name of the files its server goes on (`name_after_reload` of proxy/members)."""
    new, former = after.named(renamed, renamed.now), after.named(renamed, renamed.server)
    if new is not None and (
        former is None or _is_there(new, before.named(renamed, renamed.server))
    ):
        return renamed.now
    return renamed.server


def _is_there(line: SourceLine, former: SourceLine | None) -> bool:
    return former is not None and _says_where(line) == _says_where(former)


def _fate(
    order: RunningOrder, before: _Said, after: _Said, names: Mapping[tuple[str, str], str]
) -> Fate:
    section = _section(order, after.sections)
    if not order.server:
        words = tuple(f"{order.what} {order.now}".split())
        said = section is not None and any(line.words == words for line in section.lines)
        return Fate.SAID if said else Fate.LOST
    if order.what == DELETED:
        return Fate.LOST if after.named(order, order.server) is not None else Fate.SAID
    if order.what == RENAMED:
        line = after.named(order, order.now)
        if line is None or names[order.section, order.now] != order.now:
            return Fate.LOST
        return Fate.SAID if _is_there(line, before.named(order, order.server)) else Fate.FILE
    name = names.get((order.section, order.server), order.server)
    return _fate_of_server(order, before, after, after.named(order, name))


def _fate_of_server(
    order: RunningOrder, before: _Said, after: _Said, line: SourceLine | None
) -> Fate:
    """Of an order about the server of this line of the files."""
    if line is None:
        return Fate.LOST
    if order.what == ADDED:
        return Fate.SAID if _says_where(line) == order.now.split()[1:2] else Fate.FILE
    former = before.line(order)
    if former is None:
        return Fate.FILE
    said = zip(before.options(order, former), after.options(order, line), strict=True)
    for was, now in said:
        if was != now:
            return Fate.SAID if now[-1:] == (order.now,) else Fate.FILE
    return Fate.KEPT
