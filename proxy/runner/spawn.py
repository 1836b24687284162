"""Starts one program as execvp(3) would, by posix_spawn, in a process group of its own.

Owns the search along a path, and what a program inherits: the standard descriptors, no other (each
is made so that it closes on exec), no signal that is blocked or ignored. Must not know what the
program is for.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping, Sequence

SHELL = "/bin/sh"  # runs a file that says by no first line what does
ELSEWHERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ESTALE, errno.ENODEV)
NOWHERE = errno.ENOENT


def spawn(
    command: str, arguments: Sequence[str], environment: Mapping[bytes, bytes], path: str
) -> int:
    """The pid of the program, which leads a group of this number; raises OSError.

    Without a slash in `command` the folders of `path` are searched, an empty one being the present.
    """
    if "/" in command:
        return _spawn_file(command, command, arguments, environment)
    refused: OSError | None = None
    for folder in path.split(":"):
        try:
            file = f"{folder or '.'}/{command}"
            return _spawn_file(file, command, arguments, environment)
        except OSError as error:
            if error.errno not in ELSEWHERE:
                raise
            if refused is None or error.errno == errno.EACCES:
                refused = error
    assert refused is not None, "a path has at least one folder"
    raise refused


def _spawn_file(
    file: str, name: str, arguments: Sequence[str], environment: Mapping[bytes, bytes]
) -> int:
    try:
        return _spawn(file, (name, *arguments), environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    return _spawn(SHELL, (SHELL, file, *arguments), environment)


def _spawn(file: str, words: tuple[str, ...], environment: Mapping[bytes, bytes]) -> int:
    return os.posix_spawn(
        file,
        words,
        environment,
        setpgroup=0,
        setsigmask=(),
        setsigdef=signal.valid_signals(),
    )
