"""What must hold in every simulated world, and the loop that plays histories.

`Judge` looks at each write: no address that no accepted answer brought, none lost before its hold
has passed (that of its family where both are merged), none of the preferred family replaced by one
of the other for a failure that is overlooked, none of either where both are merged. `check_now` looks at the whole after each event: no duplicate that is not allowed, no
growth. `check_peace` compares the slots with the zone after all nameservers have told the truth.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import NamedTuple

from resolverd.answer import Address, Status, query_types
from resolverd.config import Family, ResolvedServer
from resolverd.resolution import Resolution
from resolverd.ruling import hold_ms
from resolverd.transitions import State
from shm.states import Cause, SlotFlag, SlotState
from tests.support_simulation import HOSTS, LABEL, Reply, World

STATUS_OF = {Cause.NX: Status.NX, Cause.REFUSED: Status.REFUSED, Cause.TIMEOUT: Status.TIMEOUT,
             Cause.OTHER: Status.OTHER}  # fmt: skip
Source = tuple[str, bool]  # a name and whether its families are merged
EVENTS = 9  # of one history, before peace
BOTH = (Family.IPV4, Family.IPV6)
SETTLE_MS = 400  # longer than all retries of a run
HISTORIES_PER_WORLD = 5


def host_of(address: str) -> str:
    """The host that owns this address of the universe, whatever was said of it."""
    parsed = Address.parse(address)
    return HOSTS[parsed.packed[2 if parsed.family == Family.IPV4 else 14]]


class Pending(NamedTuple):
    """Half of the answer of a merged run that goes on."""

    resolution: Resolution
    former_run_ms: int
    reply: Reply
    when_ms: int

    def of(self, other: Pending) -> bool:
        """Whether both are of one run."""
        return self[:2] == other[:2]


class Judge:
    """Follows what was accepted, and judges each write by it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.said: set[str] = set()  # addresses of any answer that was handed to the core
        self.family_valid_ms: dict[tuple[Source, Family], int] = {}  # of the last valid answer
        self.seen_ms: dict[tuple[bool, str], int] = {}  # of one that the core has lived through
        self.service_seen_ms: dict[tuple[str, int], int] = {}
        self.additional_ms: dict[tuple[str, int], int] = {}
        self.services_said: set[tuple[str, int]] = set()
        self.confirmed_ms: dict[Source, int] = {}
        self.pending: list[Pending] = []
        self.merged_keys: set[int] = set()
        self.merging = {
            s.slot for s in world.servers if s.all_families and len(world.settings.families) > 1
        }
        self.blurred = False  # a kill or an order may have given two servers one address
        self.label_slots = {
            s.slot for each in world.settings.resolutions if each.name == LABEL
            for s in each.servers
        }  # fmt: skip
        self.home = {s.slot: e.name for e in world.settings.resolutions for s in e.servers}
        world.board.judge = self.written

    def accepted(self, reply: Reply, done: bool) -> None:
        """A reply is handed to the core; `done` when that is over and it lives."""
        answer, now_ms = reply.answer, self.world.now_ms
        hosts = list(answer.addresses)
        for service in answer.services:
            hosts += service.addresses
        texts = [address.text for address in hosts]
        keys = [(service.target, service.port) for service in answer.services]
        if not done:
            self.said.update(texts)
            self.services_said.update(keys)
        elif answer.status is Status.VALID:
            merges = reply.key in self.merged_keys
            if merges and reply.key in self.world.core.names:
                resolution = self.world.core.names[reply.key].resolution
                if resolution.state is not State.IDLE:
                    self.count_pending()
                    half = Pending(resolution, resolution.last_run_ms, reply, now_ms)
                    kind = reply.question.query_type
                    if kind not in [
                        e.reply.question.query_type for e in self.pending if e.of(half)
                    ]:
                        self.pending.append(half)  # the first answer of a type stands
                    return
            self.count(reply, now_ms, merges=merges)
        if not done:
            names = self.world.core.names
            self.merged_keys = {key for key in names if names[key].resolution.merges}

    def count(self, reply: Reply, when_ms: int, *, merges: bool) -> None:
        """A valid answer has become part of what the core knows, and its successors."""
        answer, name = reply.answer, reply.question.name
        self.confirmed_ms[name, merges] = when_ms
        keys = [(service.target, service.port) for service in answer.services]
        self.service_seen_ms.update(dict.fromkeys(keys, when_ms))
        with_addresses = [(s.target, s.port) for s in answer.services if s.addresses]
        self.additional_ms.update(dict.fromkeys(with_addresses, when_ms))
        if name != LABEL:
            self.seen_ms.update({(merges, each.text): when_ms for each in answer.addresses})
            self.family_valid_ms[(name, merges), answer.addresses[0].family] = when_ms

    def count_pending(self) -> None:
        """Count the answers of runs that have ended; those of a resolverd that died are void."""
        names = self.world.core.names
        alive = [names[key].resolution for key in names]
        pending, self.pending = self.pending, []
        for half in pending:
            if half.resolution not in alive:
                continue
            if half.resolution.last_run_ms != half.former_run_ms:
                self.count(half.reply, half.when_ms, merges=True)
            else:
                self.pending.append(half)

    def written(self, slot: int, before: SlotState, after: SlotState) -> None:
        """A slot record is another one."""
        name = self.world.board.targets[slot].name or self.home[slot]
        if after.address is not None and after.address != before.address:
            assert after.address in self.said, "an address out of nowhere"
            assert host_of(after.address) == name, "an address of another host"
            assert after.port != 0
        if slot in self.label_slots and after.port != 0:
            assert (name, after.port) in self.services_said, "a record out of nowhere"
        if after.address is None:
            assert after.flags & 0x20, "no address and no maintenance"
        if before.address is None or before.address == after.address:
            return
        if after.address is None and after.cause in STATUS_OF:
            since_ms = self.additional_ms.get((name, before.port), 0) if after.port else 0
            source = (name, slot in self.merging) if after.port else (LABEL, False)
            family = Address.parse(before.address).family
            valid_ms = self.confirmed_ms.get(source, 0)
            if source[1]:
                valid_ms = self.family_valid_ms.get((source, family), 0)
            self.lost_by_error(source, Cause(after.cause), max(since_ms, valid_ms))
        elif after.cause == Cause.REMOVED:
            self.lost_record(name, before.port)
        elif slot not in self.label_slots and host_of(before.address) == name:
            families = {Address.parse(a).family for a in (before.address, after.address) if a}
            if slot not in self.merging or len(families) == 1:  # else a grace may have ended too
                self.lost_address(slot, before.address)
            if after.address is not None and slot not in self.world.orders:
                self.changed_family(slot, name, before.address, after.address)

    def lost_by_error(self, source: Source, cause: Cause, since_ms: int) -> None:
        hold = hold_ms(self.world.section.holds, STATUS_OF[cause])
        assert since_ms + hold <= self.world.now_ms, f"{source}: a hold was shortened"

    def lost_record(self, target: str, port: int) -> None:
        seen_ms = self.service_seen_ms.get((target, port), 0)
        assert seen_ms + self.obsolete_ms < self.world.now_ms, f"{target}: removed too early"

    def lost_address(self, slot: int, address: str) -> None:
        if not self.blurred:
            seen_ms = self.seen_ms.get((slot in self.merging, address), 0)
            assert seen_ms + self.obsolete_ms < self.world.now_ms, "obsolete too early"

    def changed_family(self, slot: int, name: str, before: str, after: str) -> None:
        """Only a statement, or the end of a hold, leads from the preferred family to the other.

        Where both are merged that holds for either.
        """
        family = Address.parse(before).family
        kind = query_types(family, BOTH)[0]
        preferred = self.world.settings.resolutions[0].preferred
        if Address.parse(after).family == family:
            return
        if family != preferred and slot not in self.merging:
            return
        heard = self.world.asked.heard[self.world.core.names.feeding(slot)[0]]
        said = {status for about, status in heard if about is kind} or {Status.TIMEOUT}
        if Status.NODATA not in said and Status.VALID not in said:
            hold = min(hold_ms(self.world.section.holds, status) for status in said)
            valid_ms = self.family_valid_ms.get(((name, slot in self.merging), family), 0)
            assert valid_ms + hold <= self.world.now_ms, f"{name}: {said} changed the family"

    @property
    def obsolete_ms(self) -> int:
        return self.world.section.holds.obsolete_ms


def check_now(world: World, judge: Judge) -> None:
    """What holds at any moment between two events."""
    judge.count_pending()
    held = set()
    for server in world.servers:
        slot, target = world.board.slots[server.slot], world.board.targets[server.slot].name
        what: tuple[object, ...] | None = None
        if server.slot in judge.label_slots:
            if target and slot.port:
                what = (server.backend_index, target, slot.port)
                assert (target, slot.port) in judge.services_said, "a pair out of nowhere"
                assert slot.address is None or host_of(slot.address) == target
        elif slot.address and not server.allow_dup_ip and not target and not judge.blurred:
            what = (server.backend_index, slot.address)
        if what is not None:
            assert what not in held, f"twice: {what}"
            held.add(what)
    assert len(world.core.names) <= len(world.settings.resolutions) + len(world.servers)
    assert len(world.core._schedule._heap) <= 64 + 2 * len(world.core.names)
    assert len(world.core._places["r"]) <= 2 * len(world.core.names)


def addresses_of(world: World, host: str, *, merges: bool) -> set[str]:
    """What a name resolves to in the end: the preferred family, the other where it has none.

    Where both are merged it is all there is.
    """
    preferred = world.settings.resolutions[0].preferred
    found: set[str] = set()
    for kind in query_types(preferred, world.settings.families):
        if merges or not found:
            found |= {address.text for address in world.hosts[host, kind]}
    return found


def check_peace(world: World, judge: Judge) -> None:
    """What the slots must hold when all nameservers have told the truth for long enough."""
    pools: dict[tuple[int, str], list[ResolvedServer]] = defaultdict(list)
    for server in world.servers:
        if server.slot not in judge.label_slots:
            name = world.orders.get(server.slot) or judge.home[server.slot]
            pools[server.backend_index, name].append(server)
    for (_, name), servers in pools.items():
        check_pool(world, name, servers)
    backends: dict[int, list[ResolvedServer]] = defaultdict(list)
    for server in world.servers:
        if server.slot in judge.label_slots:
            backends[server.backend_index].append(server)
    for servers in backends.values():
        check_service(world, servers)


def check_pool(world: World, name: str, servers: list[ResolvedServer]) -> None:
    wanted = addresses_of(world, name, merges=servers[0].all_families)
    held = [world.board.slots[server.slot].address for server in servers]
    there = [address for address in held if address is not None]
    assert set(there) <= wanted, f"{name}: {held} but {wanted}"
    if servers[0].allow_dup_ip:
        assert len(there) == len(held)
    else:
        assert len(there) == len(set(there)) == min(len(held), len(wanted)), f"{name}: {held}"


def check_service(world: World, servers: list[ResolvedServer]) -> None:
    wanted = {(service.target, service.port): service for service in world.services}
    light = servers[0].rfc_weight or not any(service.weight for service in world.services)
    attached = set()
    backups = set()
    for server in servers:
        slot, target = world.board.slots[server.slot], world.board.targets[server.slot].name
        if not target:
            assert slot.address is None
            continue
        service = wanted[target, slot.port]
        attached.add((target, slot.port))
        if slot.flags & SlotFlag.BACKUP:
            backups.add((target, slot.port))
        weight = max(1 if light else 0, (service.weight + 255) // 256)
        assert slot.weight == (-1 if server.ignore_weight else weight)
        accepted = [a for a in service.addresses if a.family in world.settings.families]
        others = addresses_of(world, target, merges=server.all_families)
        where = {a.text for a in accepted} or others
        assert slot.address in where, f"{target}:{slot.port} at {slot.address}, not in {where}"
    assert len(attached) == min(len(servers), len(wanted)), f"{attached} of {set(wanted)}"
    first = min(wanted[key].priority for key in attached)
    later = {key for key in attached if wanted[key].priority > first}
    assert backups == (later if servers[0].srv_priority else set()), f"{backups} of {attached}"


def converge(world: World, judge: Judge) -> None:
    """Peace, until every name has been resolved since and nothing is on its way."""
    world.make_peace()
    names = world.core.names
    if any(names[key].resolution.state is not State.IDLE for key in names):
        while world.next_event_ms() <= world.now_ms + SETTLE_MS:
            world.step(judge.accepted)
    world.pass_holds()
    started_ms = world.now_ms
    until_ms = started_ms + SETTLE_MS
    for _ in range(4):
        while world.next_event_ms() <= until_ms:
            world.step(judge.accepted)
        if all(names[key].resolution.last_valid_ms >= started_ms for key in names):
            break
        until_ms += world.section.timeout_resolve_ms
    check_now(world, judge)
    check_peace(world, judge)
    world.peace = judge.blurred = False


def play(seed: int) -> int:
    """Some histories in one world; how many. What it raises has the seed in a note."""
    chance = random.Random(seed)
    world = World(chance)
    judge = Judge(world)
    try:
        for _ in range(HISTORIES_PER_WORLD):
            for _ in range(chance.randrange(1, EVENTS)):
                if chance.random() < 0.3:
                    judge.blurred = True
                    world.disturb()
                else:
                    world.step(judge.accepted)
                check_now(world, judge)
            converge(world, judge)
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
    return HISTORIES_PER_WORLD
