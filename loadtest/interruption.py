"""Ctrl-C and SIGTERM end a run in order, also where Python swallows the exception that they raise.

An exception of a signal handler during an at-fork hook or a finalizer is only printed. So the
handler also sets a flag, which is checked before each load.
"""

from __future__ import annotations

import signal
from types import FrameType


class Interruption:
    """The flag of a signal that ends the run."""

    def __init__(self) -> None:
        self.came = False

    def install(self) -> None:
        """Let both signals raise KeyboardInterrupt, at once or at the next `check`."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._raise)

    def _raise(self, _signal: int, _frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.came:
            raise KeyboardInterrupt


INTERRUPTION = Interruption()
