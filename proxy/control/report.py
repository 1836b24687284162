"""Rows of everything, built now: joins what the observer sees, the counters and the monitor.

The only place where rows are assembled; stats socket, metrics and dashboard all read from here.
Knows no format and no socket.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator

from proxy.config.model import Proxy, Server, Settings
from proxy.control.monitor import Monitor
from proxy.control.observation import Observed
from proxy.control.stat_rows import Clock, Row, backend_row, frontend_row, server_row
from proxy.control.summary import full_connections, summarize
from proxy.runtime import Runtime, now_ms

RESERVED_DESCRIPTORS = 64  # of each worker: listeners, bells, the segment, logs


def session_limit(settings: Settings, descriptors: int, workers: int) -> int:
    """`maxconn` of the whole process: configured, or two descriptors a session in each worker."""
    return settings.globals.maxconn or max(1, (descriptors - RESERVED_DESCRIPTORS) // 2 * workers)


class Report:
    """Builds rows of one generation as of now."""

    def __init__(self, runtime: Runtime, monitor: Monitor) -> None:
        self.runtime = runtime
        self.settings = runtime.settings
        self.monitor = monitor
        self.observer = monitor.observer
        self.descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.maxconn = session_limit(self.settings, self.descriptors, runtime.workers)
        self.full_connections = full_connections(self.settings, self.maxconn)
        self.proxies = tuple(proxy for proxy in self.settings.proxies if not proxy.disabled)
        self.backends = tuple(proxy for proxy in self.proxies if proxy.backend_index is not None)
        self.frontends = tuple(proxy for proxy in self.proxies if proxy.frontend_index is not None)

    def clock(self) -> Clock:
        """Now, and when this generation began."""
        return Clock(now_ms(), self.runtime.segment.created_ms)

    def frontend(self, proxy: Proxy) -> Row:
        """The FRONTEND row of a proxy."""
        return frontend_row(
            proxy,
            self.monitor.frontend_counters(proxy),
            self.monitor.frontend_meters[proxy.name],
            proxy.maxconn or self.maxconn,
            self.monitor.stopping(),
        )

    def server_of(self, observed: Observed, *, reveal: bool = True) -> Row:
        """The row of a server that was observed already."""
        counters = self.monitor.server_counters(observed.server)
        clock = self.clock()
        meter = self.monitor.server_meter(observed.server, counters, clock.now_ms)
        return server_row(observed, counters, meter, clock, reveal=reveal)

    def server(self, proxy: Proxy, server: Server, *, reveal: bool = True) -> Row:
        """The row of a server."""
        return self.server_of(self.observer.server(proxy, server), reveal=reveal)

    def backend(self, proxy: Proxy, *, reveal: bool = True) -> Row:
        """The BACKEND row of a proxy; also what its availability is judged by."""
        clock = self.clock()
        summary = summarize(proxy, self.observer.backend(proxy))
        availability = self.monitor.availability[proxy.name]
        availability.look(summary.up, clock.now_ms)
        return backend_row(
            proxy,
            summary,
            self.monitor.backend_counters(proxy),
            self.monitor.backend_meters[proxy.name],
            availability,
            clock=clock,
            full_connections=self.full_connections[proxy.name],
            reveal=reveal,
        )

    def rows(self, proxy: Proxy, *, reveal: bool = True) -> Iterator[Row]:
        """All rows of one proxy: FRONTEND, servers, BACKEND."""
        if proxy.frontend_index is not None:
            yield self.frontend(proxy)
        if proxy.backend_index is not None:
            for server in proxy.servers:
                yield self.server(proxy, server, reveal=reveal)
            yield self.backend(proxy, reveal=reveal)
