"""Two families of one name: what fails in one of them moves nobody, what it states does (M3).

A core with a fake clock; `Site.run` is one run, with what is said of AAAA (preferred) and of A.
"""

from __future__ import annotations

import msgspec
import pytest

from resolverd.account import Why
from resolverd.answer import Answer, QueryType, Question, Status
from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.core import Core
from resolverd.holders import Hosts
from resolverd.resolved_name import ResolvedName
from shm.states import Cause
from tests.support_resolution import BOTH, addresses, resolution_settings, servers
from tests.support_simulation import Board

SIX, FOUR = "::1", "127.0.1.1"
HOLDS = Holds(nx_ms=4_000, refused_ms=6_000, timeout_ms=8_000, other_ms=10_000)
NODATA = Status.NODATA
FAILURES = {
    Status.NX: 4_000,
    Status.REFUSED: 6_000,
    Status.OTHER: 10_000,
    Status.TRUNCATED: 10_000,
    Status.INVALID: 10_000,
    Status.CNAME_ERROR: 10_000,
}
Said = Status | str | tuple[str, ...] | Answer


def answer_of(said: Said) -> Answer:
    if isinstance(said, Status):
        return Answer(said)
    if isinstance(said, Answer):
        return said
    return Answer(Status.VALID, addresses(*((said,) if isinstance(said, str) else said)))


class Site:
    """One name with its servers, one nameserver or more, one try in each run."""

    def __init__(self, count: int = 1, holds: Holds = HOLDS, nameservers: int = 1) -> None:
        names = [f"ns{number}" for number in range(1, nameservers + 1)]
        section = ResolversSection(
            "r1",
            tuple(Nameserver(name, "127.0.0.1") for name in names),
            resolve_retries=1,
            timeout_resolve_ms=1_000,
            timeout_retry_ms=100,
            holds=holds,
        )
        settings = resolution_settings(servers(count), Family.IPV6)
        self.settings = ResolverdSettings((section,), (settings,), BOTH)
        self.board = Board([8080] * count, 1)
        self.asked: list[QueryType] = []
        self.now_ms = 5_000
        self.start()

    def start(self) -> None:
        """A resolverd begins on what the board says."""
        self.core = Core(self.settings, self.board, {"r1": self}, lambda *_: None, self.now_ms)

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        self.asked.append(question.query_type)
        return []

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        assert nameservers

    def close_run(self, key: int) -> None:
        self.asked.clear()

    def due(self) -> None:
        """The next deadline has come."""
        deadline_ms = self.core.next_deadline_ms()
        assert deadline_ms is not None
        self.now_ms = max(self.now_ms, deadline_ms)
        self.core.serve_deadlines(self.now_ms)

    def reply(self, said: Said, nameserver: str = "ns1") -> None:
        """To the question asked last."""
        self.core.answered(0, nameserver, self.asked[-1], answer_of(said), self.now_ms)

    def run(self, six: Said, four: Said) -> list[str | None]:
        """One run from its question to its end; the addresses after it."""
        self.due()
        for said in (six, four):
            if self.asked:
                self.reply(said)
        assert not self.asked, "the run has ended"
        return self.addresses

    @property
    def addresses(self) -> list[str | None]:
        return [slot.address for slot in self.board.slots]


@pytest.mark.parametrize(("status", "hold"), FAILURES.items())
def test_a_failure_of_the_preferred_family_moves_nobody_until_its_hold_has_passed(
    status: Status, hold: int
) -> None:
    site = Site()
    assert site.run(SIX, NODATA) == [SIX]
    answered_ms = site.now_ms
    while site.now_ms + 1_000 < answered_ms + hold:
        assert site.run(status, FOUR) == [SIX]
    assert site.run(status, FOUR) == [FOUR]
    assert site.now_ms == answered_ms + hold
    assert site.run(status, FOUR) == [FOUR]
    assert site.run(SIX, NODATA) == [SIX], "and back with the first valid answer"


def test_why_a_server_is_kept_names_the_hold_of_its_family() -> None:
    site = Site()
    site.run(SIX, NODATA)
    site.run(Status.REFUSED, FOUR)
    name = site.core.names[0]
    assert isinstance(name, ResolvedName)
    assert Hosts(name).why(servers(1)[0], site.now_ms) == (Why.HOLD_REFUSED, 5_000)
    (record,) = Hosts(name).records(0, 1, site.now_ms)
    assert record.forgotten_in_ms == 5_000
    site.run(SIX, NODATA)
    assert Hosts(name).why(servers(1)[0], site.now_ms) == (Why.CONFIRMED, None)


@pytest.mark.parametrize("killed_ms", [0, 2_000, 5_000])
def test_a_successor_keeps_to_the_time_of_the_familys_last_answer(killed_ms: int) -> None:
    site = Site()
    site.run(SIX, NODATA)
    answered_ms = site.now_ms
    moved = False
    while not moved:
        if site.now_ms >= answered_ms + killed_ms:
            site.now_ms += 1_000
            site.start()  # killed after each run from then on
        moved = site.run(Status.REFUSED, FOUR) == [FOUR]
    assert answered_ms + 6_000 <= site.now_ms <= answered_ms + 7_000


def test_nodata_is_a_statement_and_ages_records_by_hold_obsolete() -> None:
    site = Site()
    site.run(SIX, NODATA)
    assert site.run(NODATA, FOUR) == [FOUR], "at once without hold obsolete"
    patient = Site(holds=msgspec.structs.replace(HOLDS, obsolete_ms=2_500))
    patient.run(SIX, NODATA)
    shown = [patient.run(NODATA, FOUR) for _ in range(3)]
    assert shown == [[SIX], [SIX], [FOUR]]


def test_a_hold_that_is_shorter_than_hold_obsolete_leaves_that_in_force() -> None:
    site = Site(holds=msgspec.structs.replace(HOLDS, obsolete_ms=5_500))
    site.run(SIX, NODATA)
    assert [site.run(Status.NX, FOUR) for _ in range(6)] == [[SIX]] * 5 + [[FOUR]]


@pytest.mark.parametrize("order", [(NODATA, Status.OTHER), (Status.OTHER, NODATA)])
def test_a_statement_of_one_nameserver_outweighs_the_failure_of_another(
    order: tuple[Status, Status],
) -> None:
    site = Site(nameservers=2)
    site.run(SIX, NODATA)
    site.due()
    site.reply(order[0], "ns1")
    site.reply(order[1], "ns2")
    site.reply(FOUR)
    assert site.addresses == [FOUR]


@pytest.mark.parametrize("status", [*FAILURES, NODATA])
def test_where_the_preferred_family_was_never_there_the_other_is_used_at_once(
    status: Status,
) -> None:
    site = Site(2)
    assert site.run(status, FOUR) == [FOUR, None]


def test_free_servers_are_not_filled_with_the_other_family_meanwhile() -> None:
    site = Site(3)
    assert site.run((SIX, "::2"), NODATA) == [SIX, "::2", None]
    assert site.run(Status.OTHER, (FOUR, "127.0.1.2")) == [SIX, "::2", None]


def test_an_address_of_the_start_is_protected_from_the_start_on() -> None:
    site = Site()
    site.board.publish(0, SIX, 8080, weight=-1, cause=Cause.LIBC, flags=0, now_ms=site.now_ms)
    site.start()
    shown = [site.run(Status.REFUSED, FOUR) for _ in range(7)]
    assert shown == [[SIX]] * 6 + [[FOUR]], "asked at 0, 1, ... 6 s"


def test_a_cut_answer_with_records_confirms_its_family_for_as_long_as_it_comes() -> None:
    site = Site()
    site.run(SIX, NODATA)
    cut = Answer(Status.TRUNCATED, addresses(SIX), partial=True)
    assert [site.run(cut, FOUR) for _ in range(15)] == [[SIX]] * 15


def test_when_both_families_fail_the_last_valid_answer_of_any_counts() -> None:
    site = Site()
    site.run(SIX, NODATA)
    for _ in range(5):
        site.run(Status.OTHER, FOUR)
    answered_ms = site.now_ms
    while site.run(Status.REFUSED, Status.REFUSED) == [SIX]:
        assert site.now_ms < answered_ms + 6_000
    assert (site.addresses, site.now_ms) == ([None], answered_ms + 6_000)
    assert site.run(Status.OTHER, FOUR) == [FOUR]
