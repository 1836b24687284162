"""`resolve-opts all-families` among many names: sharing, targets of labels, the cap, accounts."""

from __future__ import annotations

import msgspec

from resolverd.config import ResolutionSettings, ResolvedServer
from resolverd.dns.answer import Answer, QueryType, ServiceRecord, Status
from resolverd.records.schema import Account, Page, QuestionKind
from shm.mailbox import MAIL_BYTES, MailQuestion
from tests.resolverd.test_core import LABEL, World, section
from tests.support.dns.resolution import BOTH, addresses, resolution_settings, servers

FOUR, SIX = "127.0.1.1", "::1"
A, AAAA = QueryType.A, QueryType.AAAA


class TwoFamilies(World):
    """A world in which both families are accepted; IPv4 is preferred."""

    def start(self) -> None:
        self.settings = msgspec.structs.replace(self.settings, families=BOTH)
        super().start()

    def say(self, key: int, kind: QueryType, *texts: str) -> None:
        status = Status.VALID if texts else Status.NODATA
        answer = Answer(status, addresses(*texts))
        self.core.answered(key, "ns1", kind, answer, self.now_ms)
        self.run(0)

    @property
    def open_questions(self) -> list[tuple[str, str]]:
        """Name and type of each so far."""
        return [(each.name, each.query_type.name) for _, each in self.asked["r1"].questions]


def merging(*of: ResolvedServer) -> tuple[ResolvedServer, ...]:
    return tuple(msgspec.structs.replace(each, all_families=True) for each in of)


def host(index: int, name: str, *of: ResolvedServer) -> ResolutionSettings:
    plain = resolution_settings(of, name=name, index=index)
    return msgspec.structs.replace(plain, all_families=any(each.all_families for each in of))


def test_with_and_without_the_option_one_name_is_two_resolutions() -> None:
    both = host(1, "app.test", *merging(*servers(2, 1, 1)))
    world = TwoFamilies(host(0, "app.test", *servers(1)), both)
    assert world.open_questions == [("app.test", "A"), ("app.test", "A"), ("app.test", "AAAA")]
    world.say(0, A, FOUR)
    world.say(1, A, FOUR)
    world.say(1, AAAA, SIX)
    assert world.addresses == [FOUR, FOUR, SIX]


def test_the_targets_of_a_label_are_merged_for_servers_with_the_option_alone() -> None:
    first, second = servers(2)
    plain = msgspec.structs.replace(resolution_settings((*merging(first), second), name=LABEL))
    world = TwoFamilies(plain)
    same = ServiceRecord("h1.test", 80, 1), ServiceRecord("h1.test", 81, 1)
    world.answer_label(0, *same)
    asked = world.open_questions[1:]
    assert asked == [("h1.test", "A"), ("h1.test", "AAAA"), ("h1.test", "A")]
    world.say(1, A)
    world.say(1, AAAA, SIX)
    assert world.addresses == [SIX, None], "the other has a question of its own"
    world.say(2, A, FOUR)
    assert world.addresses == [SIX, FOUR]


def test_an_ordered_name_is_merged_like_that_of_the_line() -> None:
    world = TwoFamilies(host(0, "app.test", *merging(*servers(1))))
    world.core.ordered(0, "other.test", world.now_ms)
    world.run(0)
    assert world.open_questions[-2:] == [("other.test", "A"), ("other.test", "AAAA")]


def test_additional_records_of_either_family_need_no_question_of_their_own() -> None:
    world = TwoFamilies(resolution_settings(merging(*servers(2)), name=LABEL))
    world.answer_label(
        0,
        ServiceRecord("h1.test", 80, 1, 0, addresses(SIX, FOUR)),
        ServiceRecord("h2.test", 80, 1, 0, addresses(SIX)),
    )
    assert world.addresses == [FOUR, SIX], "the preferred family where there is one"
    assert world.open_questions == [(LABEL, "SRV")]


def test_two_questions_of_a_run_count_as_two_of_256() -> None:
    world = TwoFamilies(
        *[
            host(index, f"n{index}.test", *merging(*servers(1, index, index)))
            for index in range(200)
        ]
    )
    assert len(world.open_questions) == 256
    assert len({name for name, _ in world.open_questions}) == 128
    for key in range(72):
        world.say(key, A, FOUR)
    assert len(world.open_questions) == 256, "half a run gives no place back"
    for key in range(72):
        world.say(key, AAAA)
    assert len(world.open_questions) == 400


def test_the_account_shows_both_types() -> None:
    world = TwoFamilies(host(0, "app.test", *merging(*servers(1))), of=(section(),))

    def account() -> Account:
        question = MailQuestion(1, QuestionKind.NAME, 0, 0, "app.test")
        encoded = world.core.accounts.page(question, world.now_ms, MAIL_BYTES)
        (row,) = msgspec.json.decode(encoded, type=Page[Account]).rows
        return row

    assert (account().summary.asks, account().question) == ("A+AAAA", "A+AAAA")
    assert [each.status for each in account().replies] == [None, None]
    world.say(0, A, FOUR)
    world.say(0, AAAA)
    told = [(each.nameserver, each.query_type, each.status) for each in account().replies]
    assert told == [("ns1", "A", "valid"), ("ns1", "AAAA", "nodata")]
