"""`clear counters [all]`: maxima, or everything that is counted, begins anew for whoever looks."""

from __future__ import annotations

from proxy.control.command import Answer, Command, Level
from proxy.control.monitor import Monitor
from proxy.runtime import now_ms


class ClearCounters:
    """The two commands; operators may clear maxima, administrators everything."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("clear", "counters"),
                "",
                "clear max statistics counters",
                Level.OPERATOR,
                self.clear_highest,
            ),
            Command(
                ("clear", "counters", "all"),
                "",
                "clear all statistics counters",
                Level.ADMIN,
                self.clear_all,
            ),
        ]

    def clear_highest(self, _words: list[str], _level: Level) -> Answer:
        """`clear counters`."""
        self.monitor.clear(now_ms(), totals=False)
        return []

    def clear_all(self, _words: list[str], _level: Level) -> Answer:
        """`clear counters all`."""
        self.monitor.clear(now_ms(), totals=True)
        return []
