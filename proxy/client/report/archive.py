"""The archive of a report: one part after another, and why a part is missing.

Owns the file: made anew, readable by its owner alone, removed where it cannot be finished.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PART_BYTES_MAX = 64 << 20  # of one part; more is cut, and told
MODE = 0o600


class PartError(Exception):
    """A part cannot be had; the text says why."""


class Archive:
    """A `.tar.gz` with one folder; a context manager."""

    def __init__(self, path: Path, told: Callable[[str], None]) -> None:
        """Make the file; raises OSError, FileExistsError among them. `told` hears of each part."""
        self.path = path
        self.failed = 0
        self._told = told
        self._folder = path.name.partition(".")[0]
        self._summary: list[str] = []
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, MODE), "wb")
        self._tar = tarfile.TarFile.gzopen(str(path), "w", self._file)

    def add(self, name: str, make: Callable[[], bytes | str]) -> bool:
        """Add a part, or why there is none; whether there is one. A full disk raises OSError."""
        began = time.monotonic()
        try:
            made = make()
        except PartError as error:
            reason = str(error)
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            content = made.encode(errors="backslashreplace") if isinstance(made, str) else made
            cut = len(content) > PART_BYTES_MAX
            self._write(name, content[:PART_BYTES_MAX])
            size = f"{len(content):,} bytes" + (f", cut at {PART_BYTES_MAX:,}" if cut else "")
            self._note(f"{name}: {size}, {time.monotonic() - began:.1f} s")
            return True
        self.failed += 1
        self._write(f"{name}.failed", f"{reason}\n".encode())
        self._note(f"{name}: FAILED: {reason}")
        return False

    def _note(self, line: str) -> None:
        self._summary.append(line)
        self._told(line)

    def _write(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(f"{self._folder}/{name}")
        member.size, member.mode, member.mtime = len(content), MODE, int(time.time())
        self._tar.addfile(member, io.BytesIO(content))

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file; one that cannot be finished is removed, and OSError raised."""
        try:
            if kind is None:
                self._write("parts.txt", "".join(f"{line}\n" for line in self._summary).encode())
                self._tar.close()
            self._file.close()
        except OSError:
            kind = OSError
            raise
        finally:
            if kind is not None:
                with suppress(OSError):
                    self.path.unlink()
