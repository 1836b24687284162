"""Follows the changes of all backends: which changed since last time, dear work not too often.

Must not know what is done about a change. A backend whose turn is put off stays waiting and is
found again at the next call, so nothing is lost: the segment is state, not events. A call costs in
proportion to what changed and what waits, not to the number of backends.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from proxy.health.pace import Pace
from shm.changes import ChangeReader
from shm.segment import Segment
from shm.slots import SlotTableReader


class Following:
    """One kind of work that each change of a backend calls for.

    Changes count from the moment this is made: make it before reading what the work depends on.
    """

    def __init__(self, segment: Segment) -> None:
        self._reader = SlotTableReader(segment)
        self._changes = ChangeReader(segment)
        backends = range(segment.shape.backends)
        self._seen = [self._reader.backend_generation(backend) for backend in backends]
        self._waiting: set[int] = set()  # changed, and the work is still to be done
        self._paces: dict[int, Pace] = {}

    def catch_up(self, work: Callable[[int], None]) -> None:
        """Do the work for each backend that changed, unless it still rests from the last time."""
        changed = self._changes.backends()
        self._waiting |= set(range(len(self._seen))) if changed is None else changed
        for backend in sorted(self._waiting):
            generation = self._reader.backend_generation(backend)
            pace = self._paces.setdefault(backend, Pace())
            began_ns = time.monotonic_ns()
            if generation == self._seen[backend]:
                self._waiting.remove(backend)
            elif pace.allows(began_ns):
                self._waiting.remove(backend)
                self._seen[backend] = generation
                work(backend)
                pace.ran(began_ns, time.monotonic_ns())
