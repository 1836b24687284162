"""Regular expressions over bytes, as HAProxy's: PCRE2 with its syntax and its limit of effort.

Owns the library, which takes 1.7 MB that most configurations have no use for: it is loaded with the
first pattern, or by `load` where a process will change its root before. Python's own `re` has
another syntax (no POSIX classes), and no limit: bytes of a server could keep a worker busy without
end.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Protocol, cast


class PatternError(ValueError):
    """A pattern that PCRE2 refuses; the text says where and why."""


def load() -> ModuleType:
    """The library; raises ImportError where it is not installed."""
    return importlib.import_module("pcre2")


class Pattern:
    """A compiled pattern."""

    def __init__(self, pattern: bytes) -> None:
        """Raises PatternError."""
        try:
            pcre2 = load()
        except ImportError as error:
            raise PatternError(f"it takes the package pcre2: {error}") from error
        self._too_dear: type[Exception] = pcre2.LibraryError
        try:
            self._compiled: _Compiled = _compile(pcre2, pattern)
        except pcre2.PatternError as error:
            raise PatternError(str(error)) from None

    def found_in(self, data: bytes) -> bool:
        """Whether it is there; one that is too dear to be found is not."""
        try:
            return self._compiled.search(data) is not None
        except self._too_dear:
            return False


def _compile(pcre2: ModuleType, pattern: bytes) -> _Compiled:
    """Interpreted where no memory may be executable, as by MemoryDenyWriteExecute= of systemd."""
    try:
        return cast("_Compiled", pcre2.compile(pattern))
    except pcre2.LibraryError:
        return cast("_Compiled", pcre2.compile(pattern, jit=False))


class _Compiled(Protocol):
    def search(self, data: bytes) -> object | None: ...
