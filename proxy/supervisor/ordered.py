"""Reloads that the master CLI orders, as the supervisor's loop goes by them; none without -S."""

from __future__ import annotations

from proxy.runtime import Runtime
from proxy.supervisor.limits import TICK_MS
from proxy.supervisor.listening import OpenSocket
from proxy.supervisor.master import Master
from proxy.supervisor.reload_report import ReloadReport
from shm.log_level import LogLevel


class OrderedReloads:
    """Which are to be done, and what came of them."""

    def __init__(self, master: Master | None, pid: int) -> None:
        """`pid` is what lines are tagged with."""
        self._master = master
        self._pid = pid
        self.hard = False  # the reload that goes on ends all sessions of former generations

    @property
    def pending(self) -> bool:
        """Whether a reload is ordered that has no answer yet, while none goes on."""
        return self._master is not None and self._master.pending

    def take(self) -> None:
        """A reload begins, for all orders until now."""
        self.hard = self._master is not None and self._master.take()

    def settle(self, report: ReloadReport, *, succeeded: bool) -> None:
        """It has ended."""
        if self._master is not None:
            self._master.settle(report, succeeded=succeeded)

    def refuse(self, why: str) -> None:
        """There is none for the orders that were taken."""
        report = ReloadReport(self._pid)
        report.note(LogLevel.ALERT, f"reload failed, nothing changed: {why}")
        self.settle(report, succeeded=False)

    def turn(self, now_ms: int, runtime: Runtime, *, judge: bool) -> None:
        """Everything that time brings to the master; `runtime` is the generation that serves."""
        if self._master is not None:
            self._master.turn(now_ms, runtime, judge=judge)

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        return TICK_MS if self._master is None else self._master.timeout_ms(now_ms)

    @property
    def opened(self) -> list[OpenSocket]:
        """The sockets of the master CLI, in the order of -S."""
        return [] if self._master is None else self._master.opened

    def pause(self) -> None:
        """Another program answers new clients on these sockets."""
        if self._master is not None:
            self._master.pause()

    def leave(self) -> None:
        """Another program answers on these sockets."""
        if self._master is not None:
            self._master.leave()

    def close(self) -> None:
        """The program ends."""
        if self._master is not None:
            self._master.close()
