"""What every write to the board, and the board between two events, must hold in every history.

`Judge` looks at each write: no address that no accepted answer brought, none lost before its hold
has passed, none of the preferred family replaced by one of the other for a failure that is
overlooked. `check_now` looks at the whole after each event: no duplicate, no growth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolverd.config import Family, Holds, ResolversSection
from resolverd.dns.answer import Address, Answer, QueryType, Status, query_types
from shm.states import Cause, SlotState
from tests.support.simulation.zone import HOSTS, LABEL

if TYPE_CHECKING:
    from tests.support.simulation.simulation import World

STATUS_OF = {Cause.NX: Status.NX, Cause.REFUSED: Status.REFUSED, Cause.TIMEOUT: Status.TIMEOUT,
             Cause.OTHER: Status.OTHER}  # fmt: skip
BOTH = (Family.IPV4, Family.IPV6)
RMAINT = 0x20
NEVER_MS = -(1 << 60)
Place = tuple[str, QueryType, bool, bool]  # name, what is asked first, searched, merged
LABEL_PLACE = (LABEL, QueryType.SRV, False, False)


def hold_of(holds: Holds, status: Status) -> int:
    """Which hold the manual names for a failure, milliseconds."""
    named = {
        Status.NX: holds.nx_ms, Status.REFUSED: holds.refused_ms, Status.TIMEOUT: holds.timeout_ms,
    }  # fmt: skip
    return named.get(status, holds.other_ms)


def kept_ms(section: ResolversSection, status: Status) -> tuple[int, int]:
    """For how long after a valid answer such a failure is overlooked, at least and at most.

    A hold no longer than the period counts from when the next answer was due, which is known within
    bounds where TTLs say it; what asks earlier leaves the hold its length twice.
    """
    hold_ms, ttl = hold_of(section.holds, status), section.ttl_period
    period_ms = section.timeout_resolve_ms
    shortest_ms, longest_ms = (period_ms, period_ms) if ttl is None else (ttl.min_ms, ttl.max_ms)
    return (
        2 * hold_ms if hold_ms <= shortest_ms else hold_ms,
        longest_ms + hold_ms if 0 < hold_ms <= longest_ms else hold_ms,
    )


def host_of(address: str) -> str:
    """The host that owns this address of the universe, whatever was said of it."""
    parsed = Address.parse(address)
    return HOSTS[parsed.packed[2 if parsed.family == Family.IPV4 else 14]]


class Judge:
    """Follows what was accepted, and judges each write by it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.changed: dict[int, SlotState] = {}  # what slots were before the present event
        self.touched: set[int] = set()  # slots that became another since the last look
        self.said: set[str] = set()  # addresses of any answer that was handed to the core
        self.services_said: set[tuple[str, int]] = set()
        self.ordered_ms: dict[int, int] = {}  # when an operator last named the slot's name
        # Of answers that the core has lived through:
        self.confirmed_ms: dict[Place, int] = {}
        self.family_valid_ms: dict[tuple[Place, Family], int] = {}
        self.seen_ms: dict[tuple[Place, str], int] = {}  # an address
        self.service_seen_ms: dict[tuple[str, int], int] = {}
        self.additional_ms: dict[tuple[str, int], int] = {}  # a record with addresses
        resolutions = world.settings.resolutions
        self.label_slots = {s.slot for e in resolutions for s in e.servers if e.is_service}
        families = world.settings.families
        self._wants = {
            s.slot: (
                query_types(s.preferred or world.preferred, families)[0],
                e.search,
                s.all_families and len(families) > 1,
            )
            for e in resolutions
            for s in e.servers
        }
        self._backend = {s.slot: s.backend_index for s in world.servers}
        self.home = {s.slot: e.name for e in resolutions for s in e.servers}

    def hears(self, answer: Answer) -> None:
        """An answer is handed to the core."""
        for addresses in (answer.addresses, *[s.addresses for s in answer.services]):
            self.said.update(address.text for address in addresses)
        self.services_said.update((s.target, s.port) for s in answer.services)

    def place(self, slot: int, name: str) -> Place:
        """Which resolution feeds a server from that name."""
        return name, *self._wants[slot]

    def has_settled(self, slot: int, name: str) -> bool:
        """Whether the name has been answered since an operator ordered it for the server."""
        ordered_ms = self.ordered_ms.get(slot)
        return ordered_ms is None or self.confirmed_ms.get(self.place(slot, name), 0) > ordered_ms

    def has_twin(self, slot: int, address: str) -> bool:
        """Whether a server of its backend has its address too: one came back by an order."""
        backend = self._backend[slot]
        return any(
            self.world.board.slot(other).address == address
            for other in self._backend
            if other != slot and self._backend[other] == backend
        )

    def accepted(self, place: Place, answer: Answer) -> None:
        """The core has lived through that answer."""
        if answer.status is not Status.VALID:
            return
        now_ms = self.world.now_ms
        self.confirmed_ms[place] = now_ms
        for service in answer.services:
            key = service.target, service.port
            self.service_seen_ms[key] = now_ms
            if service.addresses:
                self.additional_ms[key] = now_ms
        if answer.addresses:
            self.seen_ms.update({(place, a.text): now_ms for a in answer.addresses})
            self.family_valid_ms[place, answer.addresses[0].family] = now_ms

    def written(self, slot: int, before: SlotState, after: SlotState) -> None:
        """A slot record is another one."""
        self.changed.setdefault(slot, before)
        self.touched.add(slot)
        name = self.world.board.target(slot).name or self.home[slot]
        if after.address is not None and after.address != before.address:
            assert after.address in self.said, "an address out of nowhere"
            assert host_of(after.address) == name, f"an address of {host_of(after.address)}"
            assert after.port != 0
        if slot in self.label_slots and after.port != 0:
            assert (name, after.port) in self.services_said, "a record out of nowhere"
        assert (after.address is None) == bool(after.flags & RMAINT), "address and maintenance"
        if before.address is None or before.address == after.address:
            return
        if after.address is None and after.cause in STATUS_OF:
            place = LABEL_PLACE if after.port == 0 else self.place(slot, name)
            status, valid_ms = STATUS_OF[Cause(after.cause)], self._valid_ms(place, before.address)
            self._kept(valid_ms, status, slot, name if after.port else self.home[slot])
            if after.port:
                self._kept(self.additional_ms.get((name, before.port), 0), status)
        elif after.cause == Cause.REMOVED:
            self._lost_record(name, before.port)
        elif slot not in self.label_slots and host_of(before.address) == name:
            merges = self._wants[slot][-1]
            same = not merges or _same_family(before.address, after.address)
            if same and self.has_settled(slot, name) and not self.has_twin(slot, before.address):
                self._lost_address(self.place(slot, name), before.address)
            if after.address is not None and slot not in self.world.orders:
                self._changed_family(slot, name, before.address, after.address)

    def _kept(self, since_ms: int, status: Status, slot: int = -1, name: str = "") -> None:
        """Such a failure was overlooked; a name that comes and goes may forget what was due."""
        section = self.world.section
        least_ms = hold_of(section.holds, status)
        if self.home.get(slot) == name:
            least_ms = kept_ms(section, status)[0]
        assert since_ms + least_ms <= self.world.now_ms, f"{name}: a hold was shortened"

    def _valid_ms(self, place: Place, address: str) -> int:
        """When the name was last answered, or the family where both are merged."""
        if place[-1]:
            return self.family_valid_ms.get((place, Address.parse(address).family), 0)
        return self.confirmed_ms.get(place, 0)

    def _lost_record(self, target: str, port: int) -> None:
        seen_ms = self.service_seen_ms.get((target, port), NEVER_MS)
        assert seen_ms + self._obsolete_ms < self.world.now_ms, f"{target}: removed too early"

    def _lost_address(self, place: Place, address: str) -> None:
        seen_ms = self.seen_ms.get((place, address), NEVER_MS)
        assert seen_ms + self._obsolete_ms < self.world.now_ms, f"{address}: obsolete too early"

    def _changed_family(self, slot: int, name: str, before: str, after: str) -> None:
        """Only a statement, or the end of a hold, leads from the preferred family to the other.

        Where both are merged that holds for either.
        """
        family, world = Address.parse(before).family, self.world
        if _same_family(before, after):
            return
        if family != world.preferred and not self._wants[slot][-1]:
            return
        status = world.outcome(world.core.names.feeding(slot)[0], query_types(family, BOTH)[0])
        if status not in (Status.NODATA, Status.VALID):
            valid_ms = self.family_valid_ms.get((self.place(slot, name), family), 0)
            # a lost reply is silence, whatever it said, and after silence the other type may answer
            silent_ms, said_ms = (
                kept_ms(world.section, each)[0] for each in (Status.TIMEOUT, status)
            )
            self._kept(valid_ms, Status.TIMEOUT if silent_ms < said_ms else status, slot, name)

    @property
    def _obsolete_ms(self) -> int:
        return self.world.section.holds.obsolete_ms


def _same_family(address: str, other: str | None) -> bool:
    return other is None or (":" in address) == (":" in other)


def check_now(world: World) -> None:
    """What holds at any moment between two events."""
    held, judge, board = set(), world.judge, world.board
    for server in world.servers:
        slot, target = board.slot(server.slot), board.target(server.slot).name
        what: tuple[object, ...] | None = None
        if server.slot in judge.label_slots:
            if target and slot.port:
                what = (server.backend_index, target, slot.port)
                assert (target, slot.port) in judge.services_said, "a pair out of nowhere"
                assert slot.address is None or host_of(slot.address) == target
        elif slot.address and not server.allow_dup_ip:
            name = target or judge.home[server.slot]
            if judge.has_settled(server.slot, name):
                what = (server.backend_index, name, slot.address)
        if what is not None:
            assert what not in held, f"twice: {what}"
            held.add(what)
    names = world.core.names
    assert len(names) <= len(world.settings.resolutions) + len(world.servers)
    assert len(world.core._schedule._heap) <= 64 + 2 * len(names)
    assert len(world.core._run_limits["r"]) <= min(max(2, world.runs_max), 2 * len(names))
