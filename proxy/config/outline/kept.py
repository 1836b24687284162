"""The lines that a configuration was loaded from, kept for as long as it is in force.

`show config` shows them, and compares the files with them: settings alone do not know which line
said what. Lines are in force (branches of `.if` that were not taken are left out), variables have
their values. They are kept packed, because every process inherits them and few are ever asked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from proxy.config.model.settings import Origin

if TYPE_CHECKING:
    from proxy.config.text.sources import SourceLine

ROWS_AT_ONCE = 256
PACKING_LEVEL = 1  # of zlib: the lines of servers are alike
_Row = tuple[int, tuple[str, ...]]


class KeptConfiguration(msgspec.Struct, frozen=True):
    """Where a configuration was read, and its lines."""

    sources: tuple[str, ...] = ()  # files and folders, as on the command line
    folder: str = ""  # which paths are relative to
    packed: bytes = b""

    def lines(self) -> Iterator[SourceLine]:
        """All lines, in the order in which they were read."""
        from proxy.config.text.sources import SourceLine  # noqa: PLC0415 - workers only hold it

        if not self.packed:
            return
        file, decoder = "", msgspec.json.Decoder(_Row | str)
        for row in zlib.decompress(self.packed).splitlines():
            read = decoder.decode(row)
            if isinstance(read, str):
                file = read
            else:
                yield SourceLine(Origin(file, read[0]), read[1])


class LineKeeper:
    """Takes lines while a configuration is loaded."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(PACKING_LEVEL)
        self._packed = bytearray()
        self._rows: list[bytes] = []  # not packed yet
        self._file = ""

    def add(self, line: SourceLine) -> None:
        """Keep one more line."""
        if line.origin.file != self._file:
            self._file = line.origin.file
            self._pack(shown_text(self._file))
        self._pack((line.origin.line, tuple(map(shown_text, line.words))))

    def _pack(self, row: object) -> None:
        self._rows.append(msgspec.json.encode(row))
        if len(self._rows) == ROWS_AT_ONCE:
            self._pack_rows()

    def _pack_rows(self) -> None:
        self._rows.append(b"")  # the end of the last line
        self._packed += self._packer.compress(b"\n".join(self._rows))
        self._rows.clear()

    def kept(self, sources: tuple[str, ...], folder: str) -> KeptConfiguration:
        """All lines; none can be added after this."""
        self._pack_rows()
        self._packed += self._packer.flush()
        told = tuple(map(shown_text, sources))
        return KeptConfiguration(told, shown_text(folder), bytes(self._packed))


def shown_text(text: str) -> str:
    """The text with bytes that are not UTF-8 written as escapes."""
    if text.isascii():
        return text
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
