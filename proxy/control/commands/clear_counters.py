"""`clear counters [all | server <bk>/<srv> [all]]`: maxima, or all that is counted, begins anew.

That is a matter of display: no counter changes (rows/cleared.pyx).
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.rows.report import Report
from proxy.runtime import now_ms

USAGE = "usage: clear counters [all] | clear counters server <backend>/<server> [all]"


class ClearCounters:
    """Three commands; operators may clear maxima, administrators everything."""

    def __init__(self, report: Report) -> None:
        self.report = report

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
            Command(
                ("clear", "counters", "server"),
                "<bk>/<srv> [all]",
                "clear max statistics counters (or all) of one server",
                Level.OPERATOR,
                self.clear_server,
            ),
        ]

    def clear_highest(self, words: list[str], _level: Level) -> Answer:
        """`clear counters`."""
        return self.clear(words, totals=False)

    def clear_all(self, words: list[str], _level: Level) -> Answer:
        """`clear counters all`."""
        return self.clear(words, totals=True)

    def clear(self, words: list[str], *, totals: bool) -> Iterator[str]:
        """Everything, in portions; a word too many would mean less than that."""
        if words:
            raise CommandError(USAGE)
        for _ in self.report.monitor.clear(now_ms(), totals=totals):
            yield ""

    def clear_server(self, words: list[str], level: Level) -> Answer:
        """`clear counters server b/s [all]`."""
        totals = words[1:] == ["all"]
        if not words or (words[1:] and not totals):
            raise CommandError(USAGE)
        if totals and level < Level.ADMIN:
            raise CommandError("Permission denied")
        _, server = self.report.directory.server(words[0])
        self.report.monitor.clear_server(server, now_ms(), totals=totals)
        return []
