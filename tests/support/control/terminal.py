"""A terminal with a program in it: keys go in, and the screen is what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from types import TracebackType

import pyte
import pytest

from tests.support.common import PATIENCE_SECONDS

ROWS, COLUMNS = 40, 160
READ_SECONDS = 0.2  # without a byte: it is drawn
KEYS = {"up": b"\x1bOA", "down": b"\x1bOB", **{f"f{n}": b"\x1bO%c" % (79 + n) for n in range(1, 5)}}
KEYS |= {"f5": b"\x1b[15~", "f6": b"\x1b[17~", "f7": b"\x1b[18~", "f8": b"\x1b[19~"}
KEYS |= {"f9": b"\x1b[20~", "f10": b"\x1b[21~"}  # of xterm


class Terminal:
    """An xterm; a context manager that ends the program."""

    def __init__(self, words: list[str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._program = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)

    @property
    def lines(self) -> list[str]:
        """The rows of the screen."""
        return [line.rstrip() for line in self._screen.display]

    def press(self, *keys: str) -> None:
        """Type names of KEYS, or texts."""
        for key in keys:
            os.write(self._ours, KEYS.get(key, key.encode()))

    def wait(self, seen: Callable[[list[str]], object]) -> list[str]:
        """The screen once it shows what is waited for, and rests."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            if select.select([self._ours], [], [], READ_SECONDS)[0]:
                try:
                    self._stream.feed(os.read(self._ours, 65_536))
                except OSError:  # the program has ended
                    pytest.fail("the program ended:\n" + "\n".join(filter(None, self.lines)))
            elif seen(self.lines):
                return self.lines
            elif time.monotonic() > deadline:
                pytest.fail("the screen did not show it:\n" + "\n".join(filter(None, self.lines)))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._program.terminate()
        self._program.wait(PATIENCE_SECONDS)
        os.close(self._ours)
