"""Configuration files as a report has them: line by line, without comments and secrets.

Variables stay names, because their values may be secret; so do branches that are not in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proxy.config.outline.secrets import hide
from proxy.config.outline.sections import written
from proxy.config.text.lexer import LexerError, split_line
from proxy.config.text.sources import FILE_BYTES_MAX
from shm.files import read_whole

UNREADABLE = "# a line that cannot be read"


class _Names(Mapping[str, str]):
    """Every variable has its own name as value."""

    def __getitem__(self, name: str) -> str:
        return f"${{{name}}}"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def file_without_secrets(path: str) -> str:
    """A file, with an empty line for each that says nothing; raises OSError."""
    with open(path, "rb", buffering=0) as stream:
        content = read_whole(stream.fileno(), FILE_BYTES_MAX)
    text = content.decode(errors="surrogateescape")
    return "".join(f"{_shown(line)}\n" for line in text.removesuffix("\n").split("\n"))


def _shown(line: str) -> str:
    try:
        words = split_line(line, _Names())
    except LexerError:
        return UNREADABLE
    indent = line[: len(line) - len(line.lstrip())]
    return indent + written(hide(words)) if words else ""
