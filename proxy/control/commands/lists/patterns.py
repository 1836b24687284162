"""One reference of lists as orders see it: its patterns in memory, loaded when they are asked for.

Owns how a text that an operator writes becomes a pattern of all lists of the reference, and the
errors of that, in HAProxy's words. Which orders there are is orders.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from proxy.config.lines.rules.lists import ListReader
from proxy.config.lines.rules.patterns import OPERATORS
from proxy.config.model.lists import ListUse, Reference
from proxy.config.model.matching import MapType, Matcher
from proxy.config.outline.patterns import entries_digest, entries_read
from proxy.config.text.messages import ConfigError
from proxy.control.command import Answer, CommandError, Piece
from proxy.control.limits import PASSED_LOOK_SECONDS, PASSED_SECONDS_MAX, PATTERNS_AT_ONCE
from proxy.lists.changing.area import ListArea
from proxy.lists.changing.editor import ListEditor
from proxy.lists.changing.expressions import compile_added, follow
from proxy.lists.changing.images import ListFullError
from proxy.lists.pack import Packer
from proxy.lists.regex import ADDED_MAX, Regexes, records_count
from proxy.rules.dry.probe import Probe
from proxy.runtime import Runtime, ring

Entry = tuple[str, str | None]  # a pattern, and the value that a map has for it
_NUMBERS = (Matcher.INT, Matcher.LEN)
_MORE = (  # what only Millrace says of a pattern in a file
    " (host names are not resolved here)",
    ": it ends before it begins",
)
_NO_MORE = (
    f"No more than {ADDED_MAX} expressions can be added to a list while its configuration is in "
    "force: add these to the file, then reload."
)


def to_bytes(text: str) -> bytes:
    """A word of a command as it was sent."""
    return text.encode(errors="surrogateescape")


def _said(error: Exception) -> str:
    text = str(error)
    for more in _MORE:
        text = text.replace(more, "")
    return f"{text}."


class _Collected:
    """Patterns on their way into memory: their texts and values, and the keys of each list."""

    def __init__(self, uses: Iterable[ListUse], *, gives: str, valued: bool) -> None:
        self.texts = Packer("str", gives=gives, each=True)
        self.readers = [ListReader(use, valued=valued, each=True) for use in uses]
        self.uses = tuple(uses)

    @property
    def packers(self) -> tuple[Packer, ...]:
        """That of the texts first."""
        return self.texts, *(reader.packer for reader in self.readers)

    def add(self, key: str, value: str | None) -> None:
        """Add one; CommandError."""
        for use in self.uses:
            if value is not None and use.gives not in (None, MapType.TEXT):
                _check_value(value, use)
        try:
            for use, reader in zip(self.uses, self.readers, strict=True):
                if use.matcher in _NUMBERS and key in OPERATORS:
                    raise ConfigError(f"'{key}' is not a number")
                reader.add_pattern(key)
            self.texts.add_entry(to_bytes(key), to_bytes(value or ""))
        except (ConfigError, ValueError) as error:
            raise CommandError(_said(error)) from error


def _check_value(value: str, use: ListUse) -> None:
    assert use.gives is not None
    judge = Packer("str", gives=use.gives.value, asked=False)
    judge.open(b"key " + to_bytes(value))
    try:
        judge.read()
    except ValueError as error:
        raise CommandError(_said(error)) from error


class ListChange(NamedTuple):
    """How a list differs from what was read."""

    more: int  # entries that were not read
    less: int  # entries that are gone
    digest: str  # of those that there are

    @property
    def text(self) -> str:
        """`1 added, 2 removed`."""
        counts = ((self.more, "added"), (self.less, "removed"))
        return ", ".join(f"{count} {what}" for count, what in counts if count)


class Passed:
    """Wait until workers have passed what they may have looked at."""

    def __init__(self, area: ListArea, epoch: int) -> None:
        self._area, self._epoch = area, epoch

    async def over(self) -> None:
        """Return when they have, or after PASSED_SECONDS_MAX."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PASSED_SECONDS_MAX):
                while not self._area.quiet(self._epoch):
                    await asyncio.sleep(PASSED_LOOK_SECONDS)


class ListedPatterns:
    """The patterns of one reference."""

    def __init__(
        self,
        runtime: Runtime,
        area: ListArea,
        number: int,
        reference: Reference,
        beat: Callable[[], None],
    ) -> None:
        """`number` is that of the reference in its area; `beat` is called while work takes long."""
        self._beat = beat
        self._bells = (*runtime.bells.relays, *runtime.bells.workers)
        self.reference = reference
        self.uses = tuple(use for _, use in reference.lists)
        self.regular = any(use.matcher.regular for use in self.uses)
        self._collected: _Collected | None = _Collected(self.uses, gives="str", valued=False)
        self.editor = ListEditor(area, number, self._collected.packers)
        self.editor.beat = beat
        self._area = area
        numbers = [number for number, use in reference.lists if use.matcher.regular]
        counts = (records_count(area.packed[number]) for number in numbers)
        self._orders_max = min(counts, default=0) + ADDED_MAX  # of patterns, by their number
        self._probes: list[Probe] = []
        self._count: int | None = None

    @property
    def count(self) -> int:
        """How many patterns there are, of all versions."""
        if self.editor.loaded:
            return self.editor.patterns
        if self._count is None:
            self._count = len(self._as_read(()).texts)
        return self._count

    def _as_read(self, uses: tuple[ListUse, ...]) -> _Collected:
        """The patterns of the file, or of the line."""
        said = self.reference
        found = _Collected(uses, gives="str" if said.valued else "", valued=said.valued)
        if said.name:
            found.texts.open(said.content)
            found.texts.read()
            for reader in found.readers:
                self._beat()
                reader.add_content(said.content, said.name)
            self._beat()
        for pattern in said.patterns:
            found.texts.add_text(to_bytes(pattern))
            for reader in found.readers:
                reader.add((pattern,))
        return found

    def changed(self) -> ListChange | None:
        """What is not as it was read; None: everything is."""
        if not self.editor.loaded:
            return None
        rows = self.editor.rows(self.editor.version)
        now = Counter((key, value) for _, key, value in rows.page(0, len(rows)))
        self._beat()
        read = Counter(entries_read(self.reference))
        more, less = (now - read).total(), (read - now).total()
        if not more and not less:
            return None
        self._beat()
        return ListChange(more, less, entries_digest(now.elements()))

    def load(self) -> ListEditor:
        """The patterns in memory; CommandError where there is no room for them."""
        if not self.editor.loaded:
            try:
                collected = self._as_read(self.uses)
                self.editor.begin(collected.packers, valued=self.reference.valued)
            except (ConfigError, ListFullError) as error:
                raise CommandError(f"{error}.") from error
        return self.editor

    def change(self, act: Callable[[ListEditor], object]) -> Iterator[Piece]:
        """Change the patterns, and put that in force; CommandError.

        Where the memory for it may still be looked at, it waits until that is over.
        """
        editor = self.load()
        for again in (True, False):
            try:
                act(editor)
            except ListFullError as error:
                if not (again and editor.awaited):
                    raise CommandError(f"{error}.") from error
                ring(self._bells)
                yield Passed(self._area, editor.awaited)
            else:
                editor.publish()
                return

    def add(self, entries: Iterable[Entry], version: int | None) -> Iterator[Piece]:
        """Add patterns, all or none, to a version or to what is in force; CommandError."""
        collected = self._collected or _Collected(self.uses, gives="str", valued=False)
        self._collected = None  # while another order may have its turn
        try:
            yield from self._add(collected, entries, version)
        finally:
            for packer in collected.packers:
                packer.empty()
            self._collected = collected

    def _add(
        self, collected: _Collected, entries: Iterable[Entry], version: int | None
    ) -> Iterator[Piece]:
        valued = False
        for number, (key, value) in enumerate(entries):
            collected.add(key, value)
            valued = value is not None
            if number % PATTERNS_AT_ONCE == PATTERNS_AT_ONCE - 1:
                yield ""
        if self.regular and self.load().next_order + len(collected.texts) > self._orders_max:
            raise CommandError(_NO_MORE)
        yield from self.change(
            lambda editor: editor.add(
                collected.packers, editor.version if version is None else version, valued=valued
            )
        )
        if self.regular:
            yield from self._compiled()

    def _compiled(self) -> Iterator[Piece]:
        """Wait until each process that looks for them has compiled the expressions."""
        compile_added(self._area)
        epoch = self._area.retire()
        ring(self._bells)
        yield Passed(self._area, epoch)

    def give(self, key: str, order: int, value: str) -> Answer | None:
        """Give another value to the patterns with this text, or to one; None: there are none."""
        for use in self.uses:
            if use.gives not in (None, MapType.TEXT):
                _check_value(value, use)
        if not self.load().has(to_bytes(key), order):
            return None
        return self.change(lambda editor: editor.give(to_bytes(key), to_bytes(value), order))

    def remove(self, key: str, order: int) -> bool:
        """Remove the patterns with this text from all versions, or one by its number."""
        editor = self.load()
        if not editor.remove(to_bytes(key), order):
            return False
        editor.publish()
        return True

    def probes(self) -> list[Probe]:
        """One for each list."""
        if not self._probes:
            self._probes = [
                Probe(
                    self.load(),
                    place,
                    use.matcher.value,
                    insensitive=use.insensitive,
                    regexes=self._regexes(number),
                )
                for place, (number, use) in enumerate(self.reference.lists, start=1)
            ]
        return self._probes

    def _regexes(self, number: int) -> Regexes | None:
        use = dict(self.reference.lists)[number]
        if not use.matcher.regular:
            return None
        found = Regexes(self._area.packed[number])
        follow(self._area, number, found)
        compile_added(self._area)
        return found
