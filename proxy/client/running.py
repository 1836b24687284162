"""A program that runs, as its pid file and its command line tell of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from proxy.arguments import UsageError, parse


class StartWords(msgspec.Struct, frozen=True):
    """With what a process was started, by paths that lead there from here."""

    files: tuple[str, ...] = ()
    pidfile: str | None = None
    folder: str = ""  # where the paths in its files begin
    masters: tuple[str, ...] = ()  # what its -S say


def pid_in(pidfile: str) -> int | None:
    """The first number of a pid file, if such a process lives."""
    with suppress(OSError, ValueError):
        pid = int(Path(pidfile).read_text().split()[0])
        Path(f"/proc/{pid}").stat()
        return pid
    return None


def command_line_of(pid: int) -> StartWords:
    """What can be read of it; empty where nothing can.

    Where a process of another user is, only root may know: relative paths are left out then.
    """
    words, folder = b"", Path()
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        folder = Path(f"/proc/{pid}/cwd").readlink()
    parts = words.decode(errors="surrogateescape").rstrip("\0").split("\0")
    for first in range(1, len(parts)):
        arguments = parse(parts[first:])
        if not isinstance(arguments, UsageError) and arguments.files:
            folder /= arguments.folder or ""
            files = [folder / file for file in arguments.files]
            pidfile = folder / (arguments.pidfile or "")
            return StartWords(
                tuple(str(file) for file in files if file.is_absolute()),
                str(pidfile) if arguments.pidfile and pidfile.is_absolute() else None,
                str(folder),
                arguments.master_sockets,
            )
    return StartWords()
