"""What control remembers between two looks at the segment: rates, averages, availability.

Ticks once a second, at a cost that depends on what happened: the meters look in C, and only those
backends are judged in which other servers take sessions than before. Knows no socket and no format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from proxy.config.model.settings import Proxy, Server
from proxy.control.limits import CLEARED_AT_ONCE
from proxy.control.rows.cleared import Cleared
from proxy.control.rows.meters import Meters
from proxy.control.rows.observation import Observer
from proxy.control.rows.rates import Availability, Rate, Reading, SessionMeter
from proxy.control.rows.service_counters import ServiceCounters
from proxy.control.rows.summary import BackendSummary, summarize
from proxy.kernel.processes import processor_ns
from proxy.runtime import Runtime, now_ms
from shm.changes import UsableServers
from shm.counters import CounterReader
from shm.processes import ProcessBoard
from shm.states import ProcessCommand


class ProcessMeter:
    """Rates of all workers together, and how idle they were over the last tick."""

    def __init__(self, accepts: int, bytes_out: int, now_ms: int) -> None:
        self.accepts = Rate(accepts, now_ms)
        self.bytes_out = Rate(bytes_out, now_ms)
        self.busy_ns: dict[int, int] = {}  # processor time by pid, at the last look
        self.looked_ms = now_ms
        self.idle_percent = 100

    def look(self, accepts: int, bytes_out: int, pids: list[int], now_ms: int) -> None:
        """Take totals and the processor time of the workers."""
        elapsed_ms = now_ms - self.looked_ms
        self.accepts.look(accepts, now_ms)
        self.bytes_out.look(bytes_out, now_ms)
        if elapsed_ms <= 0:
            return
        former, self.busy_ns = self.busy_ns, {}
        used_ns = 0
        for pid in pids:
            with suppress(OSError):  # it ended a moment ago
                self.busy_ns[pid] = processor_ns(pid)
                used_ns += self.busy_ns[pid] - former.get(pid, self.busy_ns[pid])
        self.looked_ms = now_ms
        whole_ns = elapsed_ms * 1_000_000 * max(1, len(pids))
        self.idle_percent = max(0, min(100, round(100 - 100 * used_ns / whole_ns)))


class Monitor:
    """Looks at the counters once a second; rows are built from it and from the counters of now."""

    def __init__(self, runtime: Runtime, now_ms: int) -> None:
        settings, segment = runtime.settings, runtime.segment
        self.servers = runtime.servers
        self.segment = segment
        self.observer = Observer(self.servers, segment, runtime.check_orders)
        self.usable = UsableServers(segment)
        self.counters = CounterReader(segment)
        self.cleared = Cleared(segment)
        self.board = ProcessBoard(segment)
        self.services = {
            proxy.frontend_index: ServiceCounters()
            for proxy in settings.frontends
            if proxy.http is not None
        }
        self.service_meters = {
            index: SessionMeter(service.fields(), now_ms)
            for index, service in self.services.items()
        }
        self.backends = self.servers.backends
        self.availability = {
            proxy.name: self.availability_of(proxy) for proxy in self.backends if not proxy.spare_of
        }
        self.rules = tuple(rule.number for _, rule in settings.rules)
        self.cleared_hits: dict[tuple[int, int], int] = {}  # of a rule and a row, when cleared
        self.accept_pauses = 0  # of control's own sockets
        self.begin(now_ms)

    def begin(self, now_ms: int) -> None:
        """Rates count from the totals of now on."""
        self.meters = Meters(self.segment, self.cleared, now_ms)
        worker = self.counters.worker()
        self.process = ProcessMeter(worker["accepts"], worker["bytes_out"], now_ms)

    def accept_paused(self) -> None:
        """Accepting paused for lack of descriptors or memory."""
        self.accept_pauses += 1

    def frontend_counters(self, proxy: Proxy) -> dict[str, int]:
        """Counters of a frontend: the workers', or control's own for what control serves."""
        assert proxy.frontend_index is not None
        service = self.services.get(proxy.frontend_index)
        if service is not None:
            return service.fields()
        return self.cleared.frontend(proxy.frontend_index)

    def backend_counters(self, proxy: Proxy) -> dict[str, int]:
        """Counters of a backend over all workers."""
        assert proxy.backend_index is not None
        return self.cleared.backend(proxy.backend_index)

    def server_counters(self, server: Server) -> dict[str, int]:
        """Counters of a server over all workers."""
        return self.cleared.server(server.slot)

    def hits(self, rule: int, row: int) -> int:
        """How often a rule of connections acted, as a row of workers has counted it since then."""
        return self.counters.hits(rule, row) - self.cleared_hits.get((rule, row), 0)

    def all_hits(self, rule: int) -> int:
        """The same over all rows: since hits were cleared, or of all time."""
        return sum(self.hits(rule, row) for row in range(self.counters.rows()))

    def frontend_reading(self, proxy: Proxy) -> Reading:
        """Rates of a frontend."""
        assert proxy.frontend_index is not None
        service = self.service_meters.get(proxy.frontend_index)
        return self.meters.frontend(proxy.frontend_index) if service is None else service.reading

    def backend_reading(self, proxy: Proxy) -> Reading:
        """Rates and averages of a backend."""
        assert proxy.backend_index is not None
        return self.meters.backend(proxy.backend_index)

    def summary(self, proxy: Proxy) -> BackendSummary:
        """How many servers of a backend take sessions now."""
        assert proxy.backend_index is not None
        warm_at_ms = 0 if proxy.weights_fixed else now_ms()
        usable = self.usable.of(proxy.backend_index, warm_at_ms)
        return summarize(proxy, usable, len(self.servers.of(proxy)))

    def is_up(self, proxy: Proxy) -> bool:
        """Whether a backend takes sessions; whoever warms up has some weight, and is not asked."""
        assert proxy.backend_index is not None
        usable = self.usable.of(proxy.backend_index)
        return summarize(proxy, usable, len(self.servers.of(proxy))).up

    def availability_of(self, proxy: Proxy) -> Availability:
        """Where a backend stands when control begins: down since its last server changed."""
        created_ms = self.segment.created_ms
        if self.is_up(proxy):
            return Availability(up=True, since_ms=created_ms)
        changes = [
            server.standing.last_change_ms(created_ms) for server in self.observer.backend(proxy)
        ]
        return Availability(up=False, since_ms=max(changes, default=created_ms))

    def named(self, proxy: Proxy) -> None:
        """A spare backend has got a name; it begins with nothing."""
        assert proxy.backend_index is not None
        self.availability[proxy.name] = self.availability_of(proxy)
        self.clear_some("backend", proxy.backend_index, proxy.backend_index + 1, now_ms(), True)

    def forget(self, slot: int) -> None:
        """The slot has another server, which begins with nothing."""
        self.cleared.forget(slot)
        self.meters.clear("server", slot, slot + 1, now_ms(), totals=True)

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that run."""
        statuses = (self.board.status(worker) for worker in range(self.segment.shape.workers))
        return [status.pid for status in statuses if status.pid]

    def stopping(self) -> bool:
        """A worker was told to finish."""
        workers = range(self.segment.shape.workers)
        return any(self.board.status(worker).command != ProcessCommand.RUN for worker in workers)

    def tick(self, now_ms: int) -> None:
        """Look at everything that is looked at once a second."""
        worker = self.counters.worker()
        self.process.look(worker["accepts"], worker["bytes_out"], self.worker_pids(), now_ms)
        self.meters.look(now_ms)
        for index, service in self.services.items():
            self.service_meters[index].look(service.fields(), now_ms)
        self.look_at_availability(now_ms)

    def look_at_availability(self, now_ms: int) -> None:
        """Judge the backends again in which other servers take sessions than before."""
        for backend in self.usable.take_changed():
            proxy = self.backends[backend]
            if proxy.name in self.availability:  # no spare one
                self.availability[proxy.name].look(self.is_up(proxy), now_ms)

    def clear(self, now_ms: int, *, totals: bool) -> Iterator[None]:
        """Show maxima, and with `totals` all that is counted, from now on; in portions."""
        shape = self.segment.shape
        counts = {"frontend": shape.frontends, "backend": shape.backends, "server": shape.slots}
        for kind, count in counts.items():
            for first in range(0, count, CLEARED_AT_ONCE):
                self.clear_some(kind, first, min(count, first + CLEARED_AT_ONCE), now_ms, totals)
                yield
        self.process.accepts.highest = 0
        for service in self.services.values():
            service.clear(totals=totals)
        for meter in self.service_meters.values():
            meter.sessions.highest = meter.connections.highest = 0
        if totals:
            for first in range(0, len(self.rules), CLEARED_AT_ONCE):
                self.clear_hits(self.rules[first : first + CLEARED_AT_ONCE])
                yield
            for availability in self.availability.values():
                availability.downs = 0
            for index, service in self.services.items():
                self.service_meters[index] = SessionMeter(service.fields(), now_ms)

    def clear_hits(self, rules: tuple[int, ...]) -> None:
        """Show what rules of connections count from now on."""
        for rule in rules:
            for row in range(self.counters.rows()):
                self.cleared_hits[rule, row] = self.counters.hits(rule, row)

    def clear_server(self, server: Server, now_ms: int, *, totals: bool) -> None:
        """The same for one server."""
        self.clear_some("server", server.slot, server.slot + 1, now_ms, totals)

    def clear_some(self, kind: str, first: int, last: int, now_ms: int, totals: bool) -> None:
        """The same for some things of one kind."""
        self.cleared.clear(kind, first, last, totals=totals)
        self.meters.clear(kind, first, last, now_ms, totals=totals)
