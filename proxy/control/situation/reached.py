"""Limits that clients wait at, told once when it begins: a line of the log, and so an event.

Looks once a second at words that only grow, so a wait that was short is told of, too. It is over
when nobody has begun to wait for a minute: what comes then is news.
"""

from __future__ import annotations

from proxy.config.model.settings import Proxy
from proxy.control.commands.why.overview import closed, full_binds, slowed
from proxy.control.rows.report import Report
from shm.loads import LimitStops
from shm.log_level import LogLevel

OVER_MS = 60_000  # without a client that begins to wait
QUEUED = "sessions wait in the queue: all places of its servers were taken (maxconn of servers)"


class LimitsReached:
    """Tells of frontends whose clients wait to be let in, and of backends whose queues fill."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._stops = LimitStops(report.runtime.segment)
        self._frontends = [proxy for proxy in report.settings.frontends for _ in proxy.binds]
        self._backends = report.servers.backends
        self._waited_ms: dict[str, int] = {}  # by frontend, when clients began to wait last
        self._queued_ms: dict[str, int] = {}  # by backend

    def look(self, now_ms: int) -> None:
        """Tell of each limit at which clients have begun to wait, unless that is known."""
        for bind in self._stops.binds():
            proxy = self._frontends[bind]
            if proxy.name not in self._waited_ms:
                self._tell(proxy, "clients wait to be let in: " + self._reason(proxy))
            self._waited_ms[proxy.name] = now_ms
        for backend in self._stops.backends():
            proxy = self._backends[backend]
            if proxy.name not in self._queued_ms:
                self._tell(proxy, QUEUED)
            self._queued_ms[proxy.name] = now_ms
        self._forget(now_ms)

    def _tell(self, proxy: Proxy, what: str) -> None:
        self.report.runtime.log(LogLevel.NOTICE, f"{proxy.name}: {what}")

    def _reason(self, proxy: Proxy) -> str:
        """What is reached now; a rate or a place may have come free since."""
        reasons = [closed(self.report, proxy), *slowed(self.report, proxy)]
        reasons += full_binds(self.report, proxy)
        return ", ".join(filter(None, reasons)) or "a limit was reached for less than a second"

    def _forget(self, now_ms: int) -> None:
        for waited in (self._waited_ms, self._queued_ms):
            for name in [name for name, at_ms in waited.items() if now_ms - at_ms >= OVER_MS]:
                del waited[name]
