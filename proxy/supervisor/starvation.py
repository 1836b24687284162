"""How long the threads of a process have been ready to run without getting a CPU.

A process whose heartbeat is late is hung, stopped, or starved. Only the last has a thread that is
runnable and does not run: a hung one uses its CPU, or sleeps; the kernel's own count of waiting
(schedstat) says nothing of a wait that has not ended. To kill a starved process ends its sessions
and gains nothing: its successor gets no more of the machine and has more to do.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

NANOSECONDS = 1_000_000  # of a millisecond
RUNNABLE = "R"


class Starvation:
    """One process's waits, from the first look at it on; a look each half of a second."""

    def __init__(self) -> None:
        self._pid = 0
        self._began_ms = 0
        self._looked_ms = 0
        self._ran: dict[str, int] = {}  # milliseconds on a CPU, by runnable thread
        self._waited: dict[str, int] = {}  # milliseconds, by thread

    def waited_ms(self, pid: int, now_ms: int, silent_ms: int) -> int:
        """How long the thread that waited most has waited in `silent_ms`, milliseconds.

        Looks begin when a silence is noticed: what came before counts as what was seen since.
        """
        if pid != self._pid:
            self._pid, self._began_ms, self._ran, self._waited = pid, now_ms, {}, {}
        elapsed_ms = now_ms - self._looked_ms
        ran = _runnable(pid)
        for thread, ran_ms in ran.items():
            before_ms = self._ran.get(thread)
            if before_ms is not None and 2 * (ran_ms - before_ms) < elapsed_ms:
                waited_ms = elapsed_ms - (ran_ms - before_ms)
                self._waited[thread] = self._waited.get(thread, 0) + waited_ms
        self._ran, self._looked_ms = ran, now_ms
        seen_ms = now_ms - self._began_ms
        return max(self._waited.values(), default=0) * silent_ms // seen_ms if seen_ms else 0

    def forget(self) -> None:
        """The next look is a first one."""
        self._pid = 0


def _runnable(pid: int) -> dict[str, int]:
    """Milliseconds on a CPU of each runnable thread; nothing of one that has ended."""
    found = {}
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError, ValueError, IndexError):
                state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
                if state == RUNNABLE:
                    ran = int((thread / "schedstat").read_text().split()[0])
                    found[thread.name] = ran // NANOSECONDS
    return found
