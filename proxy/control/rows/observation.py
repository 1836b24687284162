"""One server as it is now: its settings, and how it stands by its records (shm/standing.py).

`Observer` reads the segment, as any process may. Knows neither sockets nor output formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.config.model.settings import Proxy, Server
from proxy.server_table import ServerTable, configured_server
from shm.agents import AgentReader
from shm.check_orders import CheckOrders
from shm.check_texts import CheckTextReader
from shm.last_change import last_change_ms
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.standing import CHECK_OFF, FDRAIN, FMAINT, MAINT_MASK, Standing
from shm.states import (
    AdminState,
    AgentOrders,
    AgentState,
    HealthState,
    Operational,
    ServerState,
    SlotState,
)
from shm.steady import steady

__all__ = ["CHECK_OFF", "FDRAIN", "FMAINT", "MAINT_MASK", "Observed", "Observer"]


class Observed(NamedTuple):
    """One server: its settings, and how it stands by its records."""

    proxy: Proxy
    server: Server
    standing: Standing
    check_text: str = ""  # what the server said to the last check, or where that failed
    agent_text: str = ""  # what is told of its agent's last check
    tracked: Observed | None = None  # the server that it tracks
    alone: AdminState | None = None  # what the operator alone has ordered, beside an agent

    @property
    def origin(self) -> Observed:
        """The server at the end of the chain that it tracks; itself where it tracks none."""
        return self if self.tracked is None else self.tracked.origin

    @property
    def slot(self) -> SlotState:
        """Its slot record."""
        return self.standing.slot

    @property
    def admin(self) -> AdminState:
        """What operator and agent have ordered, the last word of each kind."""
        return self.standing.admin

    @property
    def orders(self) -> AgentOrders | None:
        """What the operator has ordered beside its agent; None without an agent."""
        return self.standing.orders

    @property
    def asked(self) -> AgentState | None:
        """What its agent has said; None without one, or while the operator lets none be asked."""
        standing = self.standing
        return None if standing.orders is None or standing.orders.off else standing.said

    @property
    def health(self) -> HealthState:
        """Its health record, of whichever address."""
        return self.standing.health

    @property
    def state(self) -> ServerState:
        """What its records add up to."""
        return self.standing.state

    @property
    def order(self) -> str:
        """The name that the operator gave it."""
        return self.standing.order

    @property
    def name(self) -> str | None:
        """The name that its address is asked for."""
        return self.standing.names[0]

    @property
    def maint(self) -> bool:
        """In maintenance, for whatever reason."""
        return self.standing.maint

    @property
    def rise(self) -> int:
        """Passed checks that bring it up."""
        return self.standing.configured.rise

    @property
    def fall(self) -> int:
        """Failed checks that take it down."""
        return self.standing.configured.fall

    @property
    def up(self) -> bool:
        """Neither stopped nor in maintenance."""
        return self.standing.operational != Operational.STOPPED

    @property
    def weight(self) -> int:
        """The weight that counts, 0..256."""
        return self.standing.state.weight

    @property
    def checking(self) -> bool:
        """It has a check, and the check is neither paused nor suspended."""
        return self.server.check is not None and not self.maint and not self.state.check_off


class Observer:
    """Reads servers out of the segment. Any process."""

    def __init__(
        self, servers: ServerTable, segment: Segment, check_orders: CheckOrders | None = None
    ) -> None:
        """Without `check_orders` operators have ordered nothing about checks."""
        self.check_orders = check_orders
        self.servers = servers
        self.segment = segment
        self.table = SlotTableReader(segment)
        self.names = NameReader(segment)
        self.texts = CheckTextReader(segment)
        self.agents = AgentReader(segment)

    def server(self, proxy: Proxy, server: Server) -> Observed:
        """One server now; raises BlockingIOError when its records do not hold still."""
        slot, tracked = server.slot, self._tracked(server)
        health = steady(self.table.health, slot)
        standing = Standing(
            configured_server(server),
            steady(self.table.slot, slot),
            steady(self.table.administration, slot),
            health,
            steady(self.table.server, slot),
            steady(self.names.target, slot).name if server.resolvable else "",
            steady(self.names.order, slot).name if server.resolvable else "",
            None if tracked is None else tracked.state,
        )
        if self.check_orders is not None and server.check is not None:
            standing = standing._replace(aimed=self.check_orders.read(slot))
        text = self.texts.of(slot, health.checked_ms) if server.check else ""
        agent_text, alone = "", None
        if server.agent is not None:
            said = steady(self.agents.said, slot)
            standing = standing._replace(said=said, orders=steady(self.agents.orders, slot))
            agent_text = self.agents.text(slot, said.checked_ms)
            alone = steady(self.table.admin, slot)
        if tracked is not None:
            standing = standing._replace(followed_ms=last_change_ms(self.table, slot))
        return Observed(proxy, server, standing, text, agent_text, tracked, alone)

    def _tracked(self, server: Server) -> Observed | None:
        """What the server tracks; the configuration has no loop of it."""
        if server.tracked_slot is None:
            return None
        tracked = self.servers[server.tracked_slot]
        return self.server(self.servers.backends[tracked.backend_index], tracked)

    def backend(self, proxy: Proxy) -> Iterator[Observed]:
        """The servers of one backend, in the order of the file, each read when it is asked for."""
        for server in self.servers.of(proxy):
            yield self.server(proxy, server)
