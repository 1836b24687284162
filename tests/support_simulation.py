"""A world without time for the core of resolverd: a board, nameservers and a clock, all from a seed.

The adversary answers late, twice, cut, in another order, not at all, with what was never true, or
cannot be asked; nameservers die and return; the zone changes; connects fail; an operator orders
names; resolverd is killed between any two writes and starts again on the same board. Every write to
the board is judged by `Judge` (support_simulation_rules.py).

A history is a few such events, then peace: `converge` lets all nameservers tell the truth until
nothing is due, and what the slots hold must follow from the zone alone.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from resolverd.answer import Address, Answer, QueryType, Question, Service, Status
from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolutionSettings,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.core import Core
from resolverd.resolution import Trigger
from shm.states import NameState, Operational, ServerState, SlotState

HOSTS = ("a.test", "b.test", "h0.test", "h1.test", "h2.test", "o.test")
LABEL = "_s._tcp.test"
UNIVERSE = {
    (host, kind): tuple(
        Address(Family.IPV4, bytes((127, 1, number, n)))
        if kind is QueryType.A
        else Address(Family.IPV6, bytes(14) + bytes((number, n)))
        for n in range(1, 5)
    )
    for number, host in enumerate(HOSTS)
    for kind in (QueryType.A, QueryType.AAAA)
}
TARGETS = ("a.test", "h0.test", "h1.test", "h2.test")
SERVICES = tuple((target, port) for target in TARGETS for port in (80, 81))
ERRORS = (Status.NX, Status.REFUSED, Status.OTHER, Status.INVALID, Status.CNAME_ERROR)
NODATA = Answer(Status.NODATA)


class KilledError(Exception):
    """resolverd has died in the middle of its writes."""


class Board:
    """The board in plain memory; `writes_left` writes from now it kills who writes."""

    def __init__(self, ports: list[int], resolutions: int) -> None:
        self.slots = [SlotState(0, 0, 0, None, port, -1, 0x20, 0, 0) for port in ports]
        self.targets = [NameState("", 0)] * len(ports)
        self.records = [
            dict.fromkeys(
                ("last_valid_ms", "last_run_ms", "status", "records_seen", "slots_used",
                 "slots_missing", "runs", "triggers", "returns", "ipv4_valid_ms", "ipv6_valid_ms"), 0,
            )
            for _ in range(resolutions)
        ]  # fmt: skip
        self.writes_left = -1
        self.observed: list[tuple[int, int, int, int]] = []
        self.judge: Callable[[int, SlotState, SlotState], None] = lambda *_: None

    def slot(self, slot: int) -> SlotState:
        return self.slots[slot]

    def server(self, slot: int) -> ServerState:
        has = self.slots[slot].address is not None
        return ServerState(0, 0, 1, None, 0, Operational.RUNNING, has, False, not has, False)

    def usable(self, backend: int) -> tuple[int, int]:
        return sum(slot.address is not None for slot in self.slots), 0

    def sessions(self, slot: int) -> int:
        return 0

    def target(self, slot: int) -> NameState:
        return self.targets[slot]

    def resolution(self, index: int) -> dict[str, int]:
        return dict(self.records[index])

    def publish(
        self,
        slot: int,
        address: str | None,
        port: int,
        *,
        weight: int,
        cause: int,
        flags: int,
        now_ms: int,
    ) -> bool:
        self._write()
        before = self.slots[slot]
        after = SlotState(0, 0, 0, address, port, weight, flags, cause, 0)
        if before == after:
            return False
        self.slots[slot] = after
        self.judge(slot, before, after)
        return True

    def publish_target(self, slot: int, name: str, stamp_ms: int) -> None:
        self._write()
        self.targets[slot] = NameState(name, stamp_ms)

    def record(self, index: int, **fields: int) -> None:
        self._write()
        self.records[index].update(fields)

    def count(self, nameserver: int, counter: str, amount: int = 1) -> None:
        assert amount > 0

    def observe(self, section: int, which: int, bucket: int, milliseconds: int) -> None:
        assert milliseconds >= 0
        self.observed.append((section, which, bucket, milliseconds))

    def _write(self) -> None:
        if self.writes_left == 0:
            raise KilledError
        self.writes_left -= 1


class Reply(NamedTuple):
    """An answer on its way; earlier ones arrive first."""

    due_ms: int
    order: int
    key: int
    nameserver: str
    question: Question
    answer: Answer


class Nameservers:
    """The nameservers of the world as the core asks them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._order = 0
        self.open: dict[int, set[int]] = {}  # key -> attempts that may be answered
        self.replies: list[Reply] = []
        self.heard: dict[int, list[tuple[QueryType, Status]]] = {}  # key -> in its last run

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        world, unsent = self._world, []
        if key not in self.open:
            self.heard[key] = []
        attempts = self.open.setdefault(key, set())
        assert len(attempts) <= 30, "attempts without bound"
        for name in world.nameservers:
            self._order += 1
            fate = world.fate(name)
            if fate == "unsent":
                unsent.append(name)
                continue
            attempts.add(self._order)
            if fate == "silent":
                continue
            answer, late_ms = world.answer(question, fate)
            reply = Reply(now_ms + late_ms, self._order, key, name, question, answer)
            heapq.heappush(self.replies, reply)
            if fate == "twice":
                heapq.heappush(self.replies, reply._replace(due_ms=reply.due_ms + 1))
        return unsent

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        assert nameservers

    def close_run(self, key: int) -> None:
        self.open.pop(key, None)


def make_servers(
    chance: random.Random, backend: int, first_slot: int, port: int, merges: bool
) -> list[ResolvedServer]:
    """One to three servers of one backend, all with the same words."""
    networks = chance.choice(((), (), (), ("127.1.0.0/30", "::1:0/127")))
    plain = ResolvedServer(
        first_slot, backend, f"be{backend}", "s", port, 1,
        allow_dup_ip=chance.random() < 0.2,
        ignore_weight=chance.random() < 0.2,
        srv_priority=chance.random() < 0.5,
        rfc_weight=chance.random() < 0.2,
        all_families=merges,
        networks=networks,
    )  # fmt: skip
    return [
        msgspec.structs.replace(plain, slot=first_slot + number, server_name=f"s{number}")
        for number in range(chance.randrange(1, 4))
    ]


class World:
    """Everything outside the core, and the core itself. `judge` is set by its maker."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now_ms = chance.randrange(1, 10_000)
        self.nameservers = ("n1", "n2", "n3")[: chance.randrange(1, 4)]
        self.dead: set[str] = set()
        self.runs_max = chance.choice((1, 2, 256))
        self.peace = False
        self.settings = self._settings()
        self.section = self.settings.sections[0]
        self.servers = [s for each in self.settings.resolutions for s in each.servers]
        self.board = Board([s.port for s in self.servers], len(self.settings.resolutions))
        self.hosts: dict[tuple[str, QueryType], tuple[Address, ...]] = {}
        self.services: tuple[Service, ...] = ()
        self.orders: dict[int, str] = {}
        for host in HOSTS:
            self.change_host(host)
        self.change_services()
        self.asked = Nameservers(self)
        self.restart()

    def _settings(self) -> ResolverdSettings:
        choose = self.chance.choice
        holds = Holds(*[choose((0, 500, 2_000, 10_000)) for _ in range(6)])
        section = ResolversSection(
            "r",
            tuple(Nameserver(name, "127.0.0.1") for name in self.nameservers),
            resolve_retries=choose((1, 2, 3)),
            timeout_resolve_ms=choose((1_500, 5_000)),
            timeout_retry_ms=choose((100, 300)),
            holds=holds,
        )
        preferred = choose((Family.IPV4, Family.IPV6))
        resolutions: list[ResolutionSettings] = []
        slots = 0
        for index, name in enumerate(("a.test", "b.test", LABEL)):
            port, merges = 0 if name == LABEL else 8080, self.chance.random() < 0.3
            servers = make_servers(self.chance, len(resolutions), slots, port, merges)
            if name != "b.test" and self.chance.random() < 0.3:  # a second backend
                servers += make_servers(self.chance, 3 + index, slots + len(servers), port, merges)
            slots += len(servers)
            words = {"all_families": merges and name != LABEL}
            resolutions.append(
                ResolutionSettings(index, "r", name, preferred, tuple(servers), **words)
            )
        families = choose(((Family.IPV4, Family.IPV6), (Family.IPV4, Family.IPV6), (Family.IPV4,)))
        return ResolverdSettings((section,), tuple(resolutions), families)

    # What is true, and what nameservers make of it.

    def change_host(self, host: str) -> None:
        for kind in (QueryType.A, QueryType.AAAA):
            known = UNIVERSE[host, kind]
            self.hosts[host, kind] = tuple(self.chance.sample(known, self.chance.randrange(4)))
        if not self.hosts[host, QueryType.A]:
            self.hosts[host, QueryType.A] = UNIVERSE[host, QueryType.A][:1]

    def change_services(self) -> None:
        self.services = self.some_services(self.chance.randrange(1, 6))

    def some_services(self, count: int) -> tuple[Service, ...]:
        chance = self.chance
        with_addresses = chance.random() < 0.5
        return tuple(
            Service(
                target, port, chance.choice((0, 0, 1, 256, 257, 65_535)), chance.choice((0, 10, 20)),
                self.hosts[target, QueryType.A] if with_addresses else (),
            )
            for target, port in chance.sample(SERVICES, count)
        )  # fmt: skip

    def fate(self, nameserver: str) -> str:
        if self.peace:
            return "true"
        if nameserver in self.dead:
            return "silent"
        return self.chance.choice(
            ("true", "true", "true", "other", "cut", "error", "silent", "twice", "unsent", "empty")
        )

    def answer(self, question: Question, fate: str) -> tuple[Answer, int]:
        """The answer, and after how many milliseconds it comes."""
        late_ms = 5 if self.peace else self.chance.choice((0, 5, 5, 50, 400))
        if fate == "error":
            return Answer(self.chance.choice(ERRORS)), late_ms
        if fate == "empty":
            return NODATA, late_ms
        if question.query_type is QueryType.SRV:
            services = self.services
            if fate in ("other", "cut"):
                services = self.some_services(self.chance.randrange(1, 4))
            return Answer(Status.VALID, services=services, partial=fate == "cut"), late_ms
        found = self.hosts[question.name, question.query_type]
        if fate in ("other", "cut"):
            universe = UNIVERSE[question.name, question.query_type]
            found = tuple(self.chance.sample(universe, self.chance.randrange(1, 4)))
        if fate == "cut":
            return Answer(Status.TRUNCATED, found, partial=True), late_ms
        return (Answer(Status.VALID, found) if found else NODATA), late_ms

    # What happens.

    def restart(self) -> None:
        """A resolverd is started on what the board says."""
        self.board.writes_left = -1
        self.asked.open.clear()
        askers = {"r": self.asked}
        self.core = Core(
            self.settings,
            self.board,
            askers,
            lambda *_: None,
            self.now_ms,
            runs_max=self.runs_max,
        )
        for slot, name in self.orders.items():
            self.core.ordered(slot, name, self.now_ms)

    def perform(self, work: Callable[[], None]) -> bool:
        """Let the core do something; False if it was killed by that and has been replaced."""
        try:
            work()
        except KilledError:
            self.restart()
            return False
        return True

    def next_event_ms(self) -> int:
        deadline_ms = self.core.next_deadline_ms()
        assert deadline_ms is not None
        replies = self.asked.replies
        return min(deadline_ms, replies[0].due_ms) if replies else deadline_ms

    def step(self, accepted: Callable[[Reply, bool], None]) -> None:
        """Go to the next reply or deadline. `accepted` hears of replies, before and after."""
        replies, core = self.asked.replies, self.core
        deadline_ms = core.next_deadline_ms()
        assert deadline_ms is not None
        if replies and replies[0].due_ms <= deadline_ms:
            reply = heapq.heappop(replies)
            self.now_ms = max(self.now_ms, reply.due_ms)
            attempts = self.asked.open.get(reply.key, ())
            if reply.order not in attempts:
                return  # a second one, or of a run that has ended: the transport keeps it off
            self.asked.open[reply.key].discard(reply.order)
            accepted(reply, False)
            kind = reply.question.query_type
            self.asked.heard[reply.key].append((kind, reply.answer.status))
            if self.perform(
                lambda: core.answered(reply.key, reply.nameserver, kind, reply.answer, self.now_ms)
            ):
                accepted(reply, True)
            return
        self.now_ms = max(self.now_ms, deadline_ms)
        self.perform(lambda: core.serve_deadlines(self.now_ms))

    def disturb(self) -> None:
        """One thing of those that nobody expects."""
        chance, core = self.chance, self.core
        what = chance.randrange(8)
        if what == 0:
            self.board.writes_left = chance.randrange(1, 12)
        elif what == 1:
            self.restart()
        elif what == 2:
            self.dead = set(chance.sample(self.nameservers, chance.randrange(2)))
        elif what == 3:
            self.change_services()
        elif what in (4, 5):
            self.change_host(chance.choice(HOSTS))
        elif what == 6:
            slot = chance.randrange(len(self.servers))
            kind, began_ms = chance.choice(list(Trigger)), self.now_ms - chance.randrange(500)
            self.perform(lambda: core.connect_failed(slot, kind, began_ms, self.now_ms))
        else:
            slot = chance.randrange(len(self.servers))
            name = chance.choice(("", "o.test", "b.test"))
            self.orders[slot] = name
            self.perform(lambda: core.ordered(slot, name, self.now_ms))

    def make_peace(self) -> None:
        """All tell the truth from now on; what was on its way is lost."""
        self.peace = True
        self.dead.clear()
        self.board.writes_left = -1
        self.asked.replies.clear()

    def pass_holds(self) -> None:
        """Let the clock run until nothing that was said before counts any more."""
        holds = self.section.holds
        self.now_ms += 1 + max(
            holds.obsolete_ms, holds.nx_ms, holds.refused_ms, holds.timeout_ms, holds.other_ms,
            self.section.timeout_resolve_ms,
        )  # fmt: skip
