"""Rows of state files from the segment: the present state, and the last address of a lost server.

Owns the rule for lost addresses: one lost by an error stays in the file, so that a start during the
same outage has it; one that a valid answer removed does not. Reads any record, writes none. Knows
no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from resolverd.config import StateServer
from resolverd.dns.answer import Status
from resolverd.state_file.format import StateRow
from resolverd.state_file.server_row import row_of
from shm.agents import AgentReader
from shm.check_orders import AS_CONFIGURED, CheckOrders
from shm.counters import CounterReader
from shm.last_change import last_change_ms
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.standing import Standing
from shm.states import Cause, SlotState
from shm.steady import steady

# REMOVED is also the cause after a failed SRV label: the status of the run distinguishes the two
LOST_BY_ERROR = (Cause.NX, Cause.TIMEOUT, Cause.REFUSED, Cause.OTHER, Cause.REMOVED)


class LastAddress(NamedTuple):
    """The last address of a server and what belongs to it: kept after an error."""

    address: str
    port: int
    fqdn: str | None
    weight: int


class DatedRow(NamedTuple):
    """One server's row with the time of its last change."""

    row: StateRow
    changed_ms: int  # when its state last changed, CLOCK_MONOTONIC
    bare: StateRow  # without a lost address; `row` itself if none was lost


def remembered(
    former: LastAddress | None, row: StateRow, slot: SlotState, *, answered: bool
) -> LastAddress | None:
    """The server's present address, or the one that it lost by an error.

    `answered`: the last run for its name or label ended with a valid answer, which did not give
    this server any address.
    """
    if row.address is not None:
        return LastAddress(row.address, row.port, row.fqdn, row.weight)
    if former is None or slot.cause not in LOST_BY_ERROR:
        return None
    if row.service is None or row.fqdn is None:
        return None if answered else former
    # It still has an SRV record: the failure is of the record's target, if that is the same one.
    return former if row.fqdn == former.fqdn else None


def with_address(row: StateRow, last: LastAddress | None) -> StateRow:
    """The row with the last address of its server, if it has none now."""
    if last is None or row.address is not None:
        return row
    return msgspec.structs.replace(
        row, address=last.address, port=last.port, fqdn=last.fqdn, weight=last.weight
    )


def kept(standing: Standing) -> Standing:
    """What a file keeps of a server: all of `show servers state` with two exceptions.

    CHECK_STATE_IN_PROGRESS is never set. Where the operator has set another port, the row has the
    slot's address and port: a start could not distinguish that port from one configured before.
    """
    slot, state = standing.slot, standing.state
    if slot.address is not None and state.port != slot.port:
        state = state._replace(address=slot.address, port=slot.port)
    return standing._replace(
        health=msgspec.structs.replace(standing.health, check_state=0), state=state
    )


class RowReader:
    """Reads rows; keeps the last address of each server between two readings."""

    def __init__(
        self, segment: Segment, former: Mapping[int, StateRow], orders: CheckOrders | None = None
    ) -> None:
        """`former` are the rows of the file by slot, for addresses lost before this process.

        Without `orders` operators have ordered nothing about checks.
        """
        self._orders = orders
        self._table = SlotTableReader(segment)
        self._agents = AgentReader(segment)
        self._names = NameReader(segment)
        self._counters = CounterReader(segment)
        self._created_ms = segment.created_ms
        self._last: dict[int, LastAddress | None] = {
            slot: LastAddress(row.address, row.port, row.fqdn, row.weight)
            for slot, row in former.items()
            if row.address is not None
        }

    def forget(self, slot: int) -> None:
        """The slot has another server now, or none."""
        self._last.pop(slot, None)

    def read(self, server: StateServer) -> DatedRow:
        """One server's row; raises BlockingIOError when a record changed at each of many tries."""
        standing = self._standing(server)
        row = row_of(server, kept(standing))
        last = self._last.get(server.slot)
        answered = self._answered(server, standing.slot.cause)
        last = remembered(last, row, standing.slot, answered=answered)
        self._last[server.slot] = last
        changed_ms = standing.last_change_ms(self._created_ms)
        return DatedRow(with_address(row, last), changed_ms, bare=row)

    def _standing(self, server: StateServer) -> Standing:
        slot, tracked = server.slot, server.tracked_slot
        named = server.resolution_index is not None or server.addressed
        asked = server.agent_port != 0
        return Standing(
            server.configured,
            steady(self._table.slot, slot),
            steady(self._table.administration, slot),
            steady(self._table.health, slot),
            steady(self._table.server, slot),
            steady(self._names.target, slot).name if named else "",
            steady(self._names.order, slot).name if named else "",
            None if tracked is None else steady(self._table.server, tracked),
            steady(self._agents.said, slot) if asked else None,
            steady(self._agents.orders, slot) if asked else None,
            0 if tracked is None else last_change_ms(self._table, slot),
            AS_CONFIGURED if self._orders is None else self._orders.read(slot),
        )

    def _answered(self, server: StateServer, cause: int) -> bool:
        index = server.resolution_index
        if index is None:  # a name without a record: a failure of one would be told as such
            return cause == Cause.REMOVED
        return bool(self._counters.resolution(index)["status"] == Status.VALID)


class Doubles:
    """Drops lost addresses that another server of the same backend has now.

    Call `note` for all rows first, then `settled` for each in the same order.
    """

    def __init__(self) -> None:
        self._taken: set[tuple[str, str | None, int]] = set()

    def note(self, dated: DatedRow) -> None:
        """Note the address of a server that has not lost it."""
        if dated.row is dated.bare:
            self._taken.add(_address_key(dated.row))

    def settled(self, dated: DatedRow) -> DatedRow:
        """The row without a lost address that another server has."""
        if dated.row is dated.bare:
            return dated
        key = _address_key(dated.row)
        if key in self._taken:
            return dated._replace(row=dated.bare)
        self._taken.add(key)
        return dated


def _address_key(row: StateRow) -> tuple[str, str | None, int]:
    return row.backend, row.address, row.port
