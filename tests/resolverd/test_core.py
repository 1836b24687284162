"""The core with a fake clock and no sockets: which name is asked when, what feeds what, what is logged."""

from __future__ import annotations

import msgspec
import pytest

from resolverd.config import (
    NO_ROW,
    Holds,
    Nameserver,
    ResolutionSettings,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.core import Core
from resolverd.dns.answer import Answer, QueryType, Question, ServiceRecord, Status
from resolverd.resolution.resolution import Trigger
from shm.states import Cause
from tests.support.dns.resolution import addresses, resolution_settings, servers
from tests.support.dns.resolverd import IPV4_ONLY
from tests.support.dns.unrepeated import Unrepeated
from tests.support.simulation.board import Board

LABEL = "_web._tcp.app.test"
ONE, TWO, THREE = "127.0.1.1", "127.0.1.2", "127.0.1.3"


class Asked(Unrepeated):
    """Notes what is asked; nothing is answered by itself."""

    def __init__(self) -> None:
        self.questions: list[tuple[int, Question]] = []
        self.closed: list[int] = []

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        self.questions.append((key, question))
        return []

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        assert nameservers

    def close_run(self, key: int) -> None:
        self.closed.append(key)


def section(name: str = "r1", resolve_ms: int = 60_000, **holds: int) -> ResolversSection:
    return ResolversSection(
        name,
        (Nameserver("ns1", "127.0.0.1"),),
        resolve_retries=1,
        timeout_resolve_ms=resolve_ms,
        holds=msgspec.structs.replace(Holds(), **holds),
    )


class World:
    """A core, its board and what it asked and logged; the clock is moved by hand."""

    def __init__(
        self, *resolutions: ResolutionSettings, of: tuple[ResolversSection, ...] = ()
    ) -> None:
        self.settings = ResolverdSettings(of or (section(),), resolutions, IPV4_ONLY)
        of_servers = sorted(
            (server for each in resolutions for server in each.servers), key=lambda s: s.slot
        )
        self.board = Board([server.port for server in of_servers], len(resolutions))
        self.asked = {each.name: Asked() for each in self.settings.sections}
        self.log: list[str] = []
        self.now_ms = 1_000
        self.start()

    def start(self) -> None:
        self.core = Core(
            self.settings,
            self.board,
            dict(self.asked),
            lambda level, text: self.log.append(f"<{level}> {text}"),
            self.now_ms,
        )
        self.run(0)

    def run(self, milliseconds: int) -> None:
        """Let the clock run; deadlines are served at their time."""
        end_ms = self.now_ms + milliseconds
        while (deadline_ms := self.core.next_deadline_ms()) is not None and deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, deadline_ms)
            self.core.serve_deadlines(self.now_ms)
        self.now_ms = end_ms

    def answer(self, key: int, *texts: str) -> None:
        answer = Answer(Status.VALID, addresses(*texts))
        self.core.answered(key, "ns1", QueryType.A, answer, self.now_ms)
        self.run(0)

    def fail(self, key: int, status: Status) -> None:
        """A whole run, which has a single try."""
        self.core.answered(key, "ns1", QueryType.A, Answer(status), self.now_ms)
        self.run(1_000)

    def answer_label(self, key: int, *services: ServiceRecord) -> None:
        answer = Answer(Status.VALID, services=services)
        self.core.answered(key, "ns1", QueryType.SRV, answer, self.now_ms)
        self.run(0)

    def trigger(self, slot: int, kind: Trigger = Trigger.CONNECT_TIMEOUT) -> None:
        self.core.connect_failed(slot, kind, self.now_ms, self.now_ms)
        self.run(0)

    @property
    def addresses(self) -> list[str | None]:
        return [slot.address for slot in self.board.slots]

    @property
    def names(self) -> list[str]:
        return [question.name for asked in self.asked.values() for _, question in asked.questions]


def label(of_servers: tuple[ResolvedServer, ...], index: int = 0) -> ResolutionSettings:
    plain = tuple(msgspec.structs.replace(each, port=0) for each in of_servers)
    return resolution_settings(plain, name=LABEL, index=index)


def test_256_runs_of_a_section_begin_at_once_and_the_others_follow() -> None:
    world = World(
        *[
            resolution_settings(servers(1, index, index), name=f"n{index}.test", index=index)
            for index in range(300)
        ]
    )
    assert len(world.names) == 256
    for key in range(44):
        world.answer(key, ONE)
    assert len(world.names) == 300
    world.run(1_000)  # one try each: silence ends the runs
    assert world.core.next_deadline_ms() == 61_000


@pytest.mark.parametrize("first", [True, False])
def test_a_good_name_is_asked_on_time_beside_many_that_get_no_answer(first: bool) -> None:
    """At the start, and where those that were good until now get no answer: 18 s of places."""
    count, period_ms = 1_500, 2_000
    tries = msgspec.structs.replace(section("r1", period_ms), resolve_retries=3)
    world = World(
        *[
            resolution_settings(servers(1, index, index), name=f"n{index}.test", index=index)
            for index in range(count)
        ],
        of=(tries,),
    )
    for key in range(1 if first else count):
        world.answer(key, ONE)
    for _ in range(3):
        asked = world.names.count("n0.test")
        world.run(period_ms)
        assert world.names.count("n0.test") == asked + 1
        world.answer(0, ONE)
    assert len(set(world.names)) == count


def test_sections_do_not_wait_for_one_another() -> None:
    one, other = section("r1"), section("r2")
    settings = [
        ResolutionSettings(
            index, "r1" if index < 300 else "r2", f"n{index}.test", 4, servers(1, index, index)
        )
        for index in range(301)
    ]
    world = World(*settings, of=(one, other))
    assert len(world.asked["r1"].questions) == 256
    assert len(world.asked["r2"].questions) == 1


def test_the_same_name_in_two_sections_is_two_resolutions() -> None:
    first = resolution_settings(servers(1), index=0)
    second = msgspec.structs.replace(resolution_settings(servers(1, 1, 1), index=1), section="r2")
    world = World(first, second, of=(section("r1"), section("r2")))
    world.answer(0, ONE)
    world.answer(1, TWO)
    assert world.addresses == [ONE, TWO]


def test_a_triggered_name_goes_before_those_that_are_due() -> None:
    count = 300
    world = World(
        *[
            resolution_settings(servers(1, index, index), name=f"n{index}.test", index=index)
            for index in range(count)
        ]
    )
    for key in range(count):
        world.answer(key, ONE)
    world.run(59_999)
    world.asked["r1"].questions.clear()
    world.now_ms += 1
    world.run(0)
    assert len(world.names) == 256
    waiting = sorted({f"n{index}.test" for index in range(count)} - set(world.names))
    urgent = int(waiting[-1][1:-5])
    world.trigger(urgent)
    world.answer(int(world.names[0][1:-5]), ONE)
    assert world.names[-1] == waiting[-1]


def test_a_connect_that_failed_asks_for_everything_that_feeds_the_slot() -> None:
    world = World(label(servers(2)))
    world.answer_label(0, ServiceRecord("h1.test", 80, 1))
    world.answer(1, ONE)
    world.run(100)
    assert world.names == [LABEL, "h1.test"]
    world.trigger(1)  # free: the label may have a record for it
    assert world.names == [LABEL, "h1.test", LABEL]
    world.answer_label(0, ServiceRecord("h1.test", 80, 1))
    world.run(5_000)
    world.trigger(0)
    assert world.names[3:] == [LABEL, "h1.test"]
    world.answer_label(0, ServiceRecord("h1.test", 80, 1, 0, addresses(TWO)))
    assert world.addresses == [TWO, None]
    assert world.asked["r1"].closed[-1] == 1, "the target is needed no longer"


def test_a_target_that_is_known_already_gives_its_address_at_once() -> None:
    world = World(resolution_settings(servers(1), name="h1.test"), label(servers(3, 1, 1), index=1))
    world.answer(0, ONE)
    world.answer_label(1, ServiceRecord("h1.test", 80, 1), ServiceRecord("h1.test", 81, 1))
    assert world.addresses == [ONE, ONE, ONE, None]
    assert world.names == ["h1.test", LABEL]


def test_all_who_need_a_target_share_one_resolution_until_the_last_has_gone() -> None:
    world = World(label(servers(2)), label(servers(1, 1, 2), index=1))
    same = ServiceRecord("h1.test", 80, 1)
    world.answer_label(0, same)
    world.answer_label(1, same)
    assert world.names.count("h1.test") == 1
    world.answer(2, ONE)
    assert world.addresses == [ONE, None, ONE]
    world.run(60_000)
    world.answer_label(0, ServiceRecord("h2.test", 80, 1))
    assert 2 in world.core.names
    world.answer_label(1, ServiceRecord("h2.test", 80, 1))
    assert 2 not in world.core.names
    assert len(world.core.names) == 3


def test_a_server_that_joins_a_failing_name_has_its_own_grace() -> None:
    world = World(
        resolution_settings(servers(1), name="h1.test"),
        label(servers(1, 1, 1), index=1),
        of=(section(nx_ms=10_000),),
    )
    with_address = ServiceRecord("h1.test", 80, 1, 0, addresses(TWO))
    world.answer(0, ONE)
    world.answer_label(1, with_address)
    world.run(60_000)
    world.answer_label(1, with_address)
    world.fail(0, Status.NX)
    assert world.addresses == [ONE, TWO], "an answer was due only now"
    world.run(59_000)
    world.answer_label(1, with_address)
    world.run(1_000)
    world.fail(0, Status.NX)
    assert world.addresses == [None, TWO]
    world.run(58_000)
    world.answer_label(1, ServiceRecord("h1.test", 80, 1))
    world.run(2_000)
    world.fail(0, Status.NX)
    assert world.addresses == [None, TWO]
    world.run(60_000)
    world.fail(0, Status.NX)
    assert world.addresses == [None, None]


def test_triggers_that_bring_nothing_new_back_off_up_to_hold_valid() -> None:
    world = World(resolution_settings(servers(1)), of=(section(valid_ms=5_000),))
    world.answer(0, ONE)
    started: list[int] = []
    for _ in range(200):
        world.run(100)
        world.trigger(0)
        if len(world.names) > 1 + len(started):
            started.append(world.now_ms - 1_000)
            world.answer(0, ONE)
    assert started == [100, 1_100, 3_100, 7_100, 12_100, 17_100]
    world.run(5_000)
    world.trigger(0)
    world.answer(0, TWO)  # news: the next trigger counts at once
    world.run(1)
    world.trigger(0)
    assert len(world.names) == len(started) + 3


def test_surplus_records_are_said_once_for_each_change() -> None:
    world = World(resolution_settings(servers(2)), of=(section(resolve_ms=1_000),))
    for texts in ((ONE,), (ONE, TWO, THREE), (THREE, TWO, ONE), (ONE, TWO)):
        world.answer(0, *texts)
        world.run(1_000)
    assert [line for line in world.log if "records" in line] == [
        "<5> 1 of 3 records of 'app.test' have no server.",
        "<5> All records of 'app.test' have a server again.",
    ]
    record = world.board.resolution(0)
    assert (record["records_seen"], record["slots_used"], record["slots_missing"]) == (2, 2, 0)


def test_the_first_server_is_told_by_the_nameserver_and_the_others_by_the_cache() -> None:
    world = World(resolution_settings(servers(2)))
    world.answer(0, ONE, TWO)
    assert [line for line in world.log if "IP changed" in line] == [
        f"<5> be0/s1: IP changed from '(none)' to '{ONE}' by 'r1/ns1'.",
        f"<5> be0/s2: IP changed from '(none)' to '{TWO}' by 'DNS cache'.",
    ]


def test_an_order_that_is_no_name_changes_nothing_but_the_log() -> None:
    world = World(resolution_settings(servers(1)))
    world.answer(0, ONE)
    world.core.ordered(0, "no..name", world.now_ms)
    world.run(0)
    assert world.addresses == [ONE]
    assert world.names == ["app.test"]
    assert world.log[-1] == "<4> 'no..name' is no name that could be resolved."


def test_an_order_for_a_server_of_a_label_is_not_followed() -> None:
    world = World(label(servers(1)))
    world.core.ordered(0, "other.test", world.now_ms)
    world.run(0)
    assert world.names == [LABEL]


def test_a_successor_follows_an_order_and_what_took_it_back() -> None:
    world = World(resolution_settings(servers(2)))
    world.answer(0, ONE, TWO)
    world.core.ordered(1, "other.test", world.now_ms)
    world.run(0)
    world.answer(1, THREE)
    assert world.addresses == [ONE, THREE]
    world.start()
    assert world.names[-2:] == ["app.test", "other.test"]
    world.core.ordered(1, "", world.now_ms)
    world.answer(0, ONE, TWO)
    assert world.addresses == [ONE, TWO]
    assert world.board.target(1).name == ""


def test_an_order_feeds_a_server_that_has_an_address_and_a_successor_goes_on() -> None:
    world = World(resolution_settings(servers(1)))
    [other] = servers(1)
    home = resolution_settings((msgspec.structs.replace(other, slot=1),), name="", index=NO_ROW)
    world.settings = msgspec.structs.replace(world.settings, addressed=(home,))
    world.board = Board([80, 80], 1)
    world.board.publish(1, ONE, 80, weight=-1, cause=Cause.CONFIGURED, flags=0, now_ms=1)
    world.start()
    world.answer(0, TWO)
    assert world.names == ["app.test"] * 2, "nobody ordered a name"
    world.core.ordered(1, "other.test", world.now_ms)
    world.run(0)
    assert (world.addresses, world.names[-1]) == ([TWO, ONE], "other.test")
    world.answer(1, THREE)
    assert world.addresses == [TWO, THREE]
    world.start()
    assert world.names[-2:] == ["app.test", "other.test"]
    assert world.addresses == [TWO, THREE]


def test_only_the_next_run_comes_early() -> None:
    world = World(resolution_settings(servers(1)))
    world.core = Core(
        world.settings,
        world.board,
        dict(world.asked),
        lambda *_: None,
        world.now_ms,
        early_ms=lambda period_ms: period_ms // 10,
    )
    world.run(0)
    world.run(1_000)  # silence for `timeout retry`: the run has failed
    assert world.core.next_deadline_ms() == 2_000 + 54_000
    world.run(54_000)
    world.answer(0, ONE)
    assert world.core.next_deadline_ms() == world.now_ms + 54_000


def test_a_target_that_looks_like_a_label_is_a_host_all_the_same() -> None:
    world = World(label(servers(1)))
    world.answer_label(0, ServiceRecord("_h1.test", 80, 1))
    assert world.asked["r1"].questions[-1] == (1, Question("_h1.test", QueryType.A))
    world.answer(1, ONE)
    assert world.addresses == [ONE]


def test_an_order_means_the_name_however_it_is_written() -> None:
    world = World(resolution_settings(servers(1)))
    world.core.ordered(0, "Other.Test.", world.now_ms)
    world.run(0)
    assert world.names[-1] == world.board.target(0).name == "other.test"
