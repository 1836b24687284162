"""The way of a client: frontend, rule, backend, server, name, nameserver; which link is broken.

What leads where is known with the configuration; how each link does is read when it is asked for.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import NamedTuple

from proxy.config.model.rules import RuleAction
from proxy.config.model.settings import Proxy, Server
from proxy.control.rows.report import Report
from proxy.control.situation.faults import SiteFaults
from proxy.control.situation.names import NameTroubles
from resolverd.config import ResolutionSettings

ENTRANCES_MAX = 3  # frontends that are drawn; the others are counted


class WayHealth(enum.Enum):
    """How one link does."""

    WELL = "well"
    BROKEN = "broken"
    WEAK = "weak"  # it holds, but something is wrong with it
    UNKNOWN = "unknown"  # nothing says so


class Link(NamedTuple):
    """One station on the way."""

    kind: str
    name: str
    note: str
    health: WayHealth
    address: str = ""  # of a server: backend/server


class Entrance(NamedTuple):
    """How clients come to a backend."""

    frontend: int
    rule: str


class Ways:
    """What leads where in one generation."""

    def __init__(self, report: Report, faults: SiteFaults) -> None:
        self.report = report
        self.faults = faults
        self.names = NameTroubles(report)
        self.entrances: dict[int, list[Entrance]] = {}
        self.backends: dict[int, list[int]] = {}  # by frontend, those behind it
        for proxy in report.frontends:
            assert proxy.frontend_index is not None
            for backend, rule in _targets(proxy):
                self.entrances.setdefault(backend, []).append(Entrance(proxy.frontend_index, rule))
                behind = self.backends.setdefault(proxy.frontend_index, [])
                if backend not in behind:
                    behind.append(backend)

    def behind(self, proxy: Proxy) -> WayHealth:
        """How what stands behind a frontend does."""
        assert proxy.frontend_index is not None
        backends = self.backends.get(proxy.frontend_index, ())
        availability, every = self.report.monitor.availability, self.report.servers.backends
        ups = [availability[every[index].name].up for index in backends]
        if not ups:
            return WayHealth.UNKNOWN
        if not all(ups):
            return WayHealth.WEAK if any(ups) else WayHealth.BROKEN
        weak = any(self.faults.wrong(every[index]) for index in backends)
        return WayHealth.WEAK if weak else WayHealth.WELL

    def to(self, proxy: Proxy, server: Server | None = None) -> Iterator[Link]:
        """The way to a backend and, if one is given, to a server of it."""
        assert proxy.backend_index is not None
        entrances = self.entrances.get(proxy.backend_index, [])
        for entrance in entrances[:ENTRANCES_MAX]:
            yield self._frontend(entrance)
        if len(entrances) > ENTRANCES_MAX:
            more = f"and {len(entrances) - ENTRANCES_MAX} more"
            yield Link("frontend", more, "", WayHealth.UNKNOWN)
        rules = list(dict.fromkeys(entrance.rule for entrance in entrances))
        if rules:
            more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
            yield Link("rule", rules[0] + more, "", WayHealth.WELL)
        else:
            yield Link("rule", "none", "no frontend leads here by a fixed name", WayHealth.UNKNOWN)
        yield self._backend(proxy)
        if server is not None:
            yield self._server(proxy, server)
        found = [server] if server is not None else list(self.report.servers.of(proxy)[:1])
        for each in found:
            row = self.report.name_row(each)
            if row is not None:
                yield from self._name(row)
            elif each.resolution is not None and each.resolution.name:
                yield from self._name_of_added(each.resolution)

    def _frontend(self, entrance: Entrance) -> Link:
        proxy = self.faults.frontends[entrance.frontend]
        reason = self.faults.closed.get(entrance.frontend, "")
        return Link("frontend", proxy.name, reason, WayHealth.BROKEN if reason else WayHealth.WELL)

    def _backend(self, proxy: Proxy) -> Link:
        summary = self.report.monitor.summary(proxy)
        note = f"{summary.active} of {summary.servers} servers take sessions"
        if summary.up and not summary.active and summary.servers:
            note = "only backups take sessions"
        if not summary.up:
            return Link("backend", proxy.name, note, WayHealth.BROKEN)
        health = WayHealth.WEAK if self.faults.wrong(proxy) else WayHealth.WELL
        return Link("backend", proxy.name, note, health)

    def _server(self, proxy: Proxy, server: Server) -> Link:
        fault = self.faults.of(proxy).get(server.slot)
        note = "" if fault is None else fault.reason
        health = WayHealth.BROKEN if fault else WayHealth.WELL
        return Link("server", server.name, note, health, f"{proxy.name}/{server.name}")

    def _name(self, index: int) -> Iterator[Link]:
        facts = self.names.facts(index)
        health = WayHealth.WELL
        if facts.fails:
            health = WayHealth.BROKEN if facts.dropped_in_ms is None else WayHealth.WEAK
        yield Link("name", facts.name, f"last run {facts.status or 'none yet'}", health)
        yield from self._nameservers(facts.section, silent=facts.status in ("timeout", ""))

    def _name_of_added(self, name: ResolutionSettings) -> Iterator[Link]:
        """A name of the files, or one without a record yet: resolverd knows more."""
        note = f"asked for an added server: see 'show resolution {name.name}'"
        yield Link("name", name.name, note, WayHealth.UNKNOWN)
        yield from self._nameservers(name.section, silent=False)

    def _nameservers(self, name: str, *, silent: bool) -> Iterator[Link]:
        section = self.names.sections[name]
        for nameserver in self.report.nameservers(section)[:ENTRANCES_MAX]:
            fields = self.report.monitor.counters.nameserver(nameserver.index)
            note = f"{fields['valid']} valid, {fields['timeout']} unanswered"
            health = WayHealth.BROKEN if silent and fields["sent"] else WayHealth.WELL
            yield Link("nameserver", nameserver.name, note, health)


def _targets(proxy: Proxy) -> Iterator[tuple[int, str]]:
    """The backends that a frontend names, each with the rule."""
    rules = () if proxy.rules is None else proxy.rules.backends
    for rule in rules:
        if rule.action is RuleAction.USE_BACKEND and not rule.form:
            yield rule.target, rule.text
    if proxy.default_backend is not None:
        own = proxy.default_backend == proxy.backend_index
        yield proxy.default_backend, "listen" if own else "default_backend"
