"""Rows of everything, built now: joins what the observer sees, the counters and the monitor.

The only place where rows are assembled; stats socket, metrics and dashboard all read from here.
Knows no format and no socket.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from proxy.capacity import capacity_of
from proxy.config.model.settings import Proxy, Server
from proxy.control.old_generations import OldGenerations
from proxy.control.rows.directory import Directory
from proxy.control.rows.monitor import Monitor
from proxy.control.rows.observation import Observed
from proxy.control.rows.stat_rows import Clock, Row, backend_row, frontend_row, server_row
from proxy.runtime import Runtime, now_ms
from resolverd.config import NO_ROW, Nameserver, ResolutionSettings, ResolversSection
from resolverd.resolv_conf.nameserver_rows import in_use
from shm.client_orders import OPEN, PAUSED, SHUT, ClientOrdersReader, ProcessLimits
from shm.members import is_published

STATUSES = {OPEN: "OPEN", PAUSED: "PAUSED", SHUT: "STOP"}


class Report:
    """Builds rows of one generation as of now."""

    def __init__(
        self, runtime: Runtime, monitor: Monitor, old: OldGenerations | None = None
    ) -> None:
        """`old`: the generations before this one; without it there is none."""
        self.runtime = runtime
        self.old = old or OldGenerations(())
        self.settings = runtime.settings
        self.servers = runtime.servers
        self.monitor = monitor
        self.observer = monitor.observer
        self.capacity = capacity_of(runtime)
        self.client_orders = ClientOrdersReader(runtime.segment)
        self.full_connections = self.settings.full_connections(self.capacity.maxconn)
        self.directory = Directory(self.settings, self.servers)
        self.binds = len(self.settings.binds)
        self.frontends = self.directory.frontends

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """All sections that serve, those that were added at run time last."""
        return self.directory.proxies

    def is_published(self, proxy: Proxy) -> bool:
        """Whether rules and defaults lead to a backend."""
        assert proxy.backend_index is not None
        return is_published(self.runtime.segment, proxy.backend_index)

    @property
    def backends(self) -> tuple[Proxy, ...]:
        """Those of them that hold servers."""
        return self.directory.backends

    def nameservers(self, section: ResolversSection) -> tuple[Nameserver, ...]:
        """Those that a section asks now; raises BlockingIOError when a name does not hold still."""
        return in_use(section, self.observer.names)

    def added_names(self) -> Iterator[ResolutionSettings]:
        """The names that only added servers have, each with its servers and the row of its record.

        It is the row of one of these.
        """
        alike: dict[ResolutionSettings, list[ResolutionSettings]] = {}
        for server in self.servers.added():
            own = server.resolution
            if own is not None and own.name:
                alike.setdefault(replace(own, index=NO_ROW, servers=()), []).append(own)
        for each in alike.values():
            for own in each:
                if self._has_record(own.index):
                    fed = tuple(server for resolution in each for server in resolution.servers)
                    yield replace(own, servers=fed)

    def names(self) -> Iterator[ResolutionSettings]:
        """All names with a record: those of the files, and of servers that were added."""
        yield from self.settings.resolverd.resolutions
        yield from self.added_names()

    def name_row(self, server: Server) -> int | None:
        """The record of the name in a server's line; None: it has none, or shares one of the files.

        An added server may have none yet.
        """
        own = server.resolution
        if own is None or not own.name:
            return server.resolution_index
        for resolution in self.added_names():
            if any(fed.slot == server.slot for fed in resolution.servers):
                return resolution.index
        return None

    def _has_record(self, row: int) -> bool:
        return self.monitor.counters.resolution(row)["last_valid_ms"] != 0

    def clock(self) -> Clock:
        """Now, and when this generation began."""
        return Clock(now_ms(), self.runtime.segment.created_ms)

    def process_limits(self, ordered: ProcessLimits) -> ProcessLimits:
        """The limits of the process that hold beside such orders."""
        maxconn, connections, sessions = ordered
        words = self.settings.globals
        return ProcessLimits(
            self.capacity.maxconn if maxconn is None else maxconn,
            words.connection_rate if connections is None else connections,
            words.session_rate if sessions is None else sessions,
        )

    def limits(self) -> ProcessLimits:
        """The limits of the process now."""
        return self.process_limits(self.client_orders.process())

    def frontend(self, proxy: Proxy) -> Row:
        """The FRONTEND row of a proxy."""
        assert proxy.frontend_index is not None
        order = self.client_orders.frontend(proxy.frontend_index)
        maxconn = proxy.maxconn or self.capacity.maxconn
        return frontend_row(
            proxy,
            self.monitor.frontend_counters(proxy),
            self.monitor.frontend_reading(proxy),
            maxconn if order.maxconn is None else order.maxconn,
            "STOP" if self.monitor.stopping() else STATUSES[order.state],
        )

    def server_of(self, observed: Observed, *, reveal: bool = True) -> Row:
        """The row of a server that was observed already."""
        counters = self.monitor.server_counters(observed.server)
        health = self.monitor.cleared.health(observed.server.slot, observed.health)
        observed = observed._replace(standing=observed.standing._replace(health=health))
        clock = self.clock()
        reading = self.monitor.meters.server(observed.server.slot)
        return server_row(observed, counters, reading, clock, reveal=reveal)

    def server(self, proxy: Proxy, server: Server, *, reveal: bool = True) -> Row:
        """The row of a server."""
        return self.server_of(self.observer.server(proxy, server), reveal=reveal)

    def backend(self, proxy: Proxy, *, reveal: bool = True) -> Row:
        """The BACKEND row of a proxy; also what its availability is judged by."""
        assert proxy.backend_index is not None
        clock = self.clock()
        summary = self.monitor.summary(proxy)
        availability = self.monitor.availability[proxy.name]
        availability.look(summary.up, clock.now_ms)
        return backend_row(
            proxy,
            summary,
            self.monitor.backend_counters(proxy),
            self.monitor.backend_reading(proxy),
            availability,
            clock=clock,
            full_connections=self.full_connections[proxy.backend_index],
            reveal=reveal,
        )

    def rows(self, proxy: Proxy, *, reveal: bool = True) -> Iterator[Row]:
        """All rows of one proxy: FRONTEND, servers, BACKEND."""
        if proxy.frontend_index is not None:
            yield self.frontend(proxy)
        if proxy.backend_index is not None:
            for server in self.servers.of(proxy):
                yield self.server(proxy, server, reveal=reveal)
            yield self.backend(proxy, reveal=reveal)
