"""Says in the operational log what a worker did for lack of room, once in a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from proxy.runtime import Log
from shm.counters import CounterReader
from shm.log_level import LogLevel

REPORT_MS = 10_000  # between two reports of one kind: counters say more
Shortage = Literal["log_overflows", "inspections_cut"]
TOLD: Mapping[Shortage, str] = {
    "log_overflows": "lines of the access log were lost, because their receiver did not take them",
    "inspections_cut": "connections were judged with what was there, because too much memory was "
    "held while rules waited for more",
}


class Shortages:
    """Those of one worker; `look` is called on its tick."""

    def __init__(self, reader: CounterReader, worker: int, log: Log) -> None:
        """What a former worker of this number has met is not told again."""
        self._reader = reader
        self._worker = worker
        self._log = log
        self._told = self._counted()
        self._next_ms = dict.fromkeys(TOLD, 0)

    def _counted(self) -> dict[Shortage, int]:
        row = self._reader.worker(self._worker)
        return {kind: row[kind] for kind in TOLD}

    def look(self, now_ms: int) -> None:
        """Report what came since the last report of its kind, if it is time."""
        if now_ms < min(self._next_ms.values()):
            return
        for kind, count in self._counted().items():
            if count != self._told[kind] and now_ms >= self._next_ms[kind]:
                self._next_ms[kind] = now_ms + REPORT_MS
                more = count - self._told[kind]
                self._log(LogLevel.WARNING, f"worker {self._worker}: {more} {TOLD[kind]}")
                self._told[kind] = count
