"""resolverd is killed at any write about added servers of a label: its successor leaves no rest."""

from __future__ import annotations

import pytest

from resolverd.config import MemberNews, Nameserver, ResolutionSettings, ResolversSection
from resolverd.core import Core
from resolverd.dns.answer import Answer, QueryType, ServiceRecord, Status
from tests.resolverd.test_added_rows import NOW, Answering
from tests.support.dns.resolution import addresses, resolution_settings, servers
from tests.support.dns.resolverd import settings_of
from tests.support.simulation.board import Board, KilledError

LABEL = "_http._tcp.app.test"
SLOTS = 3  # the server of the file has the first
WRITES_MAX = 40  # more than there are


def added(slot: int) -> ResolutionSettings:
    return resolution_settings(servers(1, first_slot=slot), name=LABEL, index=slot)


def said(*targets: str) -> Answer:
    found = (ServiceRecord(each, 80, 1, 0, addresses("127.0.1.1")) for each in targets)
    return Answer(Status.VALID, services=tuple(found))


class World:
    """A core whose servers of a label were added, and its board."""

    def __init__(self) -> None:
        self.board = Board([80] + [0] * (SLOTS - 1), SLOTS)
        self.now_ms = NOW
        self.start()

    def start(self) -> None:
        self.asker = Answering()
        section = ResolversSection("r1", (Nameserver("ns1", "127.0.0.1"),))
        settings = settings_of(section, resolution_settings(servers(1)))
        self.core = Core(settings, self.board, {"r1": self.asker}, lambda *_: None, self.now_ms)
        self.core.follow_members(MemberNews([], [added(1), added(2)]), self.now_ms)

    def answer(self, label: Answer) -> None:
        """A run of each name."""
        self.now_ms += 10_000
        self.core.serve_deadlines(self.now_ms)
        while self.asker.open:
            key, question = self.asker.open.pop()
            asked = question.query_type
            host = Answer(Status.VALID, addresses("127.0.1.1"))
            answer = label if asked is QueryType.SRV else host
            self.core.answered(key, "ns1", asked, answer, self.now_ms)

    def told(self) -> list[tuple[str, bool]]:
        """The target of each added server, and whether it has a port."""
        slots = range(1, SLOTS)
        return [(self.board.target(x).name, self.board.slot(x).port != 0) for x in slots]


@pytest.mark.parametrize("writes", range(WRITES_MAX))
def test_a_server_has_the_name_of_a_target_with_its_port_alone(writes: int) -> None:
    world = World()
    world.answer(said("one.test"))
    world.answer(said("two.test", "one.test"))
    world.board.writes_left = writes
    try:
        world.answer(said("two.test"))
        world.answer(said("three.test"))
    except KilledError:
        world.board.succeed()
        world.start()
    assert all(bool(name) == has_port for name, has_port in world.told())
    world.board.succeed()
    world.answer(said("three.test", "four.test"))
    world.answer(said("three.test", "four.test"))
    assert sorted(world.told()) == [("four.test", True), ("three.test", True)]


def test_no_answer_is_awaited_where_a_record_and_a_server_are_there() -> None:
    world = World()
    world.answer(said("one.test"))
    assert world.told() == [("one.test", True), ("", False)]
    world.core.follow_members(MemberNews([1], []), world.now_ms)
    assert world.told()[1] == ("one.test", True)
    world.answer(said("one.test", "two.test"))
    world.core.follow_members(MemberNews([], [added(1)]), world.now_ms)
    assert world.board.target(1).name == "two.test"
