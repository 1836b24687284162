"""Rows of state files out of the segment: what a server is now, and where a lost one was.

Owns the rule which addresses are kept: one that *errors* took away stays in the file, so that a
start during the same outage still knows it; one that a valid answer took away is gone. Reads any
record, writes none. Must not know files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from resolverd.config import StateServer
from resolverd.dns.answer import Status
from resolverd.state_file.format import StateRow
from shm import standing
from shm.counters import CounterReader
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.states import AdminState, Cause, HealthState, Operational, ServerState, SlotState

T = TypeVar("T")

CHECK_STATUS_INITIAL = 1  # no check has ended yet
# REMOVED is what a failed label says of its servers, too: the end of the run tells these apart
LOST_BY_ERROR = (Cause.NX, Cause.TIMEOUT, Cause.REFUSED, Cause.OTHER, Cause.REMOVED)
TRIES_MAX = 16  # of reading a record that its writer keeps changing


class Place(NamedTuple):
    """Where a server is or was: what an error must not erase."""

    address: str
    port: int
    fqdn: str | None
    weight: int


class Records(NamedTuple):
    """All that the segment says of one server."""

    slot: SlotState
    admin: AdminState
    health: HealthState
    state: ServerState
    target: str
    order: str


class Line(NamedTuple):
    """One server as it goes into a file."""

    row: StateRow
    changed_ms: int  # when its state last changed, CLOCK_MONOTONIC
    bare: StateRow  # without the place that an error took from it; the same row if none did


def remembered(
    former: Place | None, row: StateRow, slot: SlotState, *, answered: bool
) -> Place | None:
    """Where the server is to be found after a start without answers.

    `answered`: the last run for its name or label ended with a valid answer, which did not give
    this server any address.
    """
    if row.address is not None:
        return Place(row.address, row.port, row.fqdn, row.weight)
    if former is None or slot.cause not in LOST_BY_ERROR:
        return None
    if row.service is None or row.fqdn is None:
        return None if answered else former
    # Fed by a record still: what failed is the record's target, if that is the same one.
    return former if row.fqdn == former.fqdn else None


def with_place(row: StateRow, place: Place | None) -> StateRow:
    """The row with the place that its server had."""
    if place is None or row.address is not None:
        return row
    return msgspec.structs.replace(
        row, address=place.address, port=place.port, fqdn=place.fqdn, weight=place.weight
    )


def row_of(server: StateServer, records: Records) -> StateRow:
    """One server's row, much as `show servers state` has it.

    A check under way is not mentioned. Where the operator has set another port, the row has what
    the slot itself has: a start could not tell that port from one that was configured before.
    """
    slot, admin, health, state = records[:4]
    if slot.address is not None and state.port != slot.port:
        state = state._replace(address=slot.address, port=slot.port)
    checked = server.checked
    named = server.fqdn is not None or server.service is not None or records.order != ""
    lacking = standing.lacks_address(slot, state, named=named)
    maint = state.maint or lacking
    said = standing.statement(slot, health, checked=checked)
    fqdn, service = standing.names_of(server.fqdn, server.service, records.target, records.order)
    idle = health._replace(check_state=0)
    return StateRow(
        backend_id=server.backend_id,
        backend=server.backend_name,
        server_id=server.id,
        server=server.name,
        address=state.address,
        operational=int(Operational.STOPPED) if maint else state.operational,
        admin=standing.admin_mask(admin, slot, disabled=server.disabled, lacking=lacking),
        weight=state.weight,
        configured_weight=server.weight,
        check_status=(health.status if checked else 0) or CHECK_STATUS_INITIAL,
        check_result=health.result if checked else 0,
        check_health=standing.check_health(said, state, server.rise, maint=maint),
        check_state=standing.check_state(
            idle,
            checked=checked,
            disabled=server.disabled,
            maint=maint,
            check_off=state.check_off,
        ),
        backend_id_given=int(server.backend_id_given),
        server_id_given=int(server.id_given),
        fqdn=fqdn,
        port=standing.port_of(slot, state, server.port, service=service is not None),
        service=service,
        check_port=server.check_port,
        check_address=server.check_address,
        agent_address=server.check_address,  # `addr` and `port` mean both
        agent_port=server.check_port,
    )


class RowReader:
    """Reads rows; remembers the place of each server between two looks."""

    def __init__(self, segment: Segment, former: Mapping[int, StateRow]) -> None:
        """`former` is what the file said, by slot: places lost before this process began."""
        self._table = SlotTableReader(segment)
        self._names = NameReader(segment)
        self._counters = CounterReader(segment)
        self._created_ms = segment.created_ms
        self._places: dict[int, Place | None] = {
            slot: Place(row.address, row.port, row.fqdn, row.weight)
            for slot, row in former.items()
            if row.address is not None
        }

    def read(self, server: StateServer) -> Line:
        """One server's line; raises BlockingIOError when its records do not hold still."""
        slot = server.slot
        named = server.resolution_index is not None or server.addressed
        records = Records(
            steady(self._table.slot, slot),
            steady(self._table.admin, slot),
            steady(self._table.health, slot),
            steady(self._table.server, slot),
            steady(self._names.target, slot).name if named else "",
            steady(self._names.order, slot).name if named else "",
        )
        row = row_of(server, records)
        place = remembered(
            self._places.get(slot), row, records.slot, answered=self._answered(server)
        )
        self._places[slot] = place
        said = standing.statement(records.slot, records.health, checked=server.checked)
        changed_ms = standing.last_change_ms(records.slot, records.admin, said, self._created_ms)
        return Line(with_place(row, place), changed_ms, bare=row)

    def _answered(self, server: StateServer) -> bool:
        index = server.resolution_index
        return index is not None and self._counters.resolution(index)["status"] == Status.VALID


def steady(read: Callable[[int], T], slot: int) -> T:
    """Read a record that may change meanwhile; raises BlockingIOError after many tries."""
    for _ in range(TRIES_MAX - 1):
        try:
            return read(slot)
        except BlockingIOError:
            continue
    return read(slot)


class Doubles:
    """Forgets the places of lost servers that another server of the same backend has by now.

    Line by line: first `note` for all lines, then `settled` for each in the same order.
    """

    def __init__(self) -> None:
        """No place is taken."""
        self._taken: set[tuple[str, str | None, int]] = set()

    def note(self, line: Line) -> None:
        """A server that is not lost has its place."""
        if line.row is line.bare:
            self._taken.add(_place_key(line.row))

    def settled(self, line: Line) -> Line:
        """The line, without a place that is another's."""
        if line.row is line.bare:
            return line
        key = _place_key(line.row)
        if key in self._taken:
            return line._replace(row=line.bare)
        self._taken.add(key)
        return line


def _place_key(row: StateRow) -> tuple[str, str | None, int]:
    return row.backend, row.address, row.port
