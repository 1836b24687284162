"""What is not as the files said when they were loaded, because it was ordered since.

Everything is read from the segment, so an order is found whoever gave it and however long ago. What
an agent said last of weight, maxconn and state counts as one of its own; what DNS says is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Proxy, Server
from proxy.config.outline.outcome import ADDED, DELETED, ENTRIES, RENAMED, RunningOrder
from proxy.config.outline.patterns import title_of_list
from proxy.config.outline.secrets import HIDDEN, hide
from proxy.config.outline.sections import written
from proxy.control.command import Piece
from proxy.control.commands.configuration.authors import Authors
from proxy.control.commands.events.changes import address_text, state_word
from proxy.control.commands.lists.orders import Lists
from proxy.control.commands.process.variables import ORIGIN, printable
from proxy.control.rows.observation import CHECK_OFF
from proxy.control.rows.report import STATUSES, Report
from proxy.rules.shared.variables import ProcessVariables
from shm.client_orders import OPEN
from shm.states import AdminState, AgentWord, HealthOrder
from shm.steady import steady

Found = tuple[str, object, object]  # what, before, now
AGENT = "its agent"


class RunningOrders:
    """Finds them, a server at a time."""

    def __init__(self, report: Report, lists: Lists) -> None:
        self.found: list[RunningOrder] = []
        self._report = report
        self._lists = lists
        self._authors = Authors(report.runtime.events, report.directory)

    def look(self) -> Iterator[Piece]:
        """Fill `found`; gives others their turn in between."""
        self._process()
        self._variables()
        servers = self._report.runtime.servers
        for proxy in (*self._report.settings.proxies, *servers.named_backends()):
            if proxy.spare_of:  # one that has a name is among those behind
                continue
            self._frontend(proxy)
            self._backend(proxy)
            for server in servers.of(proxy):
                self._server(proxy, server)
                yield ""
        for server in servers.deleted():
            self._deleted(servers.backends[server.backend_index], server)
        for configured, server in servers.renamed():
            self._renamed(servers.backends[server.backend_index], configured, server)
        for reference, change in self._lists.changed():
            entries = (title_of_list(reference), ENTRIES, "", change.text)
            self.found.append(RunningOrder(*entries, digest=change.digest))
            yield ""

    def _process(self) -> None:
        ordered = self._report.client_orders.process()
        configured = self._report.settings.globals
        rows = (
            ("maxconn", self._report.capacity.maxconn, ordered.maxconn, ("maxconn", "global")),
            (
                *("maxconnrate", configured.connection_rate, ordered.connection_rate),
                ("rate-limit", "connections"),
            ),
            (
                *("maxsessrate", configured.session_rate, ordered.session_rate),
                ("rate-limit", "sessions"),
            ),
        )
        for what, before, now, words in rows:
            if now is not None and now != before:
                by = self._authors.of("set", *words)
                self.found.append(RunningOrder("global", what, str(before), str(now), by=by))

    def _variables(self) -> None:
        """Those that an order set last; what rules of connections set is none."""
        runtime = self._report.runtime
        shared = runtime.settings.shared
        variables = ProcessVariables(runtime.segment, shared.names, runtime.main_pid)
        numbers = {name: variables.number(name) for name in variables.names}
        ordered = {name: n for name, n in numbers.items() if n is not None and variables.ordered(n)}
        if not ordered:
            return
        origins = {each.name: each.origin for each in shared.settings}
        wanted = {origins[name] for name in ordered if name in origins}
        said = {each.origin: each.words for each in runtime.kept.lines() if each.origin in wanted}
        for name, number in ordered.items():
            found = variables.shown(number)
            words = said.get(origins.get(name, ORIGIN), ())
            self.found.append(
                RunningOrder(
                    *("global", f"set-var {name}", " ".join(words[2:]) or "unset"),
                    "unset" if found is None else printable(found),
                    by=self._authors.of("set", "var", name),
                )
            )

    def _frontend(self, proxy: Proxy) -> None:
        if proxy.frontend_index is None or proxy.http is not None or proxy.disabled:
            return
        order = self._report.client_orders.frontend(proxy.frontend_index)
        section = f"{proxy.kind} {proxy.name}"
        maxconn = proxy.maxconn or self._report.capacity.maxconn
        if order.maxconn is not None and order.maxconn != maxconn:
            by = self._authors.of("set", "maxconn", "frontend", proxy.name)
            self.found.append(
                RunningOrder(
                    *(section, "maxconn", str(maxconn), str(order.maxconn)),
                    origin=proxy.origin,
                    by=by,
                )
            )
        if order.state != OPEN:
            verb = "disable" if STATUSES[order.state] == "PAUSED" else "shutdown"
            by = self._authors.of(verb, "frontend", proxy.name)
            told = (section, "state", STATUSES[OPEN], STATUSES[order.state])
            self.found.append(RunningOrder(*told, origin=proxy.origin, by=by))

    def _backend(self, proxy: Proxy) -> None:
        if proxy.backend_index is None:
            return
        section, authors = f"{proxy.kind} {proxy.name}", self._authors
        if proxy.added_from:
            by = authors.of("add", "backend", proxy.name)
            self.found.append(RunningOrder(section, ADDED, "", f"from {proxy.added_from}", by=by))
        published = self._report.is_published(proxy)
        if published == bool(proxy.added_from):  # the files' are published, added ones are not
            by = authors.of("publish" if published else "unpublish", "backend", proxy.name)
            states = ("published", "unpublished")
            told = (section, "state", states[published], states[not published])
            self.found.append(RunningOrder(*told, origin=proxy.origin, by=by))

    def _server(self, proxy: Proxy, server: Server) -> None:
        section, name = f"{proxy.kind} {proxy.name}", f"{proxy.name}/{server.name}"
        if server.added:
            line = f"{server.name} {written(hide(tuple(server.line.split())))}".strip()
            by = self._authors.of("add", "server", name)
            self.found.append(RunningOrder(section, ADDED, "", line, server.name, by=by))
        spoken = self._spoken(server)
        for what, before, now in self._differs(server, spoken):
            noted = "check" if what.startswith("check-") else what  # as the list of events has it
            by = AGENT if what in spoken else self._authors.of(name, what=noted)
            self.found.append(
                RunningOrder(
                    *(section, what, str(before), str(now), server.name),
                    origin=server.origin,
                    by=by,
                )
            )

    def _spoken(self, server: Server) -> dict[str, object]:
        """What its agent has said that no later order replaces; raises BlockingIOError."""
        if server.agent is None:
            return {}
        agents = self._report.observer.agents
        said, orders = steady(agents.said, server.slot), steady(agents.orders, server.slot)
        spoken: dict[str, object] = {}
        if said.word != AgentWord.NONE and said.state_ns > orders.state_ns:
            spoken["state"] = AgentWord(said.word).name.lower()
        if said.weight >= 0 and said.weight_ns > orders.weight_ns:
            spoken["weight"] = said.weight
        if said.maxconn >= 0 and said.maxconn_ns > orders.maxconn_ns:
            spoken["maxconn"] = said.maxconn
        return spoken

    def _deleted(self, proxy: Proxy, server: Server) -> None:
        by = self._authors.of("del", "server", f"{proxy.name}/{server.name}")
        told = (f"{proxy.kind} {proxy.name}", DELETED, server.name, "", server.name)
        self.found.append(RunningOrder(*told, origin=server.origin, by=by))

    def _renamed(self, proxy: Proxy, configured: Server, server: Server) -> None:
        by = self._authors.of(f"{proxy.name}/{server.name}", what=RENAMED)
        names = (configured.name, server.name, configured.name)
        told = (f"{proxy.kind} {proxy.name}", RENAMED, *names)
        self.found.append(RunningOrder(*told, origin=server.origin, by=by))

    def _differs(self, server: Server, spoken: dict[str, object]) -> Iterator[Found]:
        """What was ordered of one server, or `spoken`; raises BlockingIOError."""
        observer = self._report.observer
        admin = steady(observer.table.admin, server.slot)
        yield from _ordered(server, admin, spoken)
        if admin.address is not None:
            slot = steady(observer.table.slot, server.slot)
            if slot.generation == admin.override_generation:
                now = address_text(admin.address, admin.port or slot.port)
                yield "address", address_text(slot.address, slot.port), now
        if server.check is not None:
            aimed, check = self._report.runtime.check_orders.read(server.slot), server.check
            if aimed.address is not None and aimed.host != check.address:
                yield "check-addr", check.address or "its own", aimed.host or "its own"
            if aimed.port is not None and (aimed.port or None) != check.own_port:
                yield "check-port", check.own_port or "its own", aimed.port or "its own"
        if server.resolvable and (name := steady(observer.names.order, server.slot).name):
            yield "name", server.fqdn or server.host, name
        if server.agent is not None:
            orders = steady(observer.agents.orders, server.slot)
            if orders.off:
                yield "agent", "on", "off"
            if orders.address is not None:
                yield "agent-addr", server.agent.address or "its own", orders.address
            if orders.port:
                yield "agent-port", server.agent.port, orders.port
            if observer.agents.sending(server.slot) is not None:
                yield "agent-send", HIDDEN, HIDDEN


def _ordered(server: Server, admin: AdminState, spoken: dict[str, object]) -> Iterator[Found]:
    state, checks = "maint" if server.disabled else "ready", "on"
    if server.added:  # as `add server` leaves it
        checks = "off" if server.check is not None else "on"
        state = "ready" if server.enabled else "maint"
    weight, maxconn = server.balancing.weight, server.queueing.maxconn
    ordered: dict[str, object] = {
        "state": state_word(admin.flags),
        "checks": "off" if admin.flags & CHECK_OFF else "on",
        "weight": admin.weight if admin.weight >= 0 else weight,
        "maxconn": admin.maxconn if admin.maxconn >= 0 else maxconn,
    }
    before = {"state": state, "checks": checks, "weight": weight, "maxconn": maxconn}
    if not server.watched and admin.health_order not in (HealthOrder.NONE, HealthOrder.UP):
        ordered["health"] = HealthOrder(admin.health_order).name.lower()
        before["health"] = "up"
    now = {**ordered, **spoken}
    yield from ((what, said, now[what]) for what, said in before.items() if said != now[what])
