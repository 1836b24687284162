"""What is wrong, worst first: each thing with its cause chain, from the effect to the root.

What was ordered is not wrong, and neither is a free slot; a service that is down stands for
its servers. At most SHOWN_MAX are told in full, so that an answer costs the same whatever fails.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from proxy.config.model.settings import Proxy, Server
from proxy.control.commands.why.causes import causes, name_links
from proxy.control.commands.why.overview import backend_text
from proxy.control.rows.report import Report
from proxy.control.situation.faults import Fault, SiteFaults
from proxy.control.situation.names import NameTroubles
from proxy.runtime import now_ms

SHOWN_MAX = 12
REASONS_TOLD_MAX = 3  # of one backend; the others are counted
SERVERS_NAMED_MAX = 4  # likewise
STALE_MS = 3_000  # of a heartbeat: each process beats five times a second, a busy one once


class Urgency(enum.IntEnum):
    """How bad: clients are turned away, fewer serve them, or it may come to that."""

    DOWN = 0
    IMPAIRED = 1
    THREATENED = 2


class TroubleKind(enum.Enum):
    """What a trouble is about."""

    BACKEND = "backend"
    FRONTEND = "frontend"
    NAME = "name"
    PROCESS = "process"


class Problem(NamedTuple):
    """One thing that is wrong; `chain` has its causes, the root last."""

    severity: Urgency
    kind: TroubleKind
    subject: str
    text: str
    chain: tuple[str, ...] = ()
    since_ms: int = 0  # CLOCK_MONOTONIC; 0: not known
    command: str = ""  # that says more


class FoundProblems(NamedTuple):
    """A trouble that is not told yet: its place in the order, and what it is about."""

    severity: Urgency
    urgency: int  # the less, the worse
    kind: TroubleKind
    number: int  # of backend, frontend, resolution or process
    text: str = ""


class Troubles:
    """Looks for what is wrong."""

    def __init__(self, report: Report, faults: SiteFaults) -> None:
        self.report = report
        self.faults = faults
        self.names = NameTroubles(report)

    def find(self, shown: tuple[Proxy, ...] | None = None) -> list[FoundProblems]:
        """All that is wrong, worst first, at the cost of a few words for each backend.

        `shown`: the sections that are looked at; None: all.
        """
        found = [*self._processes(), *self._frontends(shown), *self._backends(shown)]
        if shown is None:
            found += self._names()
        found.sort(key=itemgetter(0, 1))  # severity, urgency
        return found

    def tell(self, found: FoundProblems) -> Problem:
        """One of them in full."""
        if found.kind is TroubleKind.BACKEND:
            return self._of_backend(found)
        if found.kind is TroubleKind.NAME:
            return self._of_name(found)
        if found.kind is TroubleKind.FRONTEND:
            name = self.faults.frontends[found.number].name
            said = f"lets no clients in: {found.text}"
            command = f"show why frontend {name}"
            return Problem(found.severity, found.kind, name, said, command=command)
        name = self.report.runtime.segment.shape.process_names[found.number]
        chain = self._without_resolverd() if name == "resolverd" else ()
        command = "show proc"
        return Problem(found.severity, found.kind, name, found.text, chain, command=command)

    def _without_resolverd(self) -> tuple[str, ...]:
        """What that means, as the records have it."""
        return ("servers keep the addresses they have; none changes until it is back",)

    def _processes(self) -> Iterator[FoundProblems]:
        """Processes that do not run, or whose heart has stopped."""
        now, board = now_ms(), self.report.monitor.board
        shape = self.report.runtime.segment.shape
        for position, name in enumerate(shape.process_names):
            status = board.status(position)
            needed = position < shape.workers or name != "resolverd" or self.names.any
            severity = Urgency.IMPAIRED if position < shape.workers else Urgency.THREATENED
            beats = [status.main_beat_ms] + [status.relay_beat_ms] * (position < shape.workers)
            oldest = min((beat for beat in beats if beat), default=0)
            if not needed or name == "control" or not status.started_ms:
                continue
            if not status.pid:
                yield FoundProblems(
                    severity, -1 << 40, TroubleKind.PROCESS, position, "does not run"
                )
            elif oldest and now - oldest > STALE_MS:
                said = f"does not answer, its heart stopped {(now - oldest) // 1000} s ago"
                yield FoundProblems(severity, -1 << 40, TroubleKind.PROCESS, position, said)

    def _frontends(self, shown: tuple[Proxy, ...] | None) -> Iterator[FoundProblems]:
        """Those that let no clients in, unless an operator closed them."""
        names = None if shown is None else {proxy.name for proxy in shown}
        for index, reason in self.faults.closed.items():
            name = self.faults.frontends[index].name
            if (names is None or name in names) and not reason.startswith("an operator"):
                yield FoundProblems(Urgency.DOWN, -1, TroubleKind.FRONTEND, index, reason)

    def _backends(self, shown: tuple[Proxy, ...] | None) -> Iterator[FoundProblems]:
        waiting = self.faults.loads.waiting()
        availability = self.report.monitor.availability
        for proxy in self.report.backends if shown is None else shown:
            index = proxy.backend_index
            if index is None or not self.report.is_published(proxy):
                continue
            if not availability[proxy.name].up:
                servers = len(self.report.servers.of(proxy))
                yield FoundProblems(Urgency.DOWN, -2 - servers, TroubleKind.BACKEND, index)
            elif waiting.get(index):
                yield FoundProblems(
                    Urgency.IMPAIRED, (-1 << 30) - waiting[index], TroubleKind.BACKEND, index
                )
            elif self.faults.of(proxy):
                wrong = len(self.faults.wrong(proxy))
                if wrong:
                    share = (wrong << 20) // max(1, len(self.report.servers.of(proxy)))
                    yield FoundProblems(Urgency.IMPAIRED, -share, TroubleKind.BACKEND, index)

    def _names(self) -> Iterator[FoundProblems]:
        """Names that fail while their servers still have addresses."""
        for place, index in enumerate(self.names.failing()):
            yield FoundProblems(Urgency.THREATENED, place, TroubleKind.NAME, index)

    def _of_backend(self, found: FoundProblems) -> Problem:
        proxy = self.report.servers.backends[found.number]
        faults = self.faults.of(proxy)
        wrong = self.faults.wrong(proxy)
        told = wrong or list(faults.items())
        since_ms = min((fault.since_ms for _, fault in told), default=0)
        if found.severity is Urgency.DOWN:
            availability = self.report.monitor.availability[proxy.name]
            since_ms = availability.changed_ms
        text = backend_text(self.report, proxy)
        chain = tuple(self._chain(told))
        command = f"show why {proxy.name}"
        return Problem(found.severity, found.kind, proxy.name, text, chain, since_ms, command)

    def _chain(self, told: list[tuple[int, Fault]]) -> Iterator[str]:
        """The causes of its servers: of those that share a reason, one in full."""
        alike: dict[str, list[int]] = {}
        for slot, fault in told:
            alike.setdefault(fault.reason, []).append(slot)
        for reason, slots in islice(alike.items(), REASONS_TOLD_MAX):
            yield f"{self._named(slots)}: {reason}"
            server = self.report.servers.get(slots[0])
            if server is None:
                continue
            backend = self.report.servers.backends[server.backend_index]
            observed = self.report.observer.server(backend, server)
            number = self.report.name_row(server)
            facts = None if number is None else self.names.facts(number)
            yield from causes(observed, facts, now_ms())
        if len(alike) > REASONS_TOLD_MAX:
            yield f"and {len(alike) - REASONS_TOLD_MAX} more reasons"

    def example(self, found: FoundProblems) -> Server | None:
        """A server that is wrong in a backend that is; None without one."""
        wrong = self.faults.wrong(self.report.servers.backends[found.number])
        return self.report.servers.get(wrong[0][0]) if wrong else None

    def _named(self, slots: list[int]) -> str:
        servers = (self.report.servers.get(slot) for slot in slots[:SERVERS_NAMED_MAX])
        names = ", ".join(server.name for server in servers if server is not None)
        left = len(slots) - SERVERS_NAMED_MAX
        return f"{names} and {left:,} more" if left > 0 else names

    def _of_name(self, found: FoundProblems) -> Problem:
        facts = self.names.facts(found.number)
        links = tuple(name_links(facts))
        used = self.report.monitor.counters.resolution(found.number)["slots_used"]
        left = facts.dropped_in_ms
        have = "1 server has its address" if used == 1 else f"{used} servers have theirs"
        text = f"{facts.status}; {have} from it"
        if left is not None:
            lose = "1 server loses its address" if used == 1 else f"{used} servers lose theirs"
            text = f"{facts.status}; {lose} in {left // 1000} s"
        command = f"show resolution {facts.name}"
        return Problem(found.severity, found.kind, facts.name, text, links, command=command)
