"""When a dead child is started again. Pure: knows neither processes nor clocks."""

from __future__ import annotations

from proxy.supervisor.limits import BACKOFF_FIRST_MS, BACKOFF_MAX_MS, BACKOFF_RESET_MS


class Backoff:
    """At once after the first death, then 100 ms doubling to 5 s; ten good seconds forgive all."""

    def __init__(self) -> None:
        """Start with a clean record."""
        self.deaths_in_row = 0

    def died(self, lived_ms: int, now_ms: int) -> int:
        """When to start the successor of a child that lived that long."""
        if lived_ms >= BACKOFF_RESET_MS:
            self.deaths_in_row = 0
        self.deaths_in_row += 1
        if self.deaths_in_row == 1:
            return now_ms
        doublings = min(self.deaths_in_row - 2, BACKOFF_MAX_MS.bit_length())
        delay: int = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << doublings)
        return now_ms + delay
