"""The lists of all conditions and maps, numbered; and the references that the stats socket shows.

A file is one reference, wherever it is named (two, where some lines see values in it and some do
not); each line has one for its own patterns.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import msgspec

from proxy.config.http_drafts import Expression
from proxy.config.model.lists import ListSource, ListUse, PatternList, Reference
from proxy.config.model.rules import Converter
from proxy.config.model.sockets import Origin
from proxy.config.text.messages import ConfigError


class _Known:
    """A reference while lines that name it are found."""

    def __init__(self, source: ListSource) -> None:
        self.source = source
        self.named: dict[tuple[str, Origin], None] = {}
        self.lists: dict[ListUse, int] = {}

    @property
    def description(self) -> str:
        """As HAProxy describes it."""
        source = self.source
        if not source.file:
            return f"acl '{source.word}' file '{source.origin.file}' line {source.origin.line}"
        lines = sorted(self.named, key=lambda each: (each[1].file, each[1].line))
        by = "map" if source.valued else "acl"
        used = ", ".join(f"by {by} at file '{at.file}' line {at.line}" for _, at in lines)
        return f"pattern loaded from file '{source.file}' used {used}"


class ListTable:
    """The lists of a configuration: one for each way to compare the patterns of a reference."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._unshown: dict[bytes, int] = {}
        self._known: dict[Hashable, _Known] = {}
        self._ids: dict[int, Hashable] = {}
        self._files: dict[str, int] = {}  # of the configuration, in the order of their lines

    def number(self, listed: PatternList) -> int:
        """The number of a list; -1 where the matcher needs none. ConfigError."""
        source = listed.source
        known = self._reference(source)
        if not listed.packed:
            return -1
        if listed.use not in known.lists:
            known.lists[listed.use] = len(self._packed)
            self._packed.append(listed.packed)
        return known.lists[listed.use]

    def numbers(self, expression: Expression) -> tuple[int, ...]:
        """Of the lists of an expression, also of those in its converters; ConfigError."""
        self.linked(expression.converters)
        return tuple(n for n in map(self.number, expression.lists) if n >= 0)

    def _reference(self, source: ListSource) -> _Known:
        key: Hashable = (source.path, source.valued)
        if not source.file:
            key = (source.origin, source.word, source.patterns)
        self._files.setdefault(source.origin.file, len(self._files))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(source)
        if source.id is not None and self._ids.setdefault(source.id, key) != key:
            raise ConfigError("the id is already used.")
        known.named[source.by, source.origin] = None
        return known

    def linked(self, converters: tuple[Converter, ...]) -> tuple[Converter, ...]:
        """The same converters, with the numbers of their maps; ConfigError."""
        return tuple(
            msgspec.structs.replace(each, listed=None, patterns=self.number(each.listed))
            if each.listed is not None
            else each
            for each in converters
        )

    def unshown(self, packed: bytes) -> int:
        """The number of a list that no file and no line has: no order names it."""
        if packed not in self._unshown:
            self._unshown[packed] = len(self._packed)
            self._packed.append(packed)
        return self._unshown[packed]

    @property
    def every(self) -> tuple[bytes, ...]:
        """All of them, by number."""
        return tuple(self._packed)

    def references(self) -> tuple[Reference, ...]:
        """All references, by id; those without one are numbered in the order of lines."""
        ordered = sorted(self._known.values(), key=self._first_line)
        free = (number for number in range(len(ordered) + len(self._ids)))
        unused = (number for number in free if number not in self._ids)
        made = (self._made(each, unused) for each in ordered)
        return tuple(sorted(made, key=lambda each: each.id))

    def _first_line(self, known: _Known) -> tuple[int, int]:
        return min((self._files[at.file], at.line) for _, at in known.named)

    def _made(self, known: _Known, unused: Iterable[int]) -> Reference:
        source = known.source
        kinds = {by for by, _ in known.named}
        return Reference(
            id=next(iter(unused)) if source.id is None else source.id,
            name=source.file,
            path=source.path,
            description=known.description,
            of_acls="acl" in kinds,
            of_maps="map" in kinds,
            valued=source.valued,
            content=source.content,
            patterns=source.patterns,
            lists=tuple((number, use) for use, number in known.lists.items()),
        )
