"""What a runner leaves behind when it ends: programs of external checks, and what they started.

    add          the session of a runner that has ended, at first while that is not reaped yet
    turn         kill what is left of it, until nothing is
    pending      whether something is, so that neither a successor nor the end may come yet

A session has the number of a process that led it, which no other gets while one member is there.
Knows nothing of checks.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from proxy.runner.session import end_session, open_processes
from proxy.runtime import Log, Outside
from proxy.supervisor.limits import REMNANTS_LIMIT_MS
from shm.log_level import LogLevel


def open_outside(runners: int, resources: ExitStack) -> Outside | None:
    """What runners need, and the end of their remnants, among the resources; raises OSError."""
    if not runners:
        return None
    folder = open_processes()
    resources.callback(os.close, folder)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    resources.callback(os.close, nothing)
    return Outside(folder, nothing)


class Remnants:
    """The sessions of one generation's runners that have ended."""

    def __init__(self, outside: Outside | None, log: Log) -> None:
        """`outside` is None where there is no runner."""
        self._outside = outside
        self._log = log
        self._sessions: dict[int, int] = {}  # until when they have to be gone, milliseconds

    @property
    def pending(self) -> bool:
        """Whether some process is left."""
        return bool(self._sessions)

    def add(self, session: int, now_ms: int) -> None:
        """A runner has ended; may be called again when it raised."""
        self._sessions[session] = now_ms + REMNANTS_LIMIT_MS
        self.turn(now_ms)

    def turn(self, now_ms: int) -> None:
        """Everything that time brings."""
        if not self._sessions:
            return
        assert self._outside is not None, self._sessions
        for session, until_ms in list(self._sessions.items()):
            left = end_session(self._outside.processes, session)
            if left and now_ms >= until_ms:
                text = f"{left} programs of external checks do not end, though they were killed"
                self._log(LogLevel.WARNING, text)
            if not left or now_ms >= until_ms:
                del self._sessions[session]
