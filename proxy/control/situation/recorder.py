"""Keeps the history: a look a second, and what the generation before this one saw, by name.

Control alone writes it, once the gate has opened. One that was killed leaves its rows in the
segment, and its successor goes on with them; the time without a control stays a gap.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.control.old_generations import OldGenerations
from proxy.control.rows.report import Report
from proxy.runtime import Runtime
from proxy.server_table import ServerTable
from shm.history import HistoryKind, LoadHistory


class Recorder:
    """Looks, and remembers."""

    def __init__(self, report: Report) -> None:
        self.history = LoadHistory(report.runtime.segment)
        self.runtime = report.runtime
        self._added: dict[int, int] = {}  # by slot, the change that added the server it has
        self._named: dict[int, str] = {}  # by index, backends that were added

    def changed(self, slots: list[int], now_ms: int) -> None:
        """Servers changed; one that was added begins with nothing."""
        for slot in slots:
            server = self.runtime.servers.get(slot)
            added = 0 if server is None else server.added
            if server is None or self._added.get(slot, 0) != added:
                self.history.forget(slot)
                self._added[slot] = added
            self.history.changed(slot, now_ms)
        for proxy in self.runtime.servers.named_backends():
            assert proxy.backend_index is not None
            if self._named.get(proxy.backend_index, proxy.name) != proxy.name:
                self.history.forget_backend(proxy.backend_index)
            self._named[proxy.backend_index] = proxy.name

    def carry(self, old: OldGenerations) -> Iterator[None]:
        """Take over what the latest generation before this one saw, in steps of a row."""
        if self.history.looked_ms:
            return  # of a predecessor in this generation
        for elder in old.inherited():
            seen = LoadHistory(elder.segment)
            if seen.looked_ms:
                yield from self._carry(seen, elder)
                return

    def _carry(self, seen: LoadHistory, elder: Runtime) -> Iterator[None]:
        self.history.carry(seen, HistoryKind.PROCESS, 0, 0)
        before = {proxy.name: proxy for proxy in elder.settings.backends}
        table = ServerTable(self.runtime.settings)
        rows = seen.kept_servers()
        for proxy in self.runtime.settings.backends:
            former = before.get(proxy.name)
            if former is None:
                continue
            assert proxy.backend_index is not None
            assert former.backend_index is not None
            self.history.carry(seen, HistoryKind.BACKEND, proxy.backend_index, former.backend_index)
            slots = {server.name: server.slot for server in elder.servers.of(former)}
            for server in table.of(proxy):
                slot = slots.get(server.name)
                if slot is not None:
                    if slot in rows:
                        self.history.changed(server.slot, rows[slot])
                        self.history.carry(seen, HistoryKind.SERVER, server.slot, slot)
                    self.history.carry_results(seen, server.slot, slot)
                yield
        names = {
            (each.section, each.name, each.preferred): each.index
            for each in elder.settings.resolverd.resolutions
        }
        for each in self.runtime.settings.resolverd.resolutions:
            index = names.get((each.section, each.name, each.preferred))
            yield
            if index is not None:
                self.history.carry(seen, HistoryKind.NAME, each.index, index)
