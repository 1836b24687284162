"""The lists of one expression: patterns of its line, and of files that `-f` names.

Owns the order in which they are read, and what is said of a line of a file. What a pattern is says
patterns.py; the fast reader of files is proxy/lists/.
"""

from __future__ import annotations

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
from proxy.config.model.rules import IntRange, MapType, Matcher
from proxy.config.text.messages import ConfigError
from proxy.lists.pack import Packer
from proxy.lists.regex import check
from shm.files import read_whole

FILE_BYTES_MAX = 1 << 30
_NUMBERS = (Matcher.INT, Matcher.LEN)


class ListReader:
    """Collects patterns that are compared in one way."""

    def __init__(
        self,
        matcher: Matcher,
        *,
        insensitive: bool = False,
        dotted: bool = False,
        gives: MapType | None = None,
        asked: bool = True,
    ) -> None:
        """`dotted`: numbers are versions. With `gives`, files are maps.

        `asked`: whether there is a pattern, not only which one.
        """
        self._ranges = versions_of if dotted else ranges_of
        self._matcher = matcher
        self._insensitive = insensitive
        self._packer = Packer(
            matcher.value,
            insensitive=insensitive,
            gives=gives.value if gives else "",
            asked=asked,
        )

    def __len__(self) -> int:
        return len(self._packer)

    def packed(self) -> bytes:
        """The list; nothing may be added after that."""
        return self._packer.packed()

    def add(self, words: Sequence[str]) -> None:
        """Add patterns of the line; ConfigError for what is none."""
        if self._matcher in _NUMBERS:
            for each in self._ranges(words):
                self._add_range(each)
            return
        for word in words:
            self._add(word)

    def _add_range(self, numbers: IntRange) -> None:
        low, high = INTEGER_LIMITS
        self._packer.add_range(
            low if numbers.low is None else numbers.low,
            high if numbers.high is None else numbers.high,
        )

    def _add(self, word: str) -> None:
        if self._matcher in _NUMBERS:
            for each in self._ranges((word,)):
                self._add_range(each)
        elif self._matcher is Matcher.IP:
            network = network_of(word)
            self._packer.add_network(network.address, network.bits)
        else:
            self._add_text(bytes_of(word) if self._matcher is Matcher.BIN else text_of(word))

    def add_file(self, path: str) -> None:
        """Add the lines of a file; ConfigError with the number of a wrong one."""
        self.add_content(_content(path), path)

    def add_content(self, content: bytes, path: str) -> None:
        """The same of what was read of it."""
        self._packer.open(content)
        try:
            while (line := self._packer.read()) is not None:
                word = line.decode(errors="surrogateescape")
                if self._matcher in _NUMBERS and word in OPERATORS:
                    raise ConfigError(f"'{word}' is not a number")
                self._add(word)
        except (ConfigError, ValueError) as error:
            number = self._packer.line
            raise ConfigError(f"{error} at line {number} of file '{path}'") from error

    def _add_text(self, text: bytes) -> None:
        try:
            if self._matcher is Matcher.REG:
                check(text, insensitive=self._insensitive)
            self._packer.add_text(text)
        except (ValueError, ImportError) as error:
            raise ConfigError(str(error)) from None


def map_of(path: str, folder: str, matcher: Matcher, gives: MapType) -> bytes:
    """The map in a file; ConfigError with the number of a wrong line."""
    whole = str(Path(folder, path)) if path else ""
    return _packed_map(_content(whole), whole, matcher, gives)


@lru_cache(maxsize=1)
def _packed_map(content: bytes, path: str, matcher: Matcher, gives: MapType) -> bytes:
    """The last one is kept: many lines look up in the same map."""
    reader = ListReader(matcher, gives=gives, asked=False)
    reader.add_content(content, path)
    return reader.packed()


def forget_maps() -> None:
    """Let go of the last map, when all lines have been read."""
    _packed_map.cache_clear()


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
