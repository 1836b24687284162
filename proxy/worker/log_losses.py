"""Says in the operational log how many lines of the access log were lost, once in a while."""

from __future__ import annotations

from proxy.runtime import Log
from shm.counters import CounterReader
from shm.log_level import LogLevel

REPORT_MS = 10_000  # between two reports: counters say more


class LogLosses:
    """The lost lines of one worker; `look` is called on its tick."""

    def __init__(self, reader: CounterReader, worker: int, log: Log) -> None:
        """What a former worker of this number has lost is not told again."""
        self._reader = reader
        self._worker = worker
        self._log = log
        self._told = self._lost()
        self._next_ms = 0

    def _lost(self) -> int:
        return self._reader.worker(self._worker)["log_overflows"]

    def look(self, now_ms: int) -> None:
        """Report what was lost since the last report, if it is time."""
        if now_ms < self._next_ms:
            return
        lost = self._lost()
        if lost != self._told:
            self._next_ms = now_ms + REPORT_MS
            self._log(
                LogLevel.WARNING,
                f"worker {self._worker}: {lost - self._told} lines of the access log were lost, "
                "because their receiver did not take them",
            )
            self._told = lost
