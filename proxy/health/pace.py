"""Keeps work whose cost grows with the table from taking the whole thread. Pure; takes `now`.

Work that took c is not done again for REST x c: at most one fifth of the time goes into it, and
cheap work waits for nothing.
"""

from __future__ import annotations

REST = 4  # times the cost of the last run


class Pace:
    """When one kind of work may run again; times in nanoseconds of one clock."""

    def __init__(self) -> None:
        self._not_before_ns = 0

    def allows(self, now_ns: int) -> bool:
        """Whether the rest after the last run is over."""
        return now_ns >= self._not_before_ns

    def ran(self, began_ns: int, ended_ns: int) -> None:
        """Note a run."""
        self._not_before_ns = ended_ns + REST * (ended_ns - began_ns)

    def wait_seconds(self, now_ns: int) -> float:
        """How long until it may run."""
        return max(0, self._not_before_ns - now_ns) / 1e9
