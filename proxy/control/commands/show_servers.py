"""`show servers state`, `show servers conn`, `show backend`. Reads through the report."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from proxy.config.model.settings import Proxy
from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.rows.report import Report
from proxy.control.rows.server_rows import (
    backend_row,
    connections_header,
    connections_row,
    state_row,
)
from resolverd.state_file.format import HEADER


class ShowServers:
    """The family of commands that list servers."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "backend"),
                "",
                "list the backends of the running configuration",
                Level.USER,
                self.backends,
            ),
            Command(
                ("show", "servers", "conn"),
                "[<backend>]",
                "connections of servers (all, or of one backend)",
                Level.USER,
                self.connections,
            ),
            Command(
                ("show", "servers", "state"),
                "[<backend>]",
                "what changes about servers (all, or of one backend)",
                Level.USER,
                self.state,
            ),
        ]

    def chosen(self, words: list[str]) -> tuple[Proxy, ...]:
        """The backends asked for; raises CommandError for an unknown one."""
        if not words:
            return self.report.backends
        proxy = self.report.directory.backend(words[0])
        if proxy is None:
            raise CommandError("Can't find backend.")
        return (proxy,)

    def state(self, words: list[str], _level: Level) -> Answer:
        """`show servers state [<backend>]`: the server-state-file format, version 1."""
        return self.state_lines(self.chosen(words))

    def state_lines(self, proxies: tuple[Proxy, ...]) -> Iterator[str]:
        """Header and rows."""
        yield HEADER
        for proxy in proxies:
            for observed in self.report.observer.backend(proxy):
                clock = self.report.clock()
                yield state_row(observed, clock.created_ms, clock.now_ms)

    def connections(self, words: list[str], _level: Level) -> Answer:
        """`show servers conn [<backend>]`."""
        return self.connection_lines(self.chosen(words))

    def connection_lines(self, proxies: tuple[Proxy, ...]) -> Iterator[str]:
        """Header and rows."""
        workers = self.report.runtime.workers
        yield connections_header(workers)
        for proxy in proxies:
            for observed in self.report.observer.backend(proxy):
                counters = self.report.monitor.server_counters(observed.server)
                yield connections_row(
                    observed, counters["sessions"], counters["sessions_max"], workers
                )

    def backends(self, _words: list[str], _level: Level) -> Answer:
        """`show backend`."""
        return itertools.chain(["# name\n"], map(backend_row, self.report.backends))
