"""Lists of patterns: those of a line, and of files that `-f` and maps name.

Owns what is said of a line of a file. What a pattern is says patterns.py; the fast reader of files
is proxy/lists/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from proxy.config.lines.rules.patterns import (
    INTEGER_LIMITS,
    OPERATORS,
    bytes_of,
    network_of,
    ranges_of,
    text_of,
    versions_of,
)
from proxy.config.model.lists import ListSource, ListUse, PatternList, Place
from proxy.config.model.matching import MapType, Matcher
from proxy.config.model.rules import IntRange
from proxy.config.text.messages import ConfigError
from proxy.lists.pack import Packer
from proxy.lists.regex import check
from shm.files import read_whole

FILE_BYTES_MAX = 1 << 30
_NUMBERS = (Matcher.INT, Matcher.LEN)
_NETWORK = re.compile(r"[0-9a-fA-F.:/]+")


class ListReader:
    """Collects patterns that are compared in one way."""

    def __init__(self, use: ListUse, *, valued: bool = False, each: bool = False) -> None:
        """`valued`: lines of files have a value behind the key, which is none unless `use` says so.

        `each`: whatever is added is a pattern of its own, which may be removed by itself.
        """
        self._ranges = versions_of if use.dotted else ranges_of
        self._use = use
        gives = use.gives or (MapType.TEXT if valued else None)
        self.packer = Packer(
            use.matcher.value,
            insensitive=use.insensitive,
            gives=gives.value if gives else "",
            asked=use.gives is None and not each,
            each=each,
        )

    def packed(self) -> bytes:
        """The list; nothing may be added after that."""
        return self.packer.packed()

    def add(self, words: Sequence[str]) -> None:
        """Add patterns of the line; ConfigError for what is none."""
        if self._use.matcher in _NUMBERS:
            for each in self._ranges(words):
                self._add_range(each)
            return
        for word in words:
            self._add(word)

    def add_pattern(self, word: str) -> None:
        """Add one, which is no operator; ConfigError. Networks of usual forms are read at once."""
        usual = self._use.matcher is Matcher.IP and self._use.gives is not MapType.ADDRESS
        if usual and _NETWORK.fullmatch(word):
            self.packer.open(word.encode())
            if self.packer.read() is None:
                return
        self._add(word)

    def _add_range(self, numbers: IntRange) -> None:
        low, high = INTEGER_LIMITS
        self.packer.add_range(
            low if numbers.low is None else numbers.low,
            high if numbers.high is None else numbers.high,
        )

    def _add(self, word: str) -> None:
        if self._use.matcher in _NUMBERS:
            for each in self._ranges((word,)):
                self._add_range(each)
        elif self._use.matcher is Matcher.IP:
            network = network_of(word)
            self.packer.add_network(network.address, network.bits)
        else:
            self._add_text(bytes_of(word) if self._use.matcher is Matcher.BIN else text_of(word))

    def add_content(self, content: bytes, path: str) -> None:
        """Add the lines of a file; ConfigError with the number of a wrong one."""
        self.packer.open(content)
        try:
            while (line := self.packer.read()) is not None:
                word = line.decode(errors="surrogateescape")
                if self._use.matcher in _NUMBERS and word in OPERATORS:
                    raise ConfigError(f"'{word}' is not a number")
                self._add(word)
        except (ConfigError, ValueError) as error:
            number = self.packer.line
            raise ConfigError(f"{error} at line {number} of file '{path}'") from error

    def _add_text(self, text: bytes) -> None:
        try:
            if self._use.matcher.regular:
                check(text, insensitive=self._use.insensitive)
            self.packer.add_text(text)
        except (ValueError, ImportError) as error:
            raise ConfigError(str(error)) from None


def list_of(path: str, place: Place, use: ListUse, *, by: str, valued: bool) -> PatternList:
    """The list in a file; ConfigError with the number of a wrong line."""
    whole = str(Path(place.folder, path)) if path else ""
    content = _content(whole)
    source = ListSource(by, place.origin, file=path, path=whole, valued=valued, content=content)
    return PatternList(_packed(content, whole, use, valued), use, source)


@lru_cache(maxsize=1)
def _packed(content: bytes, path: str, use: ListUse, valued: bool) -> bytes:
    """The last one is kept: many lines look up in the same list."""
    reader = ListReader(use, valued=valued)
    reader.add_content(content, path)
    return reader.packed()


def forget_lists() -> None:
    """Let go of the last list, when all lines have been read."""
    _packed.cache_clear()


def _content(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            content = read_whole(file.fileno(), FILE_BYTES_MAX)
    except IsADirectoryError as error:
        raise ConfigError(
            f"error encountered while reading  <{path}> : {error.strerror}"
        ) from error
    except (OSError, ValueError) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
        raise ConfigError(f"failed to open pattern file <{path}>{reason}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"pattern file <{path}> has more than {FILE_BYTES_MAX} bytes")
    return content
