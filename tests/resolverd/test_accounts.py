"""What resolverd tells about names, records and servers: every reason once, and the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec
import pytest

from proxy.control.commands.resolution import record_line
from resolverd.config import NO_ROW, MemberNews, ResolutionSettings, ResolvedServer
from resolverd.dns.answer import Answer, QueryType, ServiceRecord, Status
from resolverd.names.registry import NameRegistry
from resolverd.pace.run_limit import RUNS_MAX
from resolverd.records.schema import Account, Page, QuestionKind, Summary, Why
from resolverd.resolution.resolution import Trigger
from shm.mailbox import MAIL_BYTES, MailQuestion
from tests.resolverd.test_core import LABEL, ONE, THREE, TWO, World, section
from tests.support.dns.resolution import addresses, resolution_settings, servers

T = TypeVar("T")
OUTSIDE = "192.0.2.1"


def ask(
    world: World, rows: type[T], kind: int, *, key: int = 0, cursor: int = 0, text: str = ""
) -> Page[T]:
    question = MailQuestion(1, kind, key, cursor, text)
    encoded = world.core.accounts.page(question, world.now_ms, MAIL_BYTES)
    assert len(encoded) <= MAIL_BYTES
    return msgspec.json.decode(encoded, type=Page[rows])  # type: ignore[valid-type]


def about(world: World, name: str = "app.test") -> Account:
    page = ask(world, Account, QuestionKind.NAME, text=name)
    assert (len(page.rows), page.cursor) == (1, -1)
    return page.rows[0]


def summary(world: World, key: int = 0) -> Summary:
    return ask(world, Summary, QuestionKind.NAMES, cursor=key).rows[0]


def reasons(world: World, name: str = "app.test") -> list[tuple[Why, int | None]]:
    return [(each.why, each.left_ms) for each in about(world, name).servers]


def label_of(*of: ResolvedServer) -> ResolutionSettings:
    return msgspec.structs.replace(resolution_settings(of), name=LABEL)


def test_before_the_first_answer() -> None:
    world = World(resolution_settings(servers(1)))
    account = about(world)
    assert account.question == "A"
    assert [(each.nameserver, each.status, each.sent) for each in account.replies] == [
        ("ns1", None, True)
    ]
    assert (account.summary.state, account.summary.next_cause) == ("preferred", "answer")
    assert account.summary.last_valid_age_ms is None
    assert reasons(world) == [(Why.NO_ANSWER, None)]


def test_what_the_last_answer_has_and_what_it_has_not() -> None:
    world = World(
        resolution_settings(servers(2)), of=(section(resolve_ms=10_000, obsolete_ms=30_000),)
    )
    world.answer(0, ONE, TWO)
    world.run(10_000)
    world.answer(0, TWO)
    world.run(1_000)
    account = about(world)
    assert [(each.record, each.forgotten_in_ms, each.holders) for each in account.records] == [
        (ONE, 19_000, ["be0/s1"]),
        (TWO, None, ["be0/s2"]),
    ]
    assert reasons(world) == [(Why.OBSOLETE, 19_000), (Why.CONFIRMED, None)]
    reply = account.replies[0]
    assert (reply.status, reply.query_type, reply.records, reply.age_ms) == ("valid", "A", 1, 1_000)
    assert (account.summary.next_in_ms, account.summary.next_cause) == (9_000, "period")
    moves = account.servers[0].moves
    assert [(move.age_ms, move.before, move.after, move.by) for move in moves] == [
        (11_000, None, ONE, "r1/ns1")
    ]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (Status.NX, Why.HOLD_NX),
        (Status.REFUSED, Why.HOLD_REFUSED),
        (Status.TIMEOUT, Why.HOLD_TIMEOUT),
        (Status.OTHER, Why.HOLD_OTHER),
    ],
)
def test_what_lives_on_a_hold_and_what_has_outlived_it(status: Status, why: Why) -> None:
    of = section(
        resolve_ms=10_000, nx_ms=25_000, refused_ms=25_000, timeout_ms=25_000, other_ms=25_000
    )
    world = World(resolution_settings(servers(1)), of=(of,))
    world.answer(0, ONE)
    assert not summary(world).stale
    world.run(10_000)
    if status is not Status.TIMEOUT:
        world.fail(0, status)
    world.run(1_000)
    left_ms = 25_000 - world.now_ms + 1_000
    assert reasons(world) == [(why, left_ms)]
    said = summary(world)
    assert (said.stale, said.dropped_in_ms, said.hold) == (True, left_ms, str(why))
    assert said.status == status.name.lower()
    world.run(40_000)  # in silence, for longer than any hold
    assert reasons(world) == [(Why.EXPIRED, None)]
    assert not summary(world).stale
    assert about(world).servers[0].moves[-1].after is None


def test_records_without_a_server_and_servers_without_a_record() -> None:
    world = World(resolution_settings(servers(1)))
    world.answer(0, ONE, TWO)
    assert about(world).records[1].refused == {"be0": Why.NO_SERVER}
    world = World(resolution_settings(servers(2)))
    world.answer(0, ONE)
    assert reasons(world) == [(Why.CONFIRMED, None), (Why.DUPLICATE, None)]
    both = [msgspec.structs.replace(each, allow_dup_ip=True) for each in servers(2)]
    world = World(resolution_settings(tuple(both)))
    world.answer(0, ONE)
    assert about(world).records[0].holders == ["be0/s1", "be0/s2"]


def test_a_record_that_ranks_behind_and_a_server_that_keeps_one() -> None:
    (server,) = servers(1)
    inside = msgspec.structs.replace(server, networks=("127.0.0.0/8",))
    world = World(resolution_settings((inside,)), of=(section(resolve_ms=10_000),))
    world.answer(0, OUTSIDE, ONE)
    refused = {each.record: each.refused for each in about(world).records}
    assert refused == {OUTSIDE: {"be0": Why.NOT_IN_NETWORK}, ONE: {}}
    world = World(resolution_settings((inside,)), of=(section(resolve_ms=10_000),))
    world.answer(0, OUTSIDE)
    world.run(10_000)
    world.answer(0, OUTSIDE, ONE)
    assert reasons(world) == [(Why.STICKY, None)]


def test_a_record_of_the_other_family_comes_last() -> None:
    world = World(
        resolution_settings(servers(1)), of=(section(resolve_ms=10_000, obsolete_ms=99_000),)
    )
    world.answer(0, "2001:db8::1")
    world.core.names[0].assignment.slots[0] = addresses(ONE)[0]
    world.run(10_000)
    preferred = world.core.names[0].settings.preferred
    world.answer(0, ONE)
    refused = {each.record: each.refused for each in about(world).records}
    assert refused["2001:db8::1"] == {"be0": Why.OTHER_FAMILY}, preferred


def test_what_a_cut_answer_adds() -> None:
    world = World(resolution_settings(servers(2)), of=(section(resolve_ms=10_000),))
    world.answer(0, ONE)
    world.run(10_000)
    cut = Answer(Status.TRUNCATED, addresses(TWO), partial=True)
    world.core.answered(0, "ns1", QueryType.A, cut, world.now_ms)
    world.run(1_000)
    assert [each.why for each in about(world).servers] == [Why.HOLD_OTHER, Why.CUT]
    assert about(world).replies[0].cut


def test_an_address_that_no_answer_has_confirmed() -> None:
    world = World(resolution_settings(servers(1)))
    world.answer(0, ONE)
    world.start()  # a successor
    assert reasons(world) == [(Why.CONFIRMED, None)], "its predecessor saw it in the last answer"
    world = World(resolution_settings(servers(1)))
    world.board.slots[0] = world.board.slots[0]._replace(address=TWO, cause=3)
    world.start()
    assert reasons(world) == [(Why.UNCONFIRMED, None)]


def test_srv_records_their_servers_and_their_targets() -> None:
    world = World(label_of(*servers(3)), of=(section(resolve_ms=10_000, obsolete_ms=30_000),))
    assert [each.why for each in about(world, LABEL).servers] == [Why.NO_ANSWER] * 3
    world.answer_label(
        0, ServiceRecord("h1.test", 81, 10, 0, addresses(ONE)), ServiceRecord("h2.test", 82, 10)
    )
    assert [each.why for each in about(world, LABEL).servers] == [
        Why.CONFIRMED,
        Why.TARGET,
        Why.NO_RECORD,
    ]
    target = summary(world, 1)
    assert (target.name, target.origin, target.key) == ("h2.test", "target", 1)
    why = ask(world, Account, QuestionKind.SERVER, key=1).rows
    assert [each.summary.name for each in why] == [LABEL, "h2.test"]
    assert why[1].servers[0].target == "h2.test"
    services = [ServiceRecord(f"n{number}.test", 80, 0, 0, addresses(THREE)) for number in range(3)]
    world.run(10_000)
    world.answer_label(0, *services)
    refused = {each.record: each.refused for each in about(world, LABEL).records}
    assert refused["n2.test:80"] == {"be0": Why.NO_SERVER}
    assert about(world, LABEL).servers[0].why is Why.OBSOLETE


def test_a_name_of_an_added_server_in_the_slot_of_a_deleted_one() -> None:
    world = World(resolution_settings(servers(2)))
    world.answer(0, ONE, TWO)
    world.core.ordered(1, "other.test", world.now_ms)
    world.core.follow_members(MemberNews([1], []), world.now_ms)
    assert [each.summary.name for each in feeding(world, 1)] == []
    (added,) = servers(1, first_slot=1)
    home = resolution_settings((added,), name="third.test", index=NO_ROW)
    world.core.follow_members(MemberNews([], [home]), world.now_ms)
    assert [each.summary.origin for each in feeding(world, 1)] == ["added server"]
    assert world.core.names.served[1].name == "third.test"
    world.core.follow_members(MemberNews([0, 1], []), world.now_ms)
    assert list(world.core.names) == []  # no line has a name any more
    assert world.board.resolution(0)["slots_used"] == 0


def feeding(world: World, slot: int) -> list[Account]:
    return ask(world, Account, QuestionKind.SERVER, key=slot).rows


def test_a_name_that_the_operator_ordered() -> None:
    world = World(resolution_settings(servers(1)))
    world.answer(0, ONE)
    world.core.ordered(0, "other.test", world.now_ms)
    world.run(0)
    assert summary(world, 1).origin == "order"
    assert [each.summary.name for each in ask(world, Account, QuestionKind.SERVER, key=0).rows] == [
        "other.test"
    ]


def test_triggers_that_brought_nothing_are_held_back() -> None:
    world = World(resolution_settings(servers(1)))
    world.answer(0, ONE)
    world.run(10)
    world.core.connect_failed(0, Trigger.CONNECT_TIMEOUT, world.now_ms, world.now_ms)
    assert summary(world).next_cause == "failed connect"
    world.run(0)
    world.answer(0, ONE)
    assert 0 < summary(world).triggers_held_ms <= 1_000


def test_ten_thousand_names_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    of = [
        ResolutionSettings(
            number, "r1", f"n{number}.test", servers(1)[0].preferred, servers(1, 0, number)
        )
        for number in range(10_000)
    ]
    world = World(*of)
    walks, walk = 0, NameRegistry.__iter__

    def counted(names: NameRegistry) -> Iterator[int]:
        nonlocal walks
        walks += 1
        return walk(names)

    monkeypatch.setattr(NameRegistry, "__iter__", counted)
    cursor, rows, pages = 0, list[Summary](), 0
    while cursor >= 0:
        page = ask(world, Summary, QuestionKind.NAMES, cursor=cursor)
        rows += page.rows
        pages, cursor = pages + 1, page.cursor
    assert [each.key for each in rows] == list(range(10_000))
    assert pages == 200
    assert walks == 1, "no page goes through all names"
    waiting = [each for each in rows if each.next_cause.startswith("a place")]
    assert len(waiting) + RUNS_MAX == 10_000


def test_a_name_with_ten_thousand_servers_comes_in_pages() -> None:
    world = World(resolution_settings(servers(10_000)))
    world.answer(0, *(f"10.0.{number >> 8}.{number & 255}" for number in range(10_000)))
    cursor, records, found = 0, 0, 0
    while cursor >= 0:
        page = ask(world, Account, QuestionKind.NAME, text="app.test", cursor=cursor)
        records += sum(len(each.records) for each in page.rows)
        found += sum(len(each.servers) for each in page.rows)
        cursor = page.cursor
    assert (records, found) == (10_000, 10_000)


@pytest.mark.parametrize("name", ["app.test", LABEL])
def test_a_server_is_replaced_between_two_pages(name: str) -> None:
    of = servers(101)
    apart = tuple(
        msgspec.structs.replace(resolution_settings((each,)), name=name, index=NO_ROW)
        for each in of
    )
    world = World(resolution_settings(of, name="own.test"))
    world.core.follow_members(MemberNews([*range(101)], list(apart[:100])), world.now_ms)
    first = ask(world, Account, QuestionKind.NAME, text=name)
    world.core.follow_members(MemberNews([90], [apart[100]]), world.now_ms)
    second = ask(world, Account, QuestionKind.NAME, text=name, cursor=first.cursor)
    assert of[100].slot in [each.slot for each in second.rows[0].servers]


def test_a_record_that_thousands_of_backends_do_not_use_fits_into_an_answer() -> None:
    of = tuple(each for number in range(3_000) for each in servers(1, number, number))
    world = World(resolution_settings(of))
    world.answer(0, ONE, TWO)
    used, left_over = ask(world, Account, QuestionKind.NAME, text="app.test").rows[0].records[:2]
    assert (len(used.holders), used.holders_more, used.refused) == (8, 2_992, {})
    assert (len(left_over.refused), left_over.refused_more) == (8, 2_992)
    assert "; not used in 2992 other backends\n" in record_line(left_over)


def test_a_target_with_thousands_of_addresses_fits_into_an_answer() -> None:
    many = addresses(*(f"127.111.{100 + n // 100}.{100 + n % 100}" for n in range(4_000)))
    world = World(label_of(*servers(1)))
    world.answer_label(0, ServiceRecord("h1.test", 81, 10, 0, many))
    (record,) = about(world, LABEL).records
    assert (len(record.addresses), record.addresses_more) == (32, 3_968)
    assert " and 3968 more;" in record_line(record)


def test_names_that_nobody_knows_and_questions_that_nobody_asks() -> None:
    world = World(resolution_settings(servers(1)))
    assert ask(world, Account, QuestionKind.NAME, text="nobody.test").rows == []
    assert ask(world, Account, QuestionKind.SERVER, key=77).rows == []
    with pytest.raises(ValueError, match="kind 9"):
        ask(world, Account, 9)
