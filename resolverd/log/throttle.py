"""A limit for log lines that repeat: the first LINES_MAX of a minute are logged, others counted.

Owns the count for each subject. Pure: `flush` is to be called on every tick, and `end` for what has
gone, or what comes and goes would fill the memory for a minute. Limited are lines that may come
hundreds of times a minute (a server that moves with every answer, a section whose nameservers
fail). Lines about servers that go down or come back are not, except for a server that comes back
with another record and whose loss was not logged.
"""

from __future__ import annotations

import msgspec

from shm.log_level import Log, LogLevel

LINES_MAX = 6  # of one subject in one window: enough to show the pattern
WINDOW_MS = 60_000


class Window(msgspec.Struct):
    """The lines of one subject in the minute that began at `begin_ms`."""

    begin_ms: int
    level: LogLevel
    more: str  # a noun for the lines that were left out
    said: int = 0
    left_out: int = 0


class LogThrottle:
    """The open windows, the oldest first."""

    def __init__(self, write: Log) -> None:
        self._write = write
        self._windows: dict[str, Window] = {}

    def log(self, subject: str, level: LogLevel, text: str, now_ms: int, *, more: str) -> None:
        """Log a line about the subject, or count it; `more` is a noun for several such lines."""
        self.flush(now_ms)
        window = self._windows.get(subject)
        if window is None:
            window = self._windows[subject] = Window(now_ms, level, more)
        if window.said < LINES_MAX:
            window.said += 1
            self._write(level, text)
        else:
            window.left_out += 1

    def flush(self, now_ms: int) -> None:
        """Log for each ended window how many lines it left out."""
        while self._windows:
            subject, window = next(iter(self._windows.items()))
            if now_ms < window.begin_ms + WINDOW_MS:
                return
            self.end(subject)

    def end(self, subject: str) -> None:
        """End the subject's window before its minute is over: the subject has gone."""
        window = self._windows.pop(subject, None)
        if window is not None and window.left_out:
            text = f"{subject}: ... and {window.left_out} more {window.more} in the last minute."
            self._write(window.level, text)
