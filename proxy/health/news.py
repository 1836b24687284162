"""What a group of checks and agents changed, told by bells, then by log lines.

Owns the order: records are already published, then bells ring once for the whole group, then the
lines are written. Lines of one backend share one count of its usable servers.
"""

from __future__ import annotations

from contextlib import suppress

from proxy.families import Families
from proxy.health import report
from proxy.health.rise_fall import Change, is_news
from proxy.health.share import CheckedServer
from proxy.runtime import Runtime, ring
from proxy.server_news import BY_ORDER, ServerChange, Stand, Usable, lines
from shm.changes import UsableServers
from shm.check_status import CheckStatus
from shm.requests import CheckRequests
from shm.states import AgentState, HealthState


class News:
    """Collects what happened until `tell`, which the checker calls after each group."""

    def __init__(
        self, runtime: Runtime, usable: UsableServers, requests: CheckRequests | None
    ) -> None:
        """`requests` of resolutions; None where no check connects."""
        self._runtime = runtime
        self._usable = usable
        self._families = Families(runtime.servers, runtime.segment)
        self._requests = requests
        bells = runtime.bells
        self._changed_bells = (*bells.relays, *bells.checkers, bells.control)
        self._changed = False
        self._asked = False
        self._changes: list[ServerChange] = []

    def ask_if_unconnected(self, slot: int, status: CheckStatus, began_ms: int) -> None:
        """Ask for a resolution if a check's connect failed: the server may be elsewhere by now."""
        if self._requests is None:
            return
        if status is CheckStatus.L4TOUT:
            self._requests.timed_out(slot, began_ms)
        elif status is CheckStatus.L4CON:
            self._requests.refused(slot)
        else:
            return
        self._asked = True

    def checked(self, server: CheckedServer, state: HealthState, text: str) -> None:
        """Log how a check ended, before what it changed."""
        line = report.check_line(server, state, text, weighs=self._weighs(server))
        self._runtime.log(line.level, line.text)

    def agent_checked(self, server: CheckedServer, state: AgentState, text: str) -> None:
        """The same of an agent."""
        line = report.agent_line(server, state, text, weighs=self._weighs(server))
        self._runtime.log(line.level, line.text)

    def judged(
        self,
        server: CheckedServer,
        former: HealthState,
        state: HealthState,
        change: Change,
        *,
        text: str,
        logged: str = "",
    ) -> None:
        """Log how a check ended, or what errors of sessions meant, then what it changed.

        `logged` stands in the line of a check that has no text.
        """
        if server.log_checks and is_news(former, state):
            self.checked(server, state, text or logged)
        if change is not Change.NONE:
            self.changed(server, former, state, text=text)

    def _weighs(self, server: CheckedServer) -> bool:
        with suppress(BlockingIOError):
            return self._families.weighs(server.slot)
        return True

    def stands(self, slot: int) -> dict[int, Stand]:
        """How a server and its trackers stand; raises BlockingIOError."""
        return self._families.stands(slot)

    def administered(self, slot: int, before: dict[int, Stand], *, touched: bool) -> None:
        """An agent has said something else, and its record says so already.

        `touched`: something about the weight.
        """
        self._changed = True
        with suppress(BlockingIOError):
            after = self._families.stands(slot)
            self._changes += self._families.changes(before, after, touched=touched)

    def changed(
        self,
        server: CheckedServer,
        former: HealthState,
        state: HealthState,
        *,
        text: str = "",
        ordered: bool = False,
        agent: AgentState | None = None,
    ) -> None:
        """A server went down or up, by a check or by order, and its record says so already.

        `agent`: by what its agent said.
        """
        self._changed = True
        why = BY_ORDER
        if not ordered:
            # with `option log-health-checks` the line before says why
            told = server.log_checks or server.tracks
            why = "" if told else f", {report.reason(agent or state, text)}"
        with suppress(BlockingIOError):
            after = self._families.stands(server.slot)
            before = self._families.before(server.slot, former.operational, after)
            self._changes += self._families.changes(before, after, why=why)

    def tell(self) -> None:
        """Ring for what happened since the last call, and log it."""
        if self._asked:
            self._asked = False
            ring((self._runtime.bells.resolverd,))
        if self._changed:
            self._changed = False
            ring(self._changed_bells)
        if self._changes:
            changes, self._changes = self._changes, []
            backends = {change.subject.backend_index for change in changes}
            for line in lines(changes, {backend: self._count(backend) for backend in backends}):
                self._runtime.log(line.level, line.text)

    def _count(self, backend: int) -> Usable:
        counts = self._usable.of(backend)
        return Usable(counts.active, counts.backup)
