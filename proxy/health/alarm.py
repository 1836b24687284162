"""The one timer of a process's checks, or of its agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.health.attempts import A, Attempts
from proxy.health.timetable import Timetable
from proxy.runtime import now_ms

GRAIN_MS = 5  # the timer fires on multiples of it: a wake-up costs as much as a check


class Alarm:
    """Wakes for the next due check or deadline, whichever comes first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ms = 0

    def arm(self, attempts: Attempts[A], timetable: Timetable, in_flight_max: int) -> None:
        """Look when the next wake-up is due; what is due waits while all places are taken."""
        wake_ms = attempts.next_deadline_ms()
        if len(attempts) < in_flight_max:
            due_ms = timetable.next_ms()
            if due_ms is not None and (wake_ms is None or due_ms < wake_ms):
                wake_ms = due_ms
        if wake_ms is None:
            return
        wake_ms = -(-wake_ms // GRAIN_MS) * GRAIN_MS
        if self._timer is not None and self._armed_ms <= wake_ms:
            return
        self.cancel()
        self._armed_ms = wake_ms
        self._timer = self._loop.call_later(max(0, wake_ms - now_ms()) / 1000, self._ring)

    def cancel(self) -> None:
        """Wake for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._wake()
