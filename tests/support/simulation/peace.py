"""What the slots hold once all nameservers tell the truth, and the loop that plays histories.

A history is a few events, then peace: every name is right within its period and the retries of
the run that was under way, and when nothing that was said before counts any more, the slots follow
from the zone alone. A restart then changes nothing.
"""

from __future__ import annotations

import random
from collections import defaultdict

from resolverd.config import Family, ResolvedServer
from resolverd.dns.answer import query_types
from shm.states import SlotFlag
from tests.support.simulation.rules import check_now
from tests.support.simulation.simulation import World

EVENTS = 9  # of one history, before peace
ROUND_MS = 30  # for a question and its answer in peace, and those of targets that follow
SLICES = 6  # of that time: the state is judged after each
RECOVER_PART = 0.15  # of the histories are looked at from the first moment of the peace on
RESTART_PART = 0.15  # end with a restart in peace
STORM_PART = 0.04  # with connects that fail, one after the other, with such pauses
PAUSES_MS = (100, 700, 1_100, 2_100)
HISTORIES_PER_WORLD = 5


def addresses_of(world: World, host: str, preferred: Family, *, merges: bool) -> set[str]:
    """What a name resolves to in the end: the preferred family, the other where it has none.

    Where both are merged it is all there is.
    """
    found: set[str] = set()
    for kind in query_types(preferred, world.settings.families):
        if merges or not found:
            found |= {address.text for address in world.zone.hosts[host, kind]}
    return found


def check_peace(world: World) -> None:
    """What the slots must hold when all nameservers have told the truth for long enough."""
    judge = world.judge
    pools: dict[tuple[int, str], list[ResolvedServer]] = defaultdict(list)
    backends: dict[int, list[ResolvedServer]] = defaultdict(list)
    for server in world.servers:
        if server.slot in judge.label_slots:
            backends[server.backend_index].append(server)
        else:
            name = world.orders.get(server.slot) or judge.home[server.slot]
            pools[server.backend_index, name].append(server)
    for (_, name), servers in pools.items():
        check_pool(world, name, servers)
    for servers in backends.values():
        check_service(world, servers)


def check_pool(world: World, name: str, servers: list[ResolvedServer]) -> None:
    wanted = addresses_of(world, name, world.preferred, merges=servers[0].all_families)
    held = [world.board.slot(server.slot).address for server in servers]
    there = [address for address in held if address is not None]
    assert set(there) <= wanted, f"{name}: {held} but {wanted}"
    if servers[0].allow_dup_ip:
        assert len(there) == len(held)
    else:
        assert len(there) == len(set(there)) == min(len(held), len(wanted)), f"{name}: {held}"


def check_service(world: World, servers: list[ResolvedServer]) -> None:
    wanted = {(service.target, service.port): service for service in world.zone.services}
    light = servers[0].rfc_weight or not any(service.weight for service in world.zone.services)
    attached = set()
    backups = set()
    for server in servers:
        slot, target = world.board.slot(server.slot), world.board.target(server.slot).name
        if not target:
            assert slot.address is None
            continue
        service = wanted[target, slot.port]
        attached.add((target, slot.port))
        if slot.flags & SlotFlag.BACKUP:
            backups.add((target, slot.port))
        weight = max(1 if light else 0, (service.weight + 255) // 256)
        assert slot.weight == (-1 if server.ignore_weight else weight)
        preferred = world.preferred if server.preferred is Family.NONE else server.preferred
        accepted = [a for a in service.addresses if a.family in world.settings.families]
        others = addresses_of(world, target, preferred, merges=server.all_families)
        where = {a.text for a in accepted} or others
        assert slot.address in where, f"{target}:{slot.port} at {slot.address}, not in {where}"
    assert len(attached) == min(len(servers), len(wanted)), f"{attached} of {set(wanted)}"
    first = min(wanted[key].priority for key in attached)
    later = {key for key in attached if wanted[key].priority > first}
    assert backups == (later if servers[0].srv_priority else set()), f"{backups} of {attached}"


def pass_time(world: World, milliseconds: int) -> None:
    """Let everything happen that is due until then."""
    until_ms = world.now_ms + milliseconds
    while world.next_event_ms() <= until_ms:
        world.step()
    world.now_ms = max(world.now_ms, until_ms)


def period_of(world: World) -> int:
    """The longest time between two runs of a name, milliseconds."""
    ttl = world.section.ttl_period
    return world.section.timeout_resolve_ms if ttl is None else ttl.max_ms


def rest_of(world: World) -> int:
    """How long runs that have been asked in vain may still take, milliseconds."""
    # names need two places at most, and those that fail have half of them
    section, turns = world.section, -(-4 * len(world.core.names) // world.runs_max)
    return turns * (2 * section.resolve_retries * section.timeout_retry_ms + ROUND_MS)


def finish_runs(world: World) -> None:
    """Let the runs end that go on."""
    until_ms = world.now_ms + rest_of(world)
    while world.asked.open and world.next_event_ms() <= until_ms:
        world.step()


def recover(world: World) -> None:
    """Every name is answered within the rest of its run and one period, with few places later."""
    since_ms = world.now_ms
    limit_ms = rest_of(world) + period_of(world)
    for _ in range(SLICES):
        pass_time(world, limit_ms // SLICES)
        if all(world.confirmed_ms(key) >= since_ms for key in world.core.names):
            break
    assert not world.pace.overdue(rest_of(world)), "names are not asked any more"
    late = [
        world.core.names.peek(key).settings.name
        for key in world.core.names
        if world.confirmed_ms(key) < since_ms and world.pace.known_ms(key) <= since_ms
    ]
    assert not late, f"{late} are not right, {world.now_ms - since_ms} ms after the peace"


def restart_in_peace(world: World) -> None:
    """A successor has nothing to learn: it asks, and changes nothing."""
    slots = [world.board.slot(server.slot) for server in world.servers]
    names = [world.board.target(server.slot).name for server in world.servers]
    world.judge.touched.clear()
    world.restart()
    pass_time(world, ROUND_MS * (1 + 2 * len(world.core.names) // world.runs_max))
    assert slots == [world.board.slot(server.slot) for server in world.servers]
    assert names == [world.board.target(server.slot).name for server in world.servers]
    assert not world.judge.touched, "a successor wrote what was true already"


def settle(world: World) -> None:
    """Until every name has been resolved after all holds; a successor's holds are later."""
    restarts = -1
    while restarts != world.restarts:
        restarts = world.restarts
        world.pass_holds()
        started_ms = world.now_ms
        for wait_ms in (ROUND_MS, ROUND_MS, period_of(world), period_of(world)):
            pass_time(world, wait_ms * (1 + 2 * len(world.core.names) // world.runs_max))
            if all(world.confirmed_ms(key) >= started_ms for key in world.core.names):
                break


def converge(world: World) -> None:
    """Peace, until every name has been resolved since and nothing is on its way."""
    world.make_peace()
    if world.chance.random() < RECOVER_PART:
        recover(world)
    else:
        finish_runs(world)
    settle(world)
    check_now(world)
    check_peace(world)
    if world.chance.random() < RESTART_PART:
        restart_in_peace(world)
    if world.chance.random() < STORM_PART:
        slot = world.chance.randrange(len(world.servers))
        world.fail_often(slot, [world.chance.choice(PAUSES_MS) for _ in range(8)])
    world.peace = False


def play_world(world: World, histories: int = HISTORIES_PER_WORLD) -> None:
    """Some histories in one world."""
    chance = world.chance
    for _ in range(histories):
        for _ in range(chance.randrange(1, EVENTS)):
            if chance.random() < 0.3:
                world.disturb()
            else:
                world.step()
            check_now(world)
        converge(world)


def play(seed: int) -> int:
    """One world; how many histories. What it raises has the seed in a note."""
    try:
        play_world(World(random.Random(seed)))
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
    return HISTORIES_PER_WORLD
