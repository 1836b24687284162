"""Which program a report is about: its main process, its stats sockets, its files.

Each is found from the others, because any may be missing: a socket says by whom it is listened on
even if control is dead (SO_PEERCRED, unix(7)), a process has its command line.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from proxy.arguments import Arguments, UsageError, parse
from proxy.client.connection import connect
from proxy.client.lines import read_places
from proxy.config.text.messages import ConfigError
from proxy.flags.table import CONFIGURATION, PIDFILE

CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
CONNECT_SECONDS = 1


class ReportedProgram(msgspec.Struct):
    """What was found; empty and None: nothing."""

    files: tuple[str, ...] = ()
    sockets: list[str] = []
    pidfile: str | None = None  # the usual one where nothing names another
    pid: int | None = None


def find_target(arguments: Arguments, environ: Mapping[str, str]) -> ReportedProgram:
    """By a pid or a socket of the command line, else by the files of -f, or the usual one."""
    word = "".join(arguments.command[1:2])
    target = ReportedProgram(arguments.files, pidfile=arguments.pidfile)
    if word.isdecimal():
        target.pid = int(word)
    given = arguments.socket if word.isdecimal() or not word else word
    if given is not None:
        target.sockets = [given]
        target.pid = target.pid or _pid_of_socket(target.sockets, environ)
    if target.pid is not None:
        target.files = target.files or _files_of(target.pid)
    elif given is None:
        target.files = target.files or (CONFIGURATION,)
    if target.files:
        places = read_places(target.files, dict(environ))
        target.sockets = target.sockets or places.stats_sockets
        target.pidfile = target.pidfile or places.pidfile
    target.pidfile = target.pidfile or PIDFILE
    if target.pid is None and given is None:
        target.pid = _pid_of_socket(target.sockets, environ) or _pid_in(target.pidfile)
    return target


def _pid_of_socket(addresses: list[str], environ: Mapping[str, str]) -> int | None:
    """The process that listens on the first of these that is a Unix socket."""
    for address in addresses:
        with suppress(OSError, ConfigError), connect(address, environ, CONNECT_SECONDS) as client:
            if client.family == socket.AF_UNIX:
                option = (socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
                pid, _, _ = CREDENTIALS.unpack(client.getsockopt(*option))
                return int(pid) or None  # 0: a process that this one cannot see
    return None


def _pid_in(pidfile: str) -> int | None:
    """The first number of a pid file, if such a process lives."""
    with suppress(OSError, ValueError):
        pid = int(Path(pidfile).read_text().split()[0])
        Path(f"/proc/{pid}").stat()
        return pid
    return None


def _files_of(pid: int) -> tuple[str, ...]:
    """The files of the command line of a process, by paths that lead there from here."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape")
        folder = Path(f"/proc/{pid}/cwd").readlink()
        parts = words.rstrip("\0").split("\0")
        for first in range(1, len(parts)):
            arguments = parse(parts[first:])
            if not isinstance(arguments, UsageError) and arguments.files:
                folder /= arguments.folder or ""
                return tuple(str(folder / file) for file in arguments.files)
    return ()
