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

from proxy.arguments import Arguments
from proxy.client.connection import connect
from proxy.client.lines import read_places
from proxy.client.running import StartWords, command_line_of, pid_in
from proxy.config.text.messages import ConfigError
from proxy.flags.table import CONFIGURATION, PIDFILE

CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
CONNECT_SECONDS = 1
ADDRESS_MARKS = "/:@"  # an address has one of them


class ReportedProgram(msgspec.Struct):
    """What was found; empty and None: nothing."""

    files: tuple[str, ...] = ()
    sockets: list[str] = []
    pidfile: str | None = None  # None also where a pid or a socket leads to none
    pid: int | None = None


def find_target(arguments: Arguments, environ: Mapping[str, str]) -> ReportedProgram:
    """By a pid or a socket of the command line, or a pid file, else by files: of -f, or the usual.

    Raises ConfigError for a word that is neither a pid nor an address.
    """
    word = "".join(arguments.command[1:2])
    target = ReportedProgram(arguments.files, pidfile=arguments.pidfile)
    if word.isdecimal():
        target.pid = int(word)
    elif word and not any(mark in word for mark in ADDRESS_MARKS) and not Path(word).exists():
        raise ConfigError(f"'{word}' is neither a pid nor a stats socket, a path or host:port")
    given = arguments.socket if word.isdecimal() or not word else word
    if given is not None:
        target.sockets = [given]
        target.pid = target.pid or _pid_of_socket(target.sockets, environ)
    elif target.pid is None and arguments.pidfile is not None:
        target.pid = pid_in(arguments.pidfile)
    started = StartWords() if target.pid is None else command_line_of(target.pid)
    target.files = target.files or started.files
    usual = target.pid is None and given is None  # what the service has where nothing is said
    if usual and arguments.pidfile in (None, PIDFILE):
        target.files = target.files or (CONFIGURATION,)
    target.pidfile = target.pidfile or started.pidfile
    if target.files:
        places = read_places(target.files, dict(environ))
        target.sockets = target.sockets or places.stats_sockets
        if places.pidfile is not None:
            target.pidfile = target.pidfile or str(Path(started.folder, places.pidfile))
    if usual:
        target.pidfile = target.pidfile or PIDFILE
        target.pid = _pid_of_socket(target.sockets, environ) or pid_in(target.pidfile)
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
