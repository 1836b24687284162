"""A program that runs, as its pid file and its command line tell of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from proxy.arguments import UsageError, parse


class CommandLine(msgspec.Struct, frozen=True):
    """With what a process was started, by paths that lead there from here."""

    files: tuple[str, ...] = ()
    pidfile: str | None = None
    folder: str = ""  # where the paths in its files begin


def pid_in(pidfile: str) -> int | None:
    """The first number of a pid file, if such a process lives."""
    with suppress(OSError, ValueError):
        pid = int(Path(pidfile).read_text().split()[0])
        Path(f"/proc/{pid}").stat()
        return pid
    return None


def command_line_of(pid: int) -> CommandLine:
    """What can be read of it; empty where nothing can."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape")
        folder = Path(f"/proc/{pid}/cwd").readlink()
        parts = words.rstrip("\0").split("\0")
        for first in range(1, len(parts)):
            arguments = parse(parts[first:])
            if not isinstance(arguments, UsageError) and arguments.files:
                folder /= arguments.folder or ""
                return CommandLine(
                    tuple(str(folder / file) for file in arguments.files),
                    arguments.pidfile and str(folder / arguments.pidfile),
                    str(folder),
                )
    return CommandLine()
