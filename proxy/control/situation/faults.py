"""Which servers take no new sessions, and why: kept up to date at the cost of what changed.

A look at one server costs 0.1 ms, so no answer may look at all of them: control
follows the journal once a second, in portions, and answers come from what it found. The judge is
that of `show why`. Knows no markup.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from proxy.config.model.settings import Proxy
from proxy.control.commands.why.chain import title, verdict
from proxy.control.commands.why.overview import closed
from proxy.control.rows.observation import MAINT_MASK, Observed
from proxy.control.rows.report import Report
from proxy.control.rows.stat_rows import server_status
from proxy.control.situation.free_slots import FreeSlots
from shm.changes import ChangeReader
from shm.client_orders import OPEN
from shm.loads import LoadSums
from shm.standing import CMAINT, FDRAIN, FMAINT
from shm.states import Operational

STARTING_MS = 1_000  # of a generation: what servers become then is no change


class FaultKind(enum.IntEnum):
    """Whose doing it is that a server takes nothing."""

    DOWN = 0  # by its checks, its agent, or those of what it tracks
    NO_ADDRESS = 1
    ORDER = 2  # maintenance, drain, weight 0: it was ordered


class Fault(NamedTuple):
    """Why a server takes no new sessions, since when (CLOCK_MONOTONIC, ms)."""

    kind: FaultKind
    reason: str
    since_ms: int


class LastChange(NamedTuple):
    """The last server that changed its state, and what became of it."""

    at_ms: int = 0  # 0: none since this generation began
    text: str = ""


def kind_of(observed: Observed) -> FaultKind:
    """Whose doing the state of a server that takes nothing is."""
    flags, state = observed.admin.flags, observed.state
    if flags & (FMAINT | CMAINT | MAINT_MASK):
        return FaultKind.ORDER
    if observed.standing.lacks_address:
        return FaultKind.NO_ADDRESS
    if state.maint:
        return FaultKind.ORDER if observed.tracked is None else kind_of(observed.tracked)
    if flags & FDRAIN or state.drain or state.weight == 0:
        return FaultKind.ORDER
    if state.operational in (Operational.STOPPED, Operational.STOPPING):
        return FaultKind.DOWN
    return FaultKind.NO_ADDRESS  # no port


class SiteFaults:
    """The servers of one generation that take nothing, and the frontends that let no clients in."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.frontends = report.settings.frontends  # by index
        self.loads = LoadSums(report.runtime.segment)
        self.by_backend: dict[int, dict[int, Fault]] = {}
        self.closed: dict[int, str] = {}  # by frontend, why
        self.last_change = LastChange()
        self.changed: list[int] = []  # slots whose state has changed since they were taken last
        self.ordered = 0  # servers that were ordered out
        self._reader = ChangeReader(report.runtime.segment)
        self._again: set[int] = set(range(report.runtime.segment.shape.slots))
        self._free = FreeSlots(report)
        self._wrong: dict[int, list[tuple[int, Fault]]] = {}  # by backend, as far as asked for

    def steps(self) -> Iterator[None]:
        """Take what has changed since the last time, in steps of about one row."""
        changed = self._reader.slots()
        slots = range(self.report.runtime.segment.shape.slots) if changed is None else changed
        again, self._again = self._again, set()
        for slot in sorted(again.union(slots)):
            with suppress(KeyError):
                self._look(slot)
            yield
        for moved in self._free.steps():
            if moved:
                self._wrong.clear()
            yield
        yield from self._look_at_frontends()

    def _look_at_frontends(self) -> Iterator[None]:
        sessions, orders = self.loads.frontends(), self.report.client_orders
        for proxy in self.report.frontends:
            index = proxy.frontend_index
            assert index is not None
            order = orders.frontend(index)
            most = order.maxconn or proxy.maxconn or self.report.capacity.maxconn
            if proxy.http is None and (order.state != OPEN or sessions[index] >= most):
                reason = closed(self.report, proxy)
            else:
                reason = ""
            if reason:
                self.closed[index] = reason
            else:
                self.closed.pop(index, None)
            if reason or index % 50 == 0:
                yield

    def _look(self, slot: int) -> None:
        table = self.report.servers
        server = table.get(slot)
        if server is None:
            self.changed.append(slot)
            self._drop(slot)
            return
        proxy = table.backends[server.backend_index]
        if proxy.disabled:
            return
        try:
            observed = self.report.observer.server(proxy, server)
        except BlockingIOError:  # its records do not hold still
            self._again.add(slot)
            return
        self._judge(slot, observed)

    def _judge(self, slot: int, observed: Observed) -> None:
        backend = observed.server.backend_index
        known = self.by_backend.get(backend, {})
        created_ms = self.report.runtime.segment.created_ms
        at_ms = observed.standing.last_change_ms(created_ms)
        reason = verdict(observed)
        before = known.get(slot)
        self._wrong.pop(backend, None)
        self._counted(before, -1)
        if reason:
            fault = Fault(kind_of(observed), reason, at_ms)
            self.by_backend.setdefault(backend, {})[slot] = fault
            self._counted(fault, 1)
        elif before is not None:
            del known[slot]
        if (before is None) == bool(reason) or at_ms > created_ms:
            self.changed.append(slot)
        if at_ms > max(created_ms + STARTING_MS, self.last_change.at_ms):
            self.last_change = LastChange(at_ms, f"{title(observed)} {server_status(observed)}")
        if self._free.look(observed.server, lacks=observed.standing.lacks_address):
            self._wrong.clear()

    def _counted(self, fault: Fault | None, number: int) -> None:
        if fault is not None and fault.kind is FaultKind.ORDER:
            self.ordered += number

    def _drop(self, slot: int) -> None:
        self._free.drop(slot)
        for backend, faults in self.by_backend.items():
            if slot in faults:
                self._counted(faults.pop(slot), -1)
                self._wrong.pop(backend, None)
                return

    def take_changed(self) -> list[int]:
        """The slots whose state changed since the last call."""
        changed, self.changed = self.changed, []
        return changed

    def is_free(self, slot: int, fault: Fault) -> bool:
        """Whether a server has no address only because its name has fewer records than servers."""
        if fault.kind is not FaultKind.NO_ADDRESS:
            return False
        server = self.report.servers.get(slot)
        return server is not None and self._free.is_free(server)

    def of(self, proxy: Proxy) -> dict[int, Fault]:
        """Those of one backend by slot, free slots among them."""
        assert proxy.backend_index is not None
        return self.by_backend.get(proxy.backend_index, {})

    def wrong(self, proxy: Proxy) -> list[tuple[int, Fault]]:
        """Those of one backend that were not ordered so, by slot."""
        assert proxy.backend_index is not None
        return self._wrong_of(proxy.backend_index)

    def _wrong_of(self, backend: int) -> list[tuple[int, Fault]]:
        if backend not in self._wrong:
            self._wrong[backend] = [
                (slot, fault)
                for slot, fault in self.by_backend.get(backend, {}).items()
                if fault.kind is not FaultKind.ORDER and not self.is_free(slot, fault)
            ]
        return self._wrong[backend]

    def counts(self) -> tuple[int, int, int]:
        """How many servers are wrong, out by order, and free slots."""
        wrong = sum(len(self._wrong_of(backend)) for backend in self.by_backend)
        faults = sum(map(len, self.by_backend.values()))
        return wrong, self.ordered, faults - wrong - self.ordered
