"""The commands that change a server: set server|weight|maxconn, enable, disable; and get weight.

The only writer of admin records and of orders of names: each change is published whole, then
all readers of the slot are rung: the relays, resolverd, and of the main threads those that check it
or lay out its backend's turns. Once a successor is about to write, changes are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from proxy.control.caller import note_change
from proxy.control.command import Answer, Command, CommandError, Feedback, Level
from proxy.control.commands.admin_changes import (
    BY,
    AdminChange,
    beside_agent,
    change_address,
    change_checks,
    change_health,
    change_maxconn,
    change_state,
    change_weight,
    ordered_name,
)
from proxy.control.commands.agent_orders import (
    commanded,
    invalid_address,
    is_numeric,
    moved,
    on_port,
    sent,
    switched,
)
from proxy.control.commands.check_orders import aimed_at, aimed_at_port
from proxy.control.commands.events.changes import note_aim, note_server
from proxy.control.commands.in_force import InForce
from proxy.control.commands.lookup import Lookup
from proxy.control.rows.observation import Observed
from proxy.control.rows.report import Report
from proxy.families import Families
from proxy.members.laid_out import LaidOut
from proxy.runtime import now_ms, ring
from proxy.server_news import BY_ORDER, Stand, Usable, lines
from proxy.server_table import checked_by_program
from shm.agents import AgentSendingWriter
from shm.check_orders import CheckOrder
from shm.log_level import LogLevel
from shm.names import NameOrderWriter
from shm.slots import AdminTableWriter
from shm.states import AdminState, AgentOrders
from shm.steady import steady

REPLACED = "This process is being replaced by a reload; nothing was changed, please try again."
USAGE = (
    "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | "
    "check-addr | check-port | fqdn | health | name | state | weight"
)

AIMS = {"check-addr": aimed_at, "check-port": aimed_at_port}


class SetServer:
    """The family of commands that change servers. Takes the writer of admin records."""

    def __init__(self, report: Report, writer: AdminTableWriter, names: NameOrderWriter) -> None:
        self.report = report
        self.writer = writer
        self.names = names
        self.sendings = AgentSendingWriter(report.runtime.segment)
        self.rename: Callable[[Observed, str], Answer] | None = None  # where servers come and go
        self.laid_out = LaidOut(report.runtime.servers)
        self.replaced = False  # a successor writes from now on
        self.in_force = InForce(report.runtime.segment)
        self.families = Families(report.runtime.servers, report.runtime.segment)

    def commands(self) -> list[Command]:
        """What this family answers to."""
        admin = Level.ADMIN
        return [
            Command(("disable", "server"), "<bk>/<srv>", "take a server out", admin, self.disable),
            Command(
                ("disable", "health"), "<bk>/<srv>", "suspend health checks", admin, self.checks_off
            ),
            Command(
                ("enable", "health"), "<bk>/<srv>", "resume health checks", admin, self.checks_on
            ),
            Command(
                ("disable", "agent"),
                "<bk>/<srv>",
                "ask a server's agent no more",
                admin,
                self.agent_off,
            ),
            Command(
                ("enable", "agent"),
                "<bk>/<srv>",
                "ask a server's agent again",
                admin,
                self.agent_on,
            ),
            Command(("enable", "server"), "<bk>/<srv>", "put a server back", admin, self.enable),
            Command(
                ("get", "weight"),
                "<bk>/<srv>",
                "a server's current and initial weight",
                Level.USER,
                self.get_weight,
            ),
            Command(
                ("set", "server"),
                "<bk>/<srv> [opts]",
                "change a server's state, weight, health, address, name, check or agent: addr, "
                "agent, agent-addr, agent-port, agent-send, check-addr, check-port, fqdn, health, "
                "name, state, weight",
                admin,
                self.set_server,
            ),
            Command(
                ("set", "maxconn", "server"),
                "<bk>/<srv> <n>",
                "change how many sessions a server takes",
                admin,
                self.set_maxconn,
            ),
            Command(
                ("set", "weight"), "<bk>/<srv> <w>[%]", "change a weight", admin, self.set_weight
            ),
        ]

    def observed(self, words: list[str]) -> Observed:
        """The server that the first word names; raises CommandError."""
        proxy, server = self.report.directory.server(words[0] if words else "")
        return self.report.observer.server(proxy, server)

    def publish(self, observed: Observed, change: AdminChange) -> Answer:
        """Publish a change, ring its readers, and answer."""
        if change.record is not None:
            self.refuse_if_replaced()
            before = self.families.stands(observed.server.slot)
            record, orders = change.record, observed.orders
            if orders is not None:
                raw = steady(self.report.observer.table.admin, observed.server.slot)
                now_ns = time.monotonic_ns()
                record, orders = beside_agent(raw, observed.admin, record, orders, now_ns)
            self.write(observed, record, orders)
            note_server(observed, change.record)
            self.log(observed, before, change)
        return [Feedback(change.answer, LogLevel.WARNING)] if change.answer else []

    def write(self, observed: Observed, record: AdminState, orders: AgentOrders | None) -> None:
        """Write the records of a server and ring their readers."""
        slot = observed.server.slot
        self.writer.publish(slot, record, orders)
        ring(self.concerned(slot))

    def concerned(self, slot: int) -> set[int]:
        """The bells of all that have something to do when a server's records have changed."""
        runtime = self.report.runtime
        bells = runtime.bells
        found = {*bells.relays, bells.resolverd}
        for member in self.families.of(slot):
            server = runtime.servers[member]
            proxy = runtime.servers.backends[server.backend_index]
            if server.watched:
                is_program = checked_by_program(proxy, server)
                found.add(bells.checker(member, is_program=is_program))
            if self.laid_out.of(server.backend_index):
                found.update(bells.workers)
        return found

    def refuse_if_replaced(self) -> None:
        """Raise CommandError when nothing may be written any more."""
        if self.replaced:
            raise CommandError(REPLACED)

    def publish_state(self, observed: Observed, change: AdminChange) -> Answer:
        """The same for a state; the answer comes when every relay goes by it."""
        answer = self.publish(observed, change)
        if change.record is None or self.in_force.soon():
            return answer
        return [self.in_force, *answer]

    def log(self, observed: Observed, before: dict[int, Stand], change: AdminChange) -> None:
        """Say what changed, once it is published, of the server and of those that track it.

        What a worker finds out about a server that it watches, the worker says.
        """
        server, log = observed.server, self.report.runtime.log
        if change.answer:
            log(LogLevel.NOTICE, f"{observed.proxy.name}/{server.name}: {change.answer}")
        after = self.families.stands(server.slot)
        if server.watched or server.track is not None:
            after = {
                slot: stand
                if before[slot].out
                else stand._replace(operational=before[slot].operational)
                for slot, stand in after.items()
            }
        assert change.record is not None
        touched = change.record.weight != observed.admin.weight
        changes = self.families.changes(before, after, why=BY_ORDER, touched=touched)
        backends = {change.subject.backend_index for change in changes}
        for level, text in lines(changes, {backend: self.usable(backend) for backend in backends}):
            log(level, text)

    def usable(self, backend: int) -> Usable:
        """How many servers of a backend take sessions."""
        counts = self.report.monitor.usable.of(backend)
        return Usable(counts.active, counts.backup)

    def set_state(self, observed: Observed, state: str) -> Answer:
        """Bring a server into a state."""
        return self.publish_state(observed, change_state(observed.admin, state, now_ms()))

    def disable(self, words: list[str], _level: Level) -> Answer:
        """`disable server b/s`."""
        return self.set_state(self.observed(words), "maint")

    def enable(self, words: list[str], _level: Level) -> Answer:
        """`enable server b/s`."""
        return self.set_state(self.observed(words), "ready")

    def checks_off(self, words: list[str], _level: Level) -> Answer:
        """`disable health b/s`."""
        observed = self.observed(words)
        return self.publish(observed, change_checks(observed, enabled=False))

    def checks_on(self, words: list[str], _level: Level) -> Answer:
        """`enable health b/s`."""
        observed = self.observed(words)
        return self.publish(observed, change_checks(observed, enabled=True))

    def agent_off(self, words: list[str], _level: Level) -> Answer:
        """`disable agent b/s`."""
        observed = self.observed(words)
        return self.publish_orders(observed, switched(observed, off=True))

    def agent_on(self, words: list[str], _level: Level) -> Answer:
        """`enable agent b/s`."""
        observed = self.observed(words)
        return self.publish_orders(observed, switched(observed, off=False))

    def publish_orders(self, observed: Observed, orders: AgentOrders | None) -> Answer:
        """Publish what is ordered beside an agent."""
        if orders is not None:
            self.refuse_if_replaced()
            raw = steady(self.report.observer.table.admin, observed.server.slot)
            self.write(observed, raw, orders)
        return []

    def aim_checks(self, observed: Observed, order: CheckOrder) -> Answer:
        """Let the checks of a server connect elsewhere from the next one on."""
        assert observed.server.check is not None
        self.refuse_if_replaced()
        slot = observed.server.slot
        self.report.runtime.check_orders.publish(slot, order)
        note_aim(observed, order)
        raw = steady(self.report.observer.table.admin, slot)
        self.write(observed, raw, observed.orders)  # a reload sees that it moved
        return []

    def set_check_or_agent(self, words: list[str]) -> Answer | None:
        """`set server b/s check-...|agent|agent-... ...`; None: it is none of these.

        Raises CommandError.
        """
        observed, rest = self.observed(words), words[2:]
        what = "".join(words[1:2])
        if what in AIMS:
            return self.aim_checks(observed, AIMS[what](observed, rest))
        if what == "agent":
            return self.publish_orders(observed, commanded(observed, "".join(rest[:1])))
        if what == "agent-addr":
            return self.move_agent(words)
        if what == "agent-port":
            return self.publish_orders(observed, on_port(observed, rest))
        if what == "agent-send":
            sending = sent(observed, rest)
            self.refuse_if_replaced()
            self.sendings.publish(observed.server.slot, sending, now_ms())
            return self.publish_orders(observed, observed.orders)  # a reload sees that it moved
        return None

    def move_agent(self, words: list[str]) -> Answer:
        """`set server b/s agent-addr <addr> [port <port>]`; a name is asked for once."""
        rest = words[2:]
        if rest and not is_numeric(rest[0]) and self.observed(words).asked is not None:
            lookup = Lookup(rest[0])
            yield lookup
            if lookup.address is None:
                raise invalid_address(rest[0])
            rest = [lookup.address, *rest[1:]]
        observed = self.observed(words)  # as it is by now
        yield from self.publish_orders(observed, moved(observed, rest))

    def set_name(self, observed: Observed, words: list[str]) -> Answer:
        """`set server b/s fqdn <name>`: resolverd asks for that name from now on."""
        name = ordered_name(observed, words)
        if not name:
            return [
                Feedback(f"no need to change the FDQN {BY}", LogLevel.WARNING)
            ]  # sic: HAProxy's own words
        self.refuse_if_replaced()
        # the name of the server's line is no order
        ordered = "" if name == observed.server.fqdn else name
        self.names.publish(observed.server.slot, ordered, now_ms())
        ring((self.report.runtime.bells.resolverd,))
        where = f"{observed.proxy.name}/{observed.server.name}"
        note_change("name", observed.name, name)
        former = observed.name or "(null)"  # likewise: the server was given by its address
        answer = f"{where} changed its FQDN from {former} to {name} {BY}"
        self.report.runtime.log(LogLevel.NOTICE, answer)
        return [Feedback(answer, LogLevel.WARNING)]

    def set_maxconn(self, words: list[str], _level: Level) -> Answer:
        """`set maxconn server b/s <n>`."""
        observed = self.observed(words)
        return self.publish(observed, change_maxconn(observed, "".join(words[1:2])))

    def set_weight(self, words: list[str], _level: Level) -> Answer:
        """`set weight b/s <w>[%]`."""
        observed = self.observed(words)
        return self.publish(observed, change_weight(observed, "".join(words[1:2])))

    def get_weight(self, words: list[str], _level: Level) -> Answer:
        """`get weight b/s`."""
        observed = self.observed(words)
        return [f"{observed.weight} (initial {observed.server.balancing.weight})\n"]

    def set_server(self, words: list[str], _level: Level) -> Answer:
        """`set server b/s addr|check-addr|check-port|fqdn|health|name|state|weight ...`."""
        observed = self.observed(words)
        what, rest = words[1:2], words[2:]
        if what == ["state"]:
            return self.set_state(observed, "".join(rest[:1]))
        if what == ["weight"]:
            return self.publish(observed, change_weight(observed, "".join(rest[:1])))
        if what == ["addr"]:
            return self.publish(observed, change_address(observed, rest))
        if what == ["health"]:
            change = change_health(observed, "".join(rest[:1]), now_ms())
            return self.publish_state(observed, change)
        if what == ["fqdn"]:
            return self.set_name(observed, rest)
        answer = self.set_check_or_agent(words)
        if what == ["name"] and self.rename is not None:
            answer = self.rename(observed, "".join(rest[:1]))
        if answer is None:
            raise CommandError(USAGE)
        return answer
