"""What a start or a reload says, line by line, as on a terminal, for those who order reloads."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.config.report import render_tagged
from proxy.config.text.messages import Severity
from shm.log_level import LogLevel
from shm.master_orders import MESSAGES_BYTES_MAX

SEVERITIES = {
    LogLevel.ALERT: Severity.ALERT,
    LogLevel.WARNING: Severity.WARNING,
    LogLevel.NOTICE: Severity.NOTICE,
}
CUT = "... and more: the log has it all\n"


class ReloadReport:
    """The lines of one of them."""

    def __init__(self, pid: int, lines: Iterable[str] = ()) -> None:
        """`pid` is what lines are tagged with."""
        self._pid = pid
        self._lines = list(lines)
        self.complete = True  # False while lines are still looked for

    def note(self, level: LogLevel, text: str) -> None:
        """One more line."""
        self._lines.append(render_tagged(SEVERITIES[level], self._pid, text))

    def note_line(self, line: str) -> None:
        """One more line, with its tag."""
        self._lines.append(line)

    def text(self) -> str:
        """All of it, or as much as a record takes, and that it was cut."""
        room = MESSAGES_BYTES_MAX - len(CUT)
        taken: list[str] = []
        for line in self._lines:
            room -= len(line.encode(errors="replace")) + 1
            if room < 0:
                return "".join(taken) + CUT
            taken.append(f"{line}\n")
        return "".join(taken)
