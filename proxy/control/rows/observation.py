"""One server as it is now: what the settings say and what its records add up to.

`Observer` reads the segment (any process may); everything else here is pure: numbers in, numbers
of HAProxy's vocabulary out (shm/standing.py says which). Knows neither sockets nor output
formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.config.model.settings import CHECK_FALL, CHECK_RISE, Proxy, Server
from proxy.server_table import ServerTable
from shm import standing
from shm.check_status import CheckStatus
from shm.check_texts import CheckTextReader
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.standing import (
    CHECK_OFF,
    FDRAIN,
    FMAINT,
    FQDN_CHANGED,
    IDRAIN,
    IMAINT,
    MAINT_MASK,
)
from shm.states import AdminState, HealthState, Operational, ServerState, SlotState
from shm.steady import steady

__all__ = ["CHECK_OFF", "FDRAIN", "FMAINT", "MAINT_MASK", "Observed", "Observer"]

CHECK_STATUS_INI = int(CheckStatus.INI)  # no check has ended yet


class Observed(NamedTuple):
    """One server: its settings, its records, and what they add up to."""

    proxy: Proxy
    server: Server
    slot: SlotState
    admin: AdminState
    health: HealthState
    state: ServerState
    target: str = ""  # where an SRV record points the server
    order: str = ""  # the name that the operator gave it
    check_text: str = ""  # what the server said to the last check, or where that failed

    @property
    def maint_tracked(self) -> bool:
        """In maintenance only because the server that it tracks is."""
        own = self.admin.flags & MAINT_MASK or self.resolution_maint
        return self.server.track is not None and self.state.maint and not own

    @property
    def address(self) -> str | None:
        """Its IP address; None while it has none, and on a Unix socket."""
        return None if self.server.local is not None else self.state.address

    @property
    def resolution_maint(self) -> bool:
        """Out for lack of an address (HAProxy's RMAINT)."""
        server = self.server
        named = server.fqdn is not None or server.srv_record is not None or self.order != ""
        return standing.lacks_address(self.slot, self.state, named=named)

    @property
    def admin_state(self) -> int:
        """HAProxy's srv_admin_state (management manual 9.3, `show servers state`)."""
        mask = standing.admin_mask(
            self.admin, self.slot, disabled=self.server.disabled, lacking=self.resolution_maint
        )
        if self.maint_tracked:
            mask |= IMAINT
        elif self.state.drain and not self.admin.flags & FDRAIN:
            mask |= IDRAIN
        return mask | FQDN_CHANGED if self.order else mask

    @property
    def name(self) -> str | None:
        """The name that its address is asked for."""
        label = self.server.srv_record
        return standing.names_of(self.server.fqdn, label, self.target, self.order)[0]

    @property
    def maint(self) -> bool:
        """In maintenance, for whatever reason."""
        return self.state.maint or self.resolution_maint

    @property
    def operational(self) -> int:
        """HAProxy's srv_op_state: a server in maintenance is stopped."""
        return Operational.STOPPED if self.maint else self.state.operational

    @property
    def up(self) -> bool:
        """Neither stopped nor in maintenance."""
        return self.operational != Operational.STOPPED

    @property
    def weight(self) -> int:
        """The weight that counts, 0..256."""
        return self.state.weight

    @property
    def rise(self) -> int:
        """Passed checks that bring it up."""
        return self.server.check.rise if self.server.check else CHECK_RISE

    @property
    def fall(self) -> int:
        """Failed checks that take it down."""
        return self.server.check.fall if self.server.check else CHECK_FALL

    @property
    def statement(self) -> HealthState | None:
        """The health record, if it speaks of the address that the slot has now."""
        return standing.statement(self.slot, self.health, checked=self.server.check is not None)

    @property
    def check_status(self) -> int:
        """HAProxy's srv_check_status; the last one is kept in maintenance."""
        if self.server.check is None:
            return CHECK_STATUS_INI
        return self.health.status or CHECK_STATUS_INI

    @property
    def check_result(self) -> int:
        """HAProxy's srv_check_result."""
        return 0 if self.server.check is None else self.health.result

    @property
    def check_health(self) -> int:
        """Where the counter of passes and failures stands: 0 .. rise + fall - 1."""
        if self.server.check is None and self.state.health_order and self.up:
            return self.rise + self.fall - 1
        return standing.check_health(self.statement, self.state, self.rise, maint=self.maint)

    @property
    def check_state(self) -> int:
        """HAProxy's srv_check_state mask."""
        return standing.check_state(
            self.health,
            checked=self.server.check is not None,
            disabled=self.server.disabled,
            maint=self.maint,
            check_off=self.state.check_off,
        )

    @property
    def checking(self) -> bool:
        """It has a check, and the check is neither paused nor suspended."""
        return self.server.check is not None and not self.maint and not self.state.check_off

    def changed_ms(self, created_ms: int) -> int:
        """When its state last changed (CLOCK_MONOTONIC, ms); `created_ms` if it never did."""
        return standing.last_change_ms(self.slot, self.admin, self.statement, created_ms)


class Observer:
    """Reads servers out of the segment. Any process."""

    def __init__(self, servers: ServerTable, segment: Segment) -> None:
        self.servers = servers
        self.segment = segment
        self.table = SlotTableReader(segment)
        self.names = NameReader(segment)
        self.texts = CheckTextReader(segment)

    def server(self, proxy: Proxy, server: Server) -> Observed:
        """One server now; raises BlockingIOError when its records do not hold still."""
        slot = server.slot
        health = steady(self.table.health, slot)
        return Observed(
            proxy,
            server,
            steady(self.table.slot, slot),
            steady(self.table.admin, slot),
            health,
            steady(self.table.server, slot),
            steady(self.names.target, slot).name if server.resolvable else "",
            steady(self.names.order, slot).name if server.resolvable else "",
            self.texts.of(slot, health.checked_ms) if server.check else "",
        )

    def backend(self, proxy: Proxy) -> Iterator[Observed]:
        """The servers of one backend, in the order of the file, each read when it is asked for."""
        for server in self.servers.of(proxy):
            yield self.server(proxy, server)
