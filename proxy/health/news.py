"""What a group of checks changed, told to those who should know: bells, then log lines.

Owns the order: records are already published, then bells ring once for the whole group, then the
lines are written. Counting the usable servers of a large backend is what costs here, so lines of
one backend share one count, and when counting is dear they wait for one another.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from proxy.health import report
from proxy.health.pace import Pace
from proxy.health.report import Transition, Usable
from proxy.health.rise_fall import Change
from proxy.health.share import CheckedServer
from proxy.runtime import Runtime, ring
from shm.slots import SlotTableReader
from shm.states import HealthState


class News:
    """Collects what happened until `tell`, which the checker calls after each group."""

    def __init__(
        self, runtime: Runtime, reader: SlotTableReader, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._runtime = runtime
        self._reader = reader
        self._loop = loop
        self._slots = {
            backend.backend_index: [server.slot for server in backend.servers]
            for backend in runtime.settings.backends
        }
        bells = runtime.bells
        self._changed_bells = (*bells.relays, *bells.workers, bells.control)
        self._changed = False
        self._asked = False
        self._transitions: list[Transition] = []  # bounded by `Pace`: a fifth of the time at most
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """A resolution was asked for."""
        self._asked = True

    def changed(
        self, server: CheckedServer, state: HealthState, change: Change, *, ordered: bool = False
    ) -> None:
        """A server went down or up, by a check or by order, and its record says so already."""
        counted, backup = True, False
        with suppress(BlockingIOError):
            view = self._reader.server(server.slot)
            counted = not view.maint and not view.drain and view.weight > 0
            backup = view.backup
        sessions = self._reader.hint(server.slot)
        self._transitions.append(
            Transition(server, state, change, counted, sessions, ordered, backup)
        )
        self._changed = True

    def tell(self) -> None:
        """Ring for what happened since the last call, and log it as soon as the pace allows."""
        if self._asked:
            self._asked = False
            ring((self._runtime.bells.resolverd,))
        if self._changed:
            self._changed = False
            ring(self._changed_bells)
        if not self._transitions or self._timer is not None:
            return
        now_ns = time.monotonic_ns()
        if self._pace.allows(now_ns):
            self.flush()
        else:
            self._timer = self._loop.call_later(self._pace.wait_seconds(now_ns), self.flush)

    def flush(self) -> None:
        """Write the lines of all transitions so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        began_ns = time.monotonic_ns()
        by_backend: dict[int, list[Transition]] = {}
        for transition in self._transitions:
            by_backend.setdefault(transition.server.backend_index, []).append(transition)
        self._transitions = []
        for backend, transitions in by_backend.items():
            for line in report.lines(transitions, self._usable(backend)):
                self._runtime.log(line.level, line.text)
        self._pace.ran(began_ns, time.monotonic_ns())

    def _usable(self, backend: int) -> Usable:
        """Count the servers of a backend that take sessions now."""
        active = backup = 0
        for slot in self._slots[backend]:
            with suppress(BlockingIOError):  # a record that does not hold still is left out
                server = self._reader.server(slot)
                active += server.eligible and not server.backup
                backup += server.eligible and server.backup
        return Usable(active, backup)
