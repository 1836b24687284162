"""`show tasks`: what runs and what waits for its turn: sessions, checks, agents, names in DNS.

HAProxy counts functions in the queue of its scheduler. A relay has no such queue; what there is
instead is told by kind. A check is late when none has ended for twice its longest interval: its
process has too few descriptors or processors, or hangs.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from proxy.config.model.settings import CHECK_INTER_MS, Check, Server
from proxy.control.command import Answer, Command, Level, Piece
from proxy.control.commands.mail import Mail
from proxy.control.commands.show_resolution import ShowResolution
from proxy.control.rows.report import Report
from proxy.health.judgement import CheckState
from proxy.runtime import now_ms
from proxy.server_table import checked_by_program
from resolverd.records.schema import Summary
from shm.steady import steady

IDLE = "idle"  # the state of a name that waits for its next run
OF_SERVERS = ("checks", "checks by programs", "agents")
LATE_TIMES = 2  # the longest interval
NO_RESOLVERD = "# resolverd does not answer: which names are being asked for is not known\n"


class TaskCount(msgspec.Struct):
    """How many there are of one kind, how many of them run, are paused, and are late."""

    places: int = 0
    running: int = 0
    paused: int = 0
    late: int = 0

    def one(self, *, running: bool = False, paused: bool = False, late: bool = False) -> None:
        """Count one more; what is paused does nothing else."""
        self.places += 1
        self.paused += paused
        self.running += running and not paused
        self.late += late and not paused

    def line(self, name: str) -> str:
        """In columns."""
        return row(name, self.places, self.running, self.paused, self.late)


def row(name: str, *cells: object) -> str:
    """One line of the table."""
    return f"  {name:<26}{''.join(f'{cell!s:>9}' for cell in cells)}\n"


class ShowTasks:
    """One command."""

    def __init__(self, report: Report, mail: Mail) -> None:
        self._report = report
        self._names = ShowResolution(report, mail)

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "what runs or is planned: sessions, checks, names"
        return [Command(("show", "tasks"), "", text, Level.USER, self.show)]

    def show(self, _words: list[str], _level: Level) -> Answer:
        """`show tasks`."""
        counts = self._of_clients()
        yield from self._of_servers(counts)
        named = TaskCount()
        answered = True
        for step in self._names.summaries() if self._report.settings.resolverd.sections else ():
            if isinstance(step, Summary):
                named.one(running=step.live and step.state != IDLE)
                answered = answered and step.live
                yield ""
            else:
                yield step
        counts["names in DNS"] = named
        running = sum(count.running for count in counts.values())
        processes = len(self._report.runtime.processes)
        yield f"Running tasks: {running} ({processes} processes)\n"
        yield row("function", "places", "running", "paused", "late")
        for name, count in counts.items():
            yield count.line(name)
        if not answered:
            yield NO_RESOLVERD

    def _of_clients(self) -> dict[str, TaskCount]:
        """Sessions, those of them that wait for a server, and what listens."""
        report, monitor = self._report, self._report.monitor
        sessions = monitor.counters.worker()["sessions"]
        queued = sum(monitor.backend_counters(each)["queued"] for each in report.backends)
        listening = report.binds + len(report.runtime.stats_sockets)
        return {
            "sessions": TaskCount(sessions, sessions - queued),
            "listeners": TaskCount(listening),
        }

    def _of_servers(self, counts: dict[str, TaskCount]) -> Iterator[Piece]:
        """Checks and agents."""
        checks, programs, asked = (counts.setdefault(name, TaskCount()) for name in OF_SERVERS)
        report, at_ms = self._report, now_ms()
        agents = report.observer.agents
        for proxy, server in report.servers.watched():
            yield ""
            if server.check is not None:
                count = programs if checked_by_program(proxy, server) else checks
                self._check(count, server, server.check, at_ms)
            if server.agent is not None:
                off, said = agents.orders(server.slot).off, agents.said(server.slot)
                asked.one(running=said.running, paused=off)

    def _check(self, count: TaskCount, server: Server, check: Check, at_ms: int) -> None:
        """Count the check of one server."""
        table = self._report.observer.table
        record = steady(table.health, server.slot)
        longest_ms = max(
            check.inter_ms or CHECK_INTER_MS, check.downinter_ms or 0, check.fastinter_ms or 0
        )
        age_ms = at_ms - record.checked_ms if record.checked_ms else 0
        count.one(
            running=bool(record.check_state & CheckState.IN_PROGRESS),
            paused=bool(record.check_state & CheckState.PAUSED)
            or steady(table.server, server.slot).check_off,
            late=age_ms > LATE_TIMES * longest_ms,
        )
