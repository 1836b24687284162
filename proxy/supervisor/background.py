"""-D: the part of the start that happens in a second process, and what the first one waits for.

parent: fork, wait for one byte or the end of the pipe, exit 0 or 1
child:  setsid, start, say that it serves, let go of the terminal
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

SERVING = b"."
STANDARD = (0, 1, 2)


class Background:
    """The child's side: says once that the start has succeeded."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is the pipe to the parent."""
        self.descriptor = descriptor

    def serving(self) -> None:
        """Release the parent with status 0, and the terminal with it."""
        with suppress(OSError):  # a parent that was killed does not matter any more
            os.write(self.descriptor, SERVING)
        os.close(self.descriptor)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in STANDARD:
            os.dup2(null, standard)
        if null not in STANDARD:
            os.close(null)


def go_background() -> Background:
    """Fork; the parent ends in here once the child serves or has failed."""
    receiver, sender = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(sender)
        os._exit(0 if os.read(receiver, 1) == SERVING else 1)
    os.close(receiver)
    os.setsid()
    return Background(sender)


def write_pid(path: str, pid: int) -> None:
    """The pid file; raises OSError."""
    Path(path).write_text(f"{pid}\n", encoding="ascii")
