"""Which processes the program has, by what operators call them.

The supervisor, the children of the running generation, and the workers of old ones that still have
sessions. Not the master, its helpers at a reload, nor programs that are checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.control.old_generations import OldGeneration
from proxy.control.rows.report import Report
from proxy.runtime import Runtime
from shm.processes import ProcessStatus


class LivingProcess(NamedTuple):
    """One process; `worker`: its number among the workers of its generation."""

    title: str
    pid: int
    runtime: Runtime
    status: ProcessStatus | None = None  # what is written of it; None of the supervisor
    worker: int | None = None

    @property
    def named(self) -> str:
        """How it is told of."""
        return f"{self.title} (process {self.pid})"


class Census:
    """Finds them in the segments."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._runtime = report.runtime

    @property
    def own_pid(self) -> int:
        """That of control, which answers."""
        position = self._runtime.segment.shape.control_process
        return self._report.monitor.board.status(position).pid

    def processes(self) -> Iterator[LivingProcess]:
        """All that live now; those of an old generation are valid until the next step."""
        yield LivingProcess("supervisor", self._runtime.main_pid, self._runtime)
        board, workers = self._report.monitor.board, self._runtime.workers
        for position, title in enumerate(self._runtime.segment.shape.process_names):
            status = board.status(position)
            worker = position if position < workers else None
            if status.pid:
                yield LivingProcess(title, status.pid, self._runtime, status, worker)
        for old in self._report.old.living():
            with old.held():
                yield from self._of_old(old)

    def _of_old(self, old: OldGeneration) -> Iterator[LivingProcess]:
        for worker in range(old.runtime.workers):
            status = old.board.status(worker)
            if status.pid:
                title = f"worker {worker} of generation {old.number}"
                yield LivingProcess(title, status.pid, old.runtime, status, worker)
