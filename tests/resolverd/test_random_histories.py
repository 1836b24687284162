"""Resolution and assignment together against random nameservers; the seed is printed on failure.

Each history is a few simulated minutes: nameservers answer, err, lag or stay silent at random, the
zone changes, connects fail. After every step the properties of `Checker` must hold, and once the
nameservers are well again the slots must hold exactly what the zone says.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from resolverd.assignment.hosts import AddressChange, Assignment
from resolverd.config import Family, Holds, ResolvedServer, ResolversSection
from resolverd.dns.answer import Address, Answer, QueryType, Status, query_types
from resolverd.resolution.actions import Action, Ask, Finished
from resolverd.resolution.hold_rules import hold_ms, rule
from resolverd.resolution.resolution import Resolution, Trigger
from resolverd.resolution.transitions import State
from tests.support.dns.resolution import BOTH, resolution_settings, section, servers
from tests.support.generated import sample

ANY = Family.NONE  # whichever family was answered
HISTORIES = sample(280, full=50_000)
ZONE = {
    QueryType.A: [Address(Family.IPV4, bytes((127, 0, 1, n))) for n in range(1, 8)],
    QueryType.AAAA: [Address(Family.IPV6, bytes(15) + bytes((n,))) for n in range(1, 4)],
}
ERRORS = [status for status in Status if status not in (Status.VALID, Status.TIMEOUT)]


@dataclass(order=True)
class Reply:
    due_ms: int
    order: int
    nameserver: str = field(compare=False)
    query_type: QueryType = field(compare=False)
    answer: Answer = field(compare=False)


class World:
    """One name, its nameservers and its servers, driven by one random generator."""

    def __init__(self, generator: random.Random) -> None:
        self.random = generator
        self.section = self._section()
        self.servers = self._servers()
        families = generator.choice([BOTH, BOTH, BOTH, (Family.IPV4,), (Family.IPV6,)])
        preferred = generator.choice([Family.IPV4, Family.IPV6])
        settings = resolution_settings(self.servers, preferred)
        self.types = query_types(preferred, families)
        self.now_ms = generator.randrange(1, 10_000)
        self.resolution = Resolution(settings, self.section, families, self.now_ms)
        self.assignment = Assignment(self.servers, preferred, self.section.holds, {})
        self.zone: dict[QueryType, list[Address]] = {QueryType.A: [], QueryType.AAAA: []}
        self.change_zone()
        self.replies: list[Reply] = []
        self.sick = 0.5  # the part of questions that is not answered well
        self.accepted: dict[Address, int] = {}  # every address ever accepted: when last
        self.valid_ms = dict.fromkeys((*BOTH, ANY), self.now_ms)
        self.due_ms = dict(self.valid_ms)  # when the next answer was, after that
        self.kicked_ms: int | None = None  # the run that goes on began then, for a failed connect

    def _section(self) -> ResolversSection:
        choose = self.random.choice
        holds = Holds(*[choose([0, 500, 2_000, 10_000, 30_000]) for _ in range(6)])
        plain = section(
            *["ns1", "ns2", "ns3"][: self.random.randrange(1, 4)],
            retries=choose([1, 2, 3]),
            resolve_ms=choose([200, 1_000, 5_000]),
            retry_ms=choose([300, 1_000]),
        )
        return ResolversSection(
            name=plain.name,
            nameservers=plain.nameservers,
            resolve_retries=plain.resolve_retries,
            timeout_resolve_ms=plain.timeout_resolve_ms,
            timeout_retry_ms=plain.timeout_retry_ms,
            holds=holds,
        )

    def _servers(self) -> tuple[ResolvedServer, ...]:
        first = servers(self.random.randrange(1, 6))
        if self.random.random() < 0.3:
            return first + servers(self.random.randrange(1, 4), 1, len(first))
        return first

    def change_zone(self) -> None:
        for query_type, known in ZONE.items():
            self.zone[query_type] = self.random.sample(known, self.random.randrange(len(known)))

    def step(self) -> None:
        """Go to the next thing that happens: a reply, a deadline, a failed connect."""
        self.now_ms += self.random.randrange(0, 50)
        next_reply = min(self.replies, default=None)
        if next_reply is not None and next_reply.due_ms < self.resolution.deadline_ms:
            self.replies.remove(next_reply)
            self.now_ms = max(self.now_ms, next_reply.due_ms)
            if self.resolution.state is not State.IDLE:
                arguments = (next_reply.nameserver, next_reply.query_type, next_reply.answer)
                self.perform(self.resolution.reply(*arguments, self.now_ms))
        elif self.sick and self.random.random() < 0.1:
            kind = self.random.choice(list(Trigger))
            began = self.now_ms - self.random.randrange(5_000)
            if self.resolution.trigger(kind, began, self.now_ms):
                self.kicked_ms = self.now_ms
                self.perform(self.resolution.tick(self.now_ms))
        else:
            self.now_ms = max(self.now_ms, self.resolution.deadline_ms)
            if self.resolution.state is State.IDLE:
                self.kicked_ms = None
            self.perform(self.resolution.tick(self.now_ms))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask):
                self.ask(action.question.query_type)
            elif isinstance(action, Finished):
                self.replies.clear()
                self.finish(action)

    def ask(self, query_type: QueryType) -> None:
        for order, nameserver in enumerate(self.section.nameservers):
            if self.random.random() >= self.sick:
                found = tuple(self.zone[query_type])
                answer = Answer(Status.VALID, found) if found else Answer(Status.NODATA)
            elif self.random.random() < 0.3:
                self.resolution.unsent(nameserver.name, query_type)
                continue
            elif self.random.random() < 0.5:
                continue
            else:
                answer = Answer(self.random.choice(ERRORS))
            lag = self.random.choice([0, 5, 80, 1_500]) if self.sick else 5
            due = self.now_ms + lag
            self.replies.append(Reply(due, order, nameserver.name, query_type, answer))

    def finish(self, finished: Finished) -> None:
        before, known = dict(self.assignment.slots), set(self.assignment.records)
        self.note(finished)
        holds, leases = self.section.holds, self.resolution.leases
        if finished.status is Status.VALID:
            self.accepted |= dict.fromkeys(finished.addresses, self.now_ms)
            since_ms = {
                each.family: leases.family_since_ms(each.family, hold_ms(holds, each.status))
                for each in finished.outcomes
            }
            known_now = self.assignment.records
            ruling = rule(
                finished.outcomes,
                known_now,
                holds,
                since_ms,
                self.now_ms,
                cut_ms=leases.cut_ms(holds),
            )
            changes = self.assignment.heard(ruling, self.now_ms)
        else:
            grace_ms = leases.since_ms(hold_ms(holds, finished.status))
            changes = self.assignment.failed(finished.status, grace_ms, self.now_ms)
        Checker(self, known).check(finished, before, changes)

    def note(self, finished: Finished) -> None:
        """Who is answered now, and of whom a failed connect has told that an answer is overdue."""
        valid = {each.family for each in finished.outcomes if each.status is Status.VALID}
        period_ms, holds = self.section.timeout_resolve_ms, self.section.holds
        named = (holds.nx_ms, holds.refused_ms, holds.timeout_ms, holds.other_ms)
        for family in (*{each.family for each in finished.outcomes}, ANY):
            if family in valid or (family is ANY and valid):
                self.valid_ms[family] = self.now_ms
                self.due_ms[family] = self.now_ms + period_ms
            elif self.kicked_ms is not None:
                longest_ms = max((each for each in named if each <= period_ms), default=0)
                early_ms = max(self.kicked_ms, self.valid_ms[family] + longest_ms)
                self.due_ms[family] = min(self.due_ms[family], early_ms)

    def grace_ends_ms(self, family: Family, status: Status) -> int:
        """Until when such a failure is overlooked."""
        hold, valid_ms = hold_ms(self.section.holds, status), self.valid_ms[family]
        counts_from_due = 0 < hold <= self.section.timeout_resolve_ms
        return (self.due_ms[family] if counts_from_due else valid_ms) + hold


class Checker:
    """What must hold after every run, whatever happened before."""

    def __init__(self, world: World, known: set[Address]) -> None:
        self.world = world
        self.known = known  # the records before the run
        self.slots = world.assignment.slots

    def check(
        self, finished: Finished, before: dict[int, Address | None], changes: list[AddressChange]
    ) -> None:
        self.changes_tell_the_difference(before, changes)
        self.no_address_twice_in_a_backend()
        assert {a for a in self.slots.values() if a} <= set(self.world.accepted)
        if finished.status is Status.VALID and self.preferred_is_protected(finished):
            self.family_is_kept(finished, before)
        elif finished.status is Status.VALID:
            self.valid_answers_are_followed(finished.addresses, before)
        else:
            self.holds_are_kept(finished.status, before)

    def preferred_is_protected(self, finished: Finished) -> bool:
        """Whether the preferred family has failed just now, and its records stay for a while."""
        first = finished.outcomes[0]
        if first.status in (Status.VALID, Status.NODATA):
            return False
        return self.world.grace_ends_ms(first.family, first.status) > self.world.now_ms

    def family_is_kept(self, finished: Finished, before: dict[int, Address | None]) -> None:
        preferred = finished.outcomes[0].family
        for slot, address in before.items():
            if address and address.family == preferred:
                assert self.slots[slot] == address, "a failure of its family moved a server"
        if not any(address.family == preferred for address in self.known):
            self.valid_answers_are_followed(finished.addresses, before)

    def changes_tell_the_difference(
        self, before: dict[int, Address | None], changes: list[AddressChange]
    ) -> None:
        told = dict(before)
        for change in changes:
            assert told[change.server.slot] == change.before != change.after
            told[change.server.slot] = change.after
        assert told == self.slots

    def no_address_twice_in_a_backend(self) -> None:
        held = [
            (server.backend_index, self.slots[server.slot])
            for server in self.world.servers
            if self.slots[server.slot]
        ]
        assert len(held) == len(set(held))

    def valid_answers_are_followed(
        self, answer: tuple[Address, ...], before: dict[int, Address | None]
    ) -> None:
        world = self.world
        obsolete = world.section.holds.obsolete_ms
        for slot, address in self.slots.items():
            if address:
                assert world.accepted[address] + obsolete >= world.now_ms
            if before[slot] in answer:
                assert address == before[slot], "a server with a live record was moved"
        for backend in {server.backend_index for server in world.servers}:
            slots = [s.slot for s in world.servers if s.backend_index == backend]
            held = {self.slots[slot] for slot in slots}
            if None in held:
                assert set(answer) <= held, "a slot is empty and a record is not used"

    def holds_are_kept(self, status: Status, before: dict[int, Address | None]) -> None:
        world = self.world
        if world.now_ms < world.grace_ends_ms(ANY, status):
            assert self.slots == before, "an address was lost within its hold"
        else:
            assert set(self.slots.values()) == {None}


def converge(world: World) -> None:
    """With well nameservers for long enough, the slots are what the zone says."""
    world.sick = 0.0
    holds = world.section.holds
    until = world.now_ms + 40_000 + max(holds.obsolete_ms, holds.nx_ms, holds.other_ms)
    while world.now_ms < until:
        world.step()
    first, *rest = world.types
    expected = set(world.zone[first]) or set(world.zone[rest[0]] if rest else [])
    for backend in {server.backend_index for server in world.servers}:
        slots = [s.slot for s in world.servers if s.backend_index == backend]
        held = {address for slot in slots if (address := world.assignment.slots[slot])}
        assert held <= expected
        assert len(held) == min(len(slots), len(expected))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_random_histories_keep_every_property(part: int, seed: int) -> None:
    for each in range(seed, seed + HISTORIES // 4):
        world = World(random.Random(each))
        try:
            for _ in range(world.random.randrange(20, 80)):
                world.step()
                if world.random.random() < 0.1:
                    world.change_zone()
            converge(world)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
