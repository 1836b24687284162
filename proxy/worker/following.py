"""Follows the generations of all backends: who changed since last time, dear work not too often.

Must not know what is done about a change. A backend whose turn is put off stays behind and is
found again at the next call, so nothing is lost: the segment is state, not events.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from proxy.health.pace import Pace
from shm.slots import SlotTableReader


class Following:
    """One kind of work that each change of a backend calls for.

    Changes count from the moment this is made: make it before reading what the work depends on.
    """

    def __init__(self, reader: SlotTableReader, backends: int) -> None:
        self._reader = reader
        self._seen = [reader.backend_generation(backend) for backend in range(backends)]
        self._paces = [Pace() for _ in range(backends)]

    def catch_up(self, work: Callable[[int], None]) -> None:
        """Do the work for each backend that changed, unless it still rests from the last time."""
        for backend, seen in enumerate(self._seen):
            generation = self._reader.backend_generation(backend)
            if generation == seen:
                continue
            began_ns = time.monotonic_ns()
            if self._paces[backend].allows(began_ns):
                self._seen[backend] = generation
                work(backend)
                self._paces[backend].ran(began_ns, time.monotonic_ns())
