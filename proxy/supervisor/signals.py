"""Signals as readable bytes: handlers do nothing, one loop acts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGCHLD,
)
HELD = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)  # until a handler can act on them
# HAProxy dumps its pools for the first, and lets go of its ports for a successor without
# SO_REUSEPORT with the others: there is nothing to be done, but no process may end or stop.
IGNORED = (signal.SIGQUIT, signal.SIGTTOU, signal.SIGTTIN)
READ_BYTES = 4_096


def begin_signals(held: Iterable[signal.Signals] = HELD) -> None:
    """Undo what the parent left of masks and ignored signals, first of all in a start.

    A blocked SIGTERM would end nothing, and a kernel that is told to ignore SIGCHLD keeps no
    child's status. A reload or soft stop that is ordered during the start is done after it; all
    that is `held` is.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)


class SignalPipe:
    """The supervisor's signals; `descriptor` is readable when some came."""

    def __init__(self) -> None:
        """Take over the handled signals of this process (main thread only)."""
        self.descriptor, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._former_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, _wake_only) for number in HANDLED}
        self._former_mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def take(self) -> set[signal.Signals]:
        """The signals that came since the last call."""
        with suppress(BlockingIOError):
            return {signal.Signals(byte) for byte in os.read(self.descriptor, READ_BYTES)}
        return set()

    def close(self) -> None:
        """Give the signals back; those that no handler acts on any more are held, not fatal."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._former_mask)
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_wakeup)
        os.close(self.descriptor)
        os.close(self._writer)


def _wake_only(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has it already."""


def end_by(number: signal.Signals) -> None:
    """Die by this signal, so that the parent sees how."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
