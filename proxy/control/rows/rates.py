"""Rates and recent averages, from totals that are looked at now and then. Pure: takes `now_ms`.

Knows no segment: `monitor.py` brings the totals of what control counts itself; those of the
segment have meters in C that follow the same rules (meters.pyx). A rate is what happened since the
former look, per second; a recent average forgets like HAProxy's, over the last 1,024 sessions.
"""

from __future__ import annotations

from typing import NamedTuple

AVERAGE_WINDOW = 1_024  # sessions


class Reading(NamedTuple):
    """What a meter shows: events per second, the most of them, and mean times in milliseconds."""

    rate: int
    rate_max: int
    connection_rate: int
    connection_rate_max: int
    queue_time: float
    connect_time: float
    total_time: float


class Rate:
    """Events per second of one total, and the highest seen."""

    __slots__ = ("current", "highest", "looked_ms", "total")

    def __init__(self, total: int, now_ms: int) -> None:
        self.total = total
        self.looked_ms = now_ms
        self.current = 0
        self.highest = 0

    def look(self, total: int, now_ms: int) -> None:
        """Take the total of now; a total that fell (a worker was replaced) counts as nothing."""
        elapsed_ms = now_ms - self.looked_ms
        if elapsed_ms <= 0:
            return
        self.current = round(max(0, total - self.total) * 1000 / elapsed_ms)
        self.highest = max(self.highest, self.current)
        self.total = total
        self.looked_ms = now_ms


class Average:
    """Mean of recent values, given their running sum and count."""

    __slots__ = ("count", "mean", "total")

    def __init__(self, total: int, count: int) -> None:
        self.total = total
        self.count = count
        self.mean = total / count if count else 0.0

    def look(self, total: int, count: int) -> None:
        """Take sum and count of now."""
        new = count - self.count
        if new > 0:
            weight = min(1.0, new / min(count, AVERAGE_WINDOW))
            self.mean += ((total - self.total) / new - self.mean) * weight
        self.total = total
        self.count = count


class SessionMeter:
    """What is derived from the counters of one frontend, backend or server."""

    __slots__ = ("connect_time", "connections", "queue_time", "sessions", "total_time")

    def __init__(self, counters: dict[str, int], now_ms: int) -> None:
        self.sessions = Rate(counters["sessions_total"], now_ms)
        self.connections = Rate(counters.get("connections_total", 0), now_ms)
        self.connect_time = Average(
            counters.get("connect_time_sum_ms", 0), counters.get("connected", 0)
        )
        self.queue_time = Average(
            counters.get("queue_time_sum_ms", 0), counters.get("connected", 0)
        )
        self.total_time = Average(counters.get("total_time_sum_ms", 0), counters.get("ended", 0))

    def look(self, counters: dict[str, int], now_ms: int) -> None:
        """Take the counters of now."""
        self.sessions.look(counters["sessions_total"], now_ms)
        self.connections.look(counters.get("connections_total", 0), now_ms)
        self.connect_time.look(counters.get("connect_time_sum_ms", 0), counters.get("connected", 0))
        self.queue_time.look(counters.get("queue_time_sum_ms", 0), counters.get("connected", 0))
        self.total_time.look(counters.get("total_time_sum_ms", 0), counters.get("ended", 0))

    @property
    def reading(self) -> Reading:
        """What it shows now."""
        return Reading(
            self.sessions.current,
            self.sessions.highest,
            self.connections.current,
            self.connections.highest,
            self.queue_time.mean,
            self.connect_time.mean,
            self.total_time.mean,
        )


class Availability:
    """When a backend last went up or down, how often it went down, and for how long in all."""

    __slots__ = ("changed_ms", "downs", "ended_downtime_ms", "up")

    def __init__(self, up: bool, since_ms: int) -> None:
        self.up = up
        self.changed_ms = since_ms
        self.downs = 0
        self.ended_downtime_ms = 0

    def look(self, up: bool, now_ms: int) -> None:
        """Take whether it has a usable server now."""
        if up == self.up:
            return
        if up:
            self.ended_downtime_ms += now_ms - self.changed_ms
        else:
            self.downs += 1
        self.up = up
        self.changed_ms = now_ms

    def downtime_ms(self, now_ms: int) -> int:
        """Time down so far."""
        return self.ended_downtime_ms + (0 if self.up else now_ms - self.changed_ms)
