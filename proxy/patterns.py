"""Regular expressions over bytes, as HAProxy's: PCRE2 with its syntax and its limit of effort.

Owns the library, which is loaded with the first pattern. Python's own `re` has another syntax (no
POSIX classes), and no limit: bytes of a server could keep a worker busy without end.
"""

from __future__ import annotations

from typing import Protocol


class PatternError(ValueError):
    """A pattern that PCRE2 refuses; the text says where and why."""


class Pattern:
    """A compiled pattern."""

    def __init__(self, pattern: bytes) -> None:
        """Raises PatternError."""
        import pcre2  # noqa: PLC0415 - 1.7 MB that most configurations have no use for

        self._too_dear: type[Exception] = pcre2.LibraryError
        try:
            self._compiled: _Compiled = pcre2.compile(pattern)
        except pcre2.PatternError as error:
            raise PatternError(str(error)) from None

    def found_in(self, data: bytes) -> bool:
        """Whether it is there; one that is too dear to be found is not."""
        try:
            return self._compiled.search(data) is not None
        except self._too_dear:
            return False


class _Compiled(Protocol):
    def search(self, data: bytes) -> object | None: ...
