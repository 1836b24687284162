"""What a group of checks changed, told by bells, then by log lines.

Owns the order: records are already published, then bells ring once for the whole group, then the
lines are written. Lines of one backend share one count of its usable servers.
"""

from __future__ import annotations

from contextlib import suppress

from proxy.health import report
from proxy.health.report import Administered, Transition, Usable
from proxy.health.rise_fall import Change
from proxy.health.share import CheckedServer
from proxy.runtime import Runtime, ring
from shm.changes import UsableServers
from shm.slots import SlotTableReader
from shm.states import AgentState, HealthState, Operational


class News:
    """Collects what happened until `tell`, which the checker calls after each group."""

    def __init__(self, runtime: Runtime, reader: SlotTableReader, usable: UsableServers) -> None:
        self._runtime = runtime
        self._reader = reader
        self._usable = usable
        bells = runtime.bells
        self._changed_bells = (*bells.relays, *bells.workers, bells.control)
        self._changed = False
        self._asked = False
        self._transitions: list[Transition] = []

    def asked(self) -> None:
        """A resolution was asked for."""
        self._asked = True

    def checked(self, server: CheckedServer, state: HealthState, text: str) -> None:
        """Log how a check ended, before what it changed."""
        line = report.check_line(server, state, text)
        self._runtime.log(line.level, line.text)

    def agent_checked(self, server: CheckedServer, state: AgentState, text: str) -> None:
        """The same of an agent."""
        line = report.agent_line(server, state, text)
        self._runtime.log(line.level, line.text)

    def usable(self, backend: int) -> Usable:
        """The servers of a backend that take sessions now."""
        counts = self._usable.of(backend)
        return Usable(counts.active, counts.backup)

    def administered(
        self, server: CheckedServer, change: Administered | None, former: Usable
    ) -> None:
        """An agent has said something else, and its record says so already.

        `former`: the usable servers of the backend before; `change`: of the administrative state.
        """
        self._changed = True
        left = self.usable(server.backend_index)
        if change is not None:
            for line in report.administered_lines(change, left):
                self._runtime.log(line.level, line.text)
        if left == (0, 0) != former:
            line = report.none_left(server)
            self._runtime.log(line.level, line.text)

    def changed(
        self,
        server: CheckedServer,
        former: HealthState,
        state: HealthState,
        change: Change,
        *,
        text: str = "",
        ordered: bool = False,
        agent: AgentState | None = None,
    ) -> None:
        """A server went down or up, by a check or by order, and its record says so already.

        `agent`: by what its agent said.
        """
        counted, backup = True, False
        left = former.operational == Operational.STOPPING and change is Change.DOWN
        with suppress(BlockingIOError):
            view = self._reader.server(server.slot)
            counted = not left and not view.maint and not view.drain and view.weight > 0
            backup = view.backup
        sessions = self._reader.hint(server.slot)
        self._transitions.append(
            Transition(
                server, agent or state, change, counted, sessions, ordered, backup, text, left
            )
        )
        self._changed = True

    def tell(self) -> None:
        """Ring for what happened since the last call, and log it."""
        if self._asked:
            self._asked = False
            ring((self._runtime.bells.resolverd,))
        if self._changed:
            self._changed = False
            ring(self._changed_bells)
        by_backend: dict[int, list[Transition]] = {}
        for transition in self._transitions:
            by_backend.setdefault(transition.server.backend_index, []).append(transition)
        self._transitions = []
        for backend, transitions in by_backend.items():
            for line in report.lines(transitions, self.usable(backend)):
                self._runtime.log(line.level, line.text)
