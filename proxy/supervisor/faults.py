"""What an exception means for the reader of the log; an unexpected one ends nothing.

All children depend on the one process in which these happen, so a fault is told, and whatever
it fell into is given up or tried again; each kind is told once.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.builds.installed import OtherBuildError
from proxy.runtime import Log
from proxy.terminal import say
from shm.log_level import LogLevel

NO_MEMORY = "out of memory: free some memory, or allow more"
NO_THREAD = "can't start new thread"  # a RuntimeError, whatever the kernel said
ADVICE = {
    errno.EMFILE: "raise the hard limit on descriptors (ulimit -Hn, LimitNOFILE=)",
    errno.ENFILE: "raise fs.file-max",
    errno.ENOMEM: "free some memory, or allow more",
    errno.EAGAIN: "allow more processes (ulimit -u, TasksMax=)",
    errno.ENOSPC: "free some, or raise fs.epoll.max_user_watches",
    errno.EACCES: "check whom the program runs as",
    errno.EPERM: "check whom the program runs as",
}

NEVER_READY = "not every process becomes ready: giving up"


def explain(error: BaseException) -> str:
    """The reason and what to do, in one line."""
    if isinstance(error, MemoryError):
        return f"out of memory ({place_of(error)}): {ADVICE[errno.ENOMEM]}"
    if str(error) == NO_THREAD:
        return f"{error} ({place_of(error)}): allow more memory, or more processes (ulimit -u)"
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        named = f" [{error.filename}]" if error.filename is not None else ""
        advice = ADVICE.get(error.errno or 0)
        return f"{reason}{named} ({place_of(error)})" + (f": {advice}" if advice else "")
    if isinstance(error, OtherBuildError):
        return str(error)
    if isinstance(error, ImportError):
        return f"{error} ({place_of(error)}): allow more memory, or install the program anew"
    text = f": {error}" if str(error) else ""
    return f"unforeseen {type(error).__name__} ({place_of(error)}){text}: please report it"


def place_of(error: BaseException) -> str:
    """File and line that raised it; reads no source, as there may be little memory."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return "nowhere"
    return f"{Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}"


_reserve = [bytearray(1 << 20)]  # given up to have room for the last words; no page is touched


def last_words(error: BaseException) -> str:
    """What ends a process, in one line; what the frames of the error hold is given up first."""
    _reserve.clear()
    try:
        traceback.clear_frames(error.__traceback__)
        return explain(error)
    except MemoryError:
        return NO_MEMORY


class Faults:
    """Where faults go; `log` is the log of the generation that serves."""

    def __init__(self) -> None:
        """Until there is a log, the terminal hears of faults."""
        self.log: Log = _to_terminal
        self._told: set[tuple[str, str]] = set()
        self._fresh = False

    def tell(self, doing: str, error: Exception) -> None:
        """Log a fault unless its kind was told before."""
        self._fresh = True
        kind = type(error).__name__, place_of(error)
        if kind in self._told:
            return
        self._told.add(kind)
        self.log(LogLevel.CRIT, f"a fault while {doing}, everything else goes on: {explain(error)}")

    @contextmanager
    def contained(self, doing: str) -> Iterator[None]:
        """Whatever the block raises ends the block and nothing else."""
        try:
            yield
        except Exception as error:
            with suppress(Exception):  # even telling it may find no memory
                self.tell(doing, error)

    def take(self) -> bool:
        """Whether there was a fault since the last call."""
        fresh, self._fresh = self._fresh, False
        return fresh


def _to_terminal(level: int, text: str) -> None:
    say(f"<{level}> {text}\n")
