"""`show proc`: one line for each generation of the program (management manual 9.4).

The pid of the running generation is that of its control, which answers for all its processes; the
pid of an old one that of a worker that still has sessions. `debug` adds columns of Millrace's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from proxy import __version__
from proxy.control.command import Answer, Command, Level
from proxy.control.old_generations import OldGeneration
from proxy.control.rows.report import Report
from proxy.runtime import now_ms

COLUMNS = ("#<PID>", "<type>", "<reloads>", "<uptime>", "<version>")
DEBUG_COLUMNS = ("<generation>", "<processes>", "<age>", "<sessions>", "<hard-stop>")
WIDTH = 15


def padded(cells: tuple[object, ...]) -> str:
    """One line; HAProxy's own last cell is padded, too."""
    return " ".join(f"{cell!s:<{WIDTH}}" for cell in cells) + "\n"


def duration(milliseconds: int) -> str:
    """`0d00h02m07s`."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}h{minutes:02}m{seconds:02}s"


class ShowProc:
    """One command."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "generations of the program, and their processes"
        return [Command(("show", "proc"), "[debug]", text, Level.USER, self.show)]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show proc [debug]`; HAProxy takes other words for nothing, too."""
        return self.lines(debug=words[:1] == ["debug"])

    def lines(self, *, debug: bool) -> Iterator[str]:
        """The answer."""
        runtime, now = self.report.runtime, now_ms()
        segment = runtime.segment
        tried, failed = segment.reloads
        yield padded((*COLUMNS, *(DEBUG_COLUMNS if debug else ())))
        master = (runtime.main_pid, "master", f"{tried} [failed: {failed}]")
        yield padded((*master, duration(now - runtime.begun_ms), __version__))
        yield "# workers\n"
        pid = os.getpid()  # the board has it once the supervisor has had its turn after the fork
        uptime = duration(now - segment.created_ms)
        cells = (pid, "worker", tried - segment.reload_number, uptime, __version__)
        yield padded((*cells, *self.of_this(now)) if debug else cells)
        old = self.report.old.living()
        if old:  # all at once: one that ends meanwhile has no records any more
            lines = (self.of_old(each, tried, now, debug=debug) for each in old)
            yield "# old workers\n" + "".join(lines)
        yield "# programs\n"

    def of_this(self, now: int) -> tuple[object, ...]:
        """What `debug` adds of the running generation, which may be stopping."""
        segment, status = self.report.runtime.segment, self.report.monitor.board.status
        others = set(range(len(segment.shape.process_names))) - {segment.shape.control_process}
        since_ms, end_ms = segment.stopping_ms, segment.hard_stop_ms
        return (
            segment.reload_generation,
            1 + sum(status(position).pid != 0 for position in others),
            duration(now - since_ms) if since_ms else "-",
            self.report.monitor.counters.sessions(),
            duration(max(0, end_ms - now)) if end_ms else "-",
        )

    def of_old(self, old: OldGeneration, tried: int, now: int, *, debug: bool) -> str:
        """Its line; none if it has just ended."""
        pids, segment = old.worker_pids(), old.segment
        if not pids:
            return ""
        uptime = duration(now - segment.created_ms)
        cells = (pids[0], "worker", tried - segment.reload_number, uptime, __version__)
        left_ms = old.hard_stop_ms(now)
        left = "-" if left_ms is None else duration(left_ms)
        more = (old.number, old.processes(), duration(old.age_ms(now)), old.sessions(), left)
        return padded((*cells, *more) if debug else cells)
