"""One server as it is now: what the settings say and what its records add up to.

`Observer` reads the segment (any process may); everything else here is pure: numbers in, numbers
of HAProxy's vocabulary out. Knows neither sockets nor output formats.

The administrative state is HAProxy's mask: a server that is `disabled` in the configuration shows
0x04 for ever and 0x01 as long as it is out, whichever of the two bits the record carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from proxy.config.model import CHECK_FALL, CHECK_RISE, Proxy, Server, Settings
from proxy.control.limits import SNAPSHOT_TRIES_MAX
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.states import (
    AdminFlag,
    AdminState,
    HealthState,
    Operational,
    ServerState,
    SlotFlag,
    SlotState,
)

T = TypeVar("T")

CHECK_STATE_CONFIGURED = 0x02
CHECK_STATE_ENABLED = 0x04
CHECK_STATE_PAUSED = 0x08
CHECK_STATUS_INI = 1  # no check has ended yet
# plain numbers: operations on flags cost ten times as much, and these run for every cell
FMAINT = int(AdminFlag.FMAINT)
CMAINT = int(AdminFlag.CMAINT)
FDRAIN = int(AdminFlag.FDRAIN)
RMAINT = int(SlotFlag.RMAINT)
MAINT_MASK = FMAINT | CMAINT


class Observed(NamedTuple):
    """One server: its settings, its records, and what they add up to."""

    proxy: Proxy
    server: Server
    slot: SlotState
    admin: AdminState
    health: HealthState
    state: ServerState

    @property
    def resolution_maint(self) -> bool:
        """Out for lack of an address (HAProxy's RMAINT)."""
        if self.slot.flags & RMAINT:
            return True
        return self.server.fqdn is not None and self.state.address is None

    @property
    def admin_state(self) -> int:
        """HAProxy's srv_admin_state (management manual 9.3, `show servers state`)."""
        mask = self.admin.flags & FDRAIN
        if self.admin.flags & MAINT_MASK:
            mask |= FMAINT
        if self.server.disabled:
            mask |= CMAINT
        return mask | RMAINT if self.resolution_maint else mask

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
        if self.server.check is None or self.health.incarnation == 0:
            return None
        return self.health if self.health.incarnation == self.slot.incarnation else None

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
        if self.maint:
            return 0
        statement = self.statement
        if statement is not None:
            return statement.health
        return self.rise if self.state.operational != Operational.STOPPED else 0

    @property
    def check_state(self) -> int:
        """HAProxy's srv_check_state mask."""
        if self.server.check is None:
            return CHECK_STATE_PAUSED if self.server.disabled and self.maint else 0
        mask = self.health.check_state & 1 | CHECK_STATE_CONFIGURED | CHECK_STATE_ENABLED
        return mask & ~1 | CHECK_STATE_PAUSED if self.maint else mask

    @property
    def checking(self) -> bool:
        """It has a check, and the check is not paused."""
        return self.server.check is not None and not self.maint

    def changed_ms(self, created_ms: int) -> int:
        """When its state last changed (CLOCK_MONOTONIC, ms); `created_ms` if it never did."""
        statement = self.statement
        health_ms = statement.changed_ms if statement is not None else 0
        return max(created_ms, self.slot.changed_ms, self.admin.changed_ms, health_ms)


def steady(read: Callable[[int], T], slot: int) -> T:
    """Read a record that may change meanwhile; raises BlockingIOError after many tries."""
    for _ in range(SNAPSHOT_TRIES_MAX - 1):
        try:
            return read(slot)
        except BlockingIOError:
            continue
    return read(slot)


class Observer:
    """Reads servers out of the segment. Any process."""

    def __init__(self, settings: Settings, segment: Segment) -> None:
        self.settings = settings
        self.segment = segment
        self.table = SlotTableReader(segment)

    def server(self, proxy: Proxy, server: Server) -> Observed:
        """One server now; raises BlockingIOError when its records do not hold still."""
        slot = server.slot
        return Observed(
            proxy,
            server,
            steady(self.table.slot, slot),
            steady(self.table.admin, slot),
            steady(self.table.health, slot),
            steady(self.table.server, slot),
        )

    def backend(self, proxy: Proxy) -> Iterator[Observed]:
        """The servers of one backend, in the order of the file, each read when it is asked for."""
        for server in proxy.servers:
            yield self.server(proxy, server)
