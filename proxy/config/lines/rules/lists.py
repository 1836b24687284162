"""The lists of one expression: patterns of its line, and of files that `-f` names.

Owns the order in which they are read, and what is said of a line of a file. What a pattern is says
patterns.py; the fast reader of files is proxy/lists/.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.config.lines.rules.patterns import (
    INTEGER_LIMITS,
    OPERATORS,
    bytes_of,
    network_of,
    ranges_of,
    text_of,
    versions_of,
)
from proxy.config.model.rules import Matcher
from proxy.config.text.messages import ConfigError
from proxy.lists.pack import Packer
from proxy.lists.regex import check
from shm.files import read_whole

FILE_BYTES_MAX = 1 << 30
_NUMBERS = (Matcher.INT, Matcher.LEN)


class ListReader:
    """Collects patterns that are compared in one way."""

    def __init__(self, matcher: Matcher, *, insensitive: bool, dotted: bool = False) -> None:
        """`dotted`: numbers are versions."""
        self._ranges = versions_of if dotted else ranges_of
        self._matcher = matcher
        self._insensitive = insensitive
        self._packer = Packer(matcher.value, insensitive=insensitive)

    def __len__(self) -> int:
        return len(self._packer)

    def packed(self) -> bytes:
        """The list; nothing may be added after that."""
        return self._packer.packed()

    def add(self, words: Sequence[str]) -> None:
        """Add patterns of the line; ConfigError for what is none."""
        if self._matcher in _NUMBERS:
            for each in self._ranges(words):
                low, high = INTEGER_LIMITS
                self._packer.add_range(
                    low if each.low is None else each.low, high if each.high is None else each.high
                )
            return
        for word in words:
            if self._matcher is Matcher.IP:
                network = network_of(word)
                self._packer.add_network(network.address, network.bits)
            else:
                self._add_text(bytes_of(word) if self._matcher is Matcher.BIN else text_of(word))

    def add_file(self, path: str) -> None:
        """Add the lines of a file; ConfigError with the number of a wrong one."""
        self._packer.open(_content(path))
        while (line := self._packer.read()) is not None:
            number, content = line
            word = content.decode(errors="surrogateescape")
            try:
                if self._matcher in _NUMBERS and word in OPERATORS:
                    raise ConfigError(f"'{word}' is not a number")
                self.add((word,))
            except ConfigError as error:
                raise ConfigError(f"{error} at line {number} of file '{path}'") from error

    def _add_text(self, text: bytes) -> None:
        try:
            if self._matcher is Matcher.REG:
                check(text, insensitive=self._insensitive)
            self._packer.add_text(text)
        except (ValueError, ImportError) as error:
            raise ConfigError(str(error)) from None


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
