"""-D: the part of the start that happens in a second process, and what the first one waits for.

    parent: fork, wait for one byte or the child's end, which it tells; exit 0 or 1
    child:  setsid, let go of the terminal (but a copy of standard error), start, say so

The terminal is let go before any child exists: a program that reads the output of `millrace -D` to
its end must not wait for the children.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from proxy.config.report import render_tagged
from proxy.config.text.messages import Severity
from proxy.supervisor.children import describe_end
from proxy.terminal import STANDARD_DESCRIPTORS, STANDARD_ERROR, say

SERVING = b"."
FAILED = b"!"  # and the reason is on the terminal


class Background:
    """The child's side: says once how the start went."""

    def __init__(self, parent: int) -> None:
        """`parent` is the pipe to the parent."""
        self._parent = parent
        self._released = False
        self._terminal = os.dup(STANDARD_ERROR)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in STANDARD_DESCRIPTORS:
            os.dup2(null, standard)
        if null not in STANDARD_DESCRIPTORS:
            os.close(null)

    def serving(self) -> None:
        """Release the parent with status 0."""
        self._let_go(SERVING)

    def failed(self, lines: Iterable[str]) -> None:
        """Show why on the terminal and release the parent with status 1, unless it is released."""
        if not self._released:
            say("".join(f"{line}\n" for line in lines), self._terminal)
            self._let_go(FAILED)

    def _let_go(self, word: bytes) -> None:
        self._released = True
        with suppress(OSError):  # a parent that was killed does not matter any more
            os.write(self._parent, word)
        os.close(self._terminal)
        os.close(self._parent)


def go_background() -> Background:
    """Fork; the parent ends in here once the child serves or has failed."""
    receiver, sender = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child:
        os.close(sender)
        os._exit(_await_word(child, receiver))
    os.close(receiver)
    os.setsid()
    return Background(sender)


def _await_word(child: int, receiver: int) -> int:
    """The status of the parent; a child that ends without a word is told of."""
    word = os.read(receiver, 1)
    if not word:
        _, status = os.waitpid(child, 0)
        end = describe_end(os.waitstatus_to_exitcode(status))
        said = f"the program {end} before it served"
        say(render_tagged(Severity.ALERT, child, said) + "\n")
    return 0 if word == SERVING else 1


def write_pid(path: str, pid: int) -> None:
    """The pid file, made anew; raises OSError.

    A link, FIFO or socket that stands there is removed first: a link is not followed to another
    file, and no reader of a FIFO is waited for. A device (/dev/null) is written to and stays.
    """
    with suppress(OSError):
        mode = Path(path).lstat().st_mode
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            Path(path).unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
            raise OSError(errno.EINVAL, "not a regular file: name another pid file", path)
        if stat.S_ISREG(mode):
            os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{pid}\n".encode("ascii"))
    finally:
        os.close(descriptor)
