"""Servers come and go at run time: their names have one record each, in the row of one of them."""

from __future__ import annotations

import msgspec

from resolverd.config import MemberNews, Nameserver, ResolutionSettings, ResolversSection
from resolverd.core import Core
from resolverd.dns.answer import Answer, QueryType, Question, Status
from tests.support.dns.resolution import addresses, resolution_settings, servers
from tests.support.dns.resolverd import settings_of
from tests.support.dns.unrepeated import Unrepeated
from tests.support.simulation.board import Board

SLOTS = 4  # the server of the file has the first; each has the row of its number
OWN = "own.test"
NOW = 1_000


class Answering(Unrepeated):
    """Nameservers with one answer for everything."""

    def __init__(self) -> None:
        self.open: list[tuple[int, Question]] = []

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        self.open.append((key, question))
        return []

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        raise AssertionError(f"{key} was answered")

    def close_run(self, key: int) -> None:
        pass


def added(slot: int, name: str = OWN) -> ResolutionSettings:
    settings = resolution_settings(servers(1, first_slot=slot), name=name, index=slot)
    [server] = settings.servers
    alike = msgspec.structs.replace(server, allow_dup_ip=True)
    return msgspec.structs.replace(settings, servers=(alike,))


class Changing:
    """A core with one server of the file, and its board."""

    def __init__(self) -> None:
        self.board = Board([80] * SLOTS, SLOTS)
        self.asker = Answering()
        self.section = ResolversSection("r1", (Nameserver("ns1", "127.0.0.1"),))
        self.start()

    def start(self) -> None:
        self.core = Core(
            settings_of(self.section, resolution_settings(servers(1))),
            self.board,
            {"r1": self.asker},
            lambda level, text: None,
            NOW,
        )
        self.run()

    def run(self) -> None:
        """Let the runs that are due begin, and end."""
        self.core.serve_deadlines(NOW)
        while self.asker.open:
            key, question = self.asker.open.pop()
            answer = Answer(Status.VALID, addresses("127.0.1.1"))
            assert question.query_type is QueryType.A
            self.core.answered(key, "ns1", QueryType.A, answer, NOW)

    def come(self, *names: ResolutionSettings) -> None:
        self.core.follow_members(MemberNews([], list(names)), NOW)
        self.run()

    def go(self, slot: int) -> None:
        self.core.follow_members(MemberNews([slot], []), NOW)
        self.run()

    def rows(self) -> list[int]:
        """Those with a record, beside that of the file."""
        return [row for row in range(1, SLOTS) if any(self.board.records[row].values())]


def test_the_record_moves_when_its_server_goes() -> None:
    world = Changing()
    world.come(added(1), added(2))
    assert world.rows() == [1]
    record = dict(world.board.records[1])
    assert (record["runs"], record["slots_used"], record["status"]) == (1, 2, Status.VALID)
    world.go(1)
    assert (world.rows(), world.board.records[2]) == ([2], record)
    world.come(added(1), added(3, "third.test"))
    assert world.rows() == [2, 3]
    world.go(1)
    assert world.rows() == [2, 3]
    world.go(2)
    assert world.rows() == [3]
    world.go(3)
    assert world.rows() == []


def test_an_order_takes_the_name_away_and_gives_it_back() -> None:
    world = Changing()
    world.come(added(1))
    world.core.ordered(1, "other.test", NOW)
    world.run()
    assert world.rows() == []
    world.core.ordered(1, "", NOW)
    world.run()
    assert world.rows() == [1]


def test_a_name_of_the_files_keeps_its_record_until_its_last_server_goes() -> None:
    world = Changing()
    world.come(added(1, "app.test"))
    assert world.rows() == []
    runs = world.board.records[0]["runs"]
    world.go(0)
    assert world.rows() == [1]
    assert world.board.records[1]["runs"] == runs
    assert world.board.records[0]["status"] == 0


def test_a_successor_leaves_one_record_a_name() -> None:
    world = Changing()
    world.come(added(1), added(2))
    world.start()
    world.come(added(2), added(1))
    assert world.rows() == [2]
    assert world.board.records[2]["slots_used"] == 2
