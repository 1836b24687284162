"""Ctrl-C and SIGTERM end a run in order, also where Python swallows the exception that they raise.

An exception of a signal handler that falls into a hook after a fork, or into a finalizer, is
printed and forgotten. So it is remembered here that the signal came, and looked at between works.
"""

from __future__ import annotations

import signal
from types import FrameType


class Interruption:
    """Whether the run has been told to end."""

    def __init__(self) -> None:
        self.came = False

    def install(self) -> None:
        """From now on both signals raise KeyboardInterrupt, at once or at the next `check`."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._raise)

    def _raise(self, _signal: int, _frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise what was swallowed."""
        if self.came:
            raise KeyboardInterrupt


INTERRUPTION = Interruption()
