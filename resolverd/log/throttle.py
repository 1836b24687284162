"""Log lines that repeat: the first few of a minute are said, the rest are counted. Pure.

Owns the count for each subject. For what may come hundreds of times a minute (a server that moves
with every answer, a section whose nameservers fail). Lines about servers going down or coming back
never pass through here, but for one that comes back with another record and was not said to be
gone. Is told the time; whoever owns the clock calls `flush` now and then.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

LINES_MAX = 6  # of one subject in one window: enough to see what goes on
WINDOW_MS = 60_000


class Window(msgspec.Struct):
    """What one subject said in the minute that began at `begin_ms`."""

    begin_ms: int
    level: int
    more: str  # what the lines that were left out are called
    said: int = 0
    left_out: int = 0


class Quiet:
    """The open windows, the oldest first."""

    def __init__(self, log: Callable[[int, str], None]) -> None:
        """Nobody has said anything."""
        self._log = log
        self._windows: dict[str, Window] = {}

    def say(self, subject: str, level: int, text: str, now_ms: int, *, more: str) -> None:
        """Log a line about the subject, or count it; `more` is what several of them are called."""
        self.flush(now_ms)
        window = self._windows.get(subject)
        if window is None:
            window = self._windows[subject] = Window(now_ms, level, more)
        if window.said < LINES_MAX:
            window.said += 1
            self._log(level, text)
        else:
            window.left_out += 1

    def flush(self, now_ms: int) -> None:
        """Say of each window that has ended how many lines it left out."""
        while self._windows:
            subject, window = next(iter(self._windows.items()))
            if now_ms < window.begin_ms + WINDOW_MS:
                return
            del self._windows[subject]
            if window.left_out:
                text = (
                    f"{subject}: ... and {window.left_out} more {window.more} in the last minute."
                )
                self._log(window.level, text)
