"""Commands of the stats socket from the command line: `millrace show info`.

The words are sent to the first stats socket that takes the connection, and the answer comes out as
it arrives. The socket is asked to put severities in front of its verdicts (`set severity-output`),
because they decide the status with which this ends: they are not shown.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

from proxy.arguments import Arguments
from proxy.client.connection import connect
from proxy.client.lines import read_places
from proxy.client.running import command_line_of, pid_in
from proxy.config.text.messages import ConfigError
from proxy.flags.table import CONFIGURATION
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT, say

CHUNK_BYTES = 65_536
VERDICT = re.compile(rb"\[([0-7])\]: ")
ERROR_LEVEL_MAX = 3  # of syslog: err
UNKNOWN = b"Unknown command"  # HAProxy does not call it an error
PAYLOAD = "<<"
CUT = "the connection ended before the answer did"


class Begun(NamedTuple):
    """The first bytes of an answer, and whether they are a refusal."""

    start: bytes
    refused: bool


def run(arguments: Arguments, environ: Mapping[str, str]) -> int:
    """Ask, and write the answer; 0: done, 1: refused, or no answer."""
    try:
        with connected(arguments, environ) as connection:
            connection.sendall(request(arguments.command))
            return _relay(connection, patient=_goes_on(arguments.command))
    except TimeoutError:
        return fail(f"no answer within {arguments.timeout_seconds} s")
    except OSError as error:
        return fail(str(error.strerror or error))


def fail(text: str) -> int:
    """Say why a command comes to nothing; the status."""
    say(f"millrace: {text}\n", STANDARD_ERROR)
    return 1


def connected(arguments: Arguments, environ: Mapping[str, str]) -> socket.socket:
    """A connection to the first that takes one; raises OSError, whose text names all."""
    environment = dict(environ)
    given = arguments.socket
    files = arguments.files
    if given is None and not files and arguments.pidfile is not None:
        files = _files_by(arguments.pidfile)
    addresses = read_places(files, environment).stats_sockets if given is None else [given]
    if not addresses:
        read = files or (CONFIGURATION,)
        unread = [file for file in read if not os.access(file, os.R_OK)]
        found = f"cannot read {unread[0]}" if unread else f"no 'stats socket' in {' '.join(read)}"
        raise OSError(f"{found}: name the configuration with -f, or a stats socket with -S")
    refusals = []
    for address in addresses:
        try:
            return connect(address, environment, arguments.timeout_seconds)
        except (OSError, ConfigError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            refusals.append(f"{address}: {reason or error}")
    raise OSError(f"no stats socket answers ({'; '.join(refusals)})")


def _files_by(pidfile: str) -> tuple[str, ...]:
    """The files of the program with this pid file; raises OSError."""
    pid = pid_in(pidfile)
    files = () if pid is None else command_line_of(pid).files
    if not files:
        why = "names no process that runs"
        if pid is not None:
            why = f"names process {pid}, which does not tell its files"
        raise OSError(f"{pidfile} {why}: name the configuration with -f, or a stats socket with -S")
    return files


def request(words: Sequence[str]) -> bytes:
    """The line of the command, and behind `<<` the standard input up to an empty line."""
    if any("\n" in word for word in words):
        raise OSError("a command is one line: lines follow by '<<', from the standard input")
    told = [word if word == PAYLOAD else re.sub(r"([\\; \t])", r"\\\1", word) for word in words]
    line = f"set severity-output number; {' '.join(told)}\n".encode(errors="surrogateescape")
    if words[-1] != PAYLOAD:
        return line
    return line + sys.stdin.buffer.read().rstrip(b"\n") + b"\n\n"


def _goes_on(words: Sequence[str]) -> bool:
    """Whether silence is part of the answer: it ends when the program ends it, or dies."""
    return words[0] == "wait" or tuple(words[:2]) == ("show", "events")


def begun(chunks: Iterator[bytes], connection: socket.socket, *, patient: bool) -> Begun:
    """Read up to the verdict on a command; raises OSError for what is no stats socket.

    `patient`: once the answer has begun it is waited for, however long.
    """
    start = b""
    for chunk in chunks:  # an empty line for `set severity-output`, and the verdict
        start += chunk
        if start[:1] != b"\n":
            said = start.partition(b"\n")[0].decode(errors="backslashreplace").strip()
            raise OSError(f"this is no stats socket, it says '{said}': name another with -S")
        if patient:
            connection.settimeout(None)
        if b"\n" in start[1:]:
            break
    start = start[1:]
    verdict = VERDICT.match(start)
    level = int(verdict[1]) if verdict else ERROR_LEVEL_MAX + 1
    start = start[verdict.end() if verdict else 0 :]
    return Begun(start, level <= ERROR_LEVEL_MAX or start.startswith(UNKNOWN))


def received(connection: socket.socket) -> Iterator[bytes]:
    """What comes until the end."""
    return iter(lambda: connection.recv(CHUNK_BYTES), b"")


def _relay(connection: socket.socket, *, patient: bool) -> int:
    """Write the answer without the empty line that ends it; the status."""
    chunks = received(connection)
    start, refused = begun(chunks, connection, patient=patient)
    if not write(STANDARD_ERROR if refused else STANDARD_OUTPUT, chain([start], chunks)):
        return fail(CUT)
    return int(refused)


def write(descriptor: int, chunks: Iterable[bytes]) -> bool:
    """Write all but the last byte, as it comes; whether an empty line was the end."""
    tail = held = b""
    for chunk in chunks:
        tail = (tail + chunk)[-2:]
        view = memoryview(held + chunk)
        held = bytes(view[-1:])
        view = view[:-1]
        with suppress(BrokenPipeError):  # its reader has seen enough, as `head` has
            while view:
                view = view[os.write(descriptor, view) :]
    return tail in (b"\n", b"\n\n")
