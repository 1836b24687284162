"""One name with two families, a core and a fake clock: what is said of each in run after run.

Shared by the tests of families served one at a time and of merged ones; knows no socket.
"""

from __future__ import annotations

import msgspec

from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.core import Core
from resolverd.dns.answer import Answer, QueryType, Question, Status
from resolverd.resolution.transitions import State
from tests.support.dns.resolution import BOTH, addresses, resolution_settings, servers
from tests.support.dns.unrepeated import Unrepeated
from tests.support.simulation.board import Board

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


class Site(Unrepeated):
    """One name with its servers; IPv6 is preferred."""

    def __init__(
        self,
        count: int = 1,
        holds: Holds = HOLDS,
        nameservers: int = 1,
        *,
        retries: int = 1,
        families: tuple[Family, ...] = BOTH,
        **options: bool,
    ) -> None:
        names = [f"ns{number}" for number in range(1, nameservers + 1)]
        section = ResolversSection(
            "r1",
            tuple(Nameserver(name, "127.0.0.1") for name in names),
            resolve_retries=retries,
            timeout_resolve_ms=1_000,
            timeout_retry_ms=100,
            holds=holds,
        )
        settings = resolution_settings(servers(count), Family.IPV6)
        settings = msgspec.structs.replace(settings, **options)
        self.settings = ResolverdSettings((section,), (settings,), families)
        self.board = Board([8080] * count, 1)
        self.asked: list[QueryType] = []
        self.names: list[str] = []  # of all questions
        self.now_ms = 5_000
        self.start()

    def start(self) -> None:
        """A resolverd begins on what the board says."""
        self.core = Core(self.settings, self.board, {"r1": self}, lambda *_: None, self.now_ms)

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        self.asked.append(question.query_type)
        self.names.append(question.name)
        return []

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        assert nameservers

    def read(self) -> None:
        pass

    def close_run(self, key: int) -> None:
        self.asked.clear()

    def due(self) -> None:
        """The next deadline has come."""
        deadline_ms = self.core.next_deadline_ms()
        assert deadline_ms is not None
        self.now_ms = max(self.now_ms, deadline_ms)
        self.core.serve_deadlines(self.now_ms)

    def reply(self, said: Said, nameserver: str = "ns1", kind: QueryType | None = None) -> None:
        """To the question asked last, or that of this type."""
        kind = kind or self.asked[-1]
        self.core.answered(0, nameserver, kind, answer_of(said), self.now_ms)

    def run(self, six: Said, four: Said) -> list[str | None]:
        """One run from its question to its end, the preferred family first; the addresses then."""
        self.due()
        for said in (six, four):
            if self.asked:
                self.reply(said)
        assert not self.asked, "the run has ended"
        return self.addresses

    def run_merged(self, *said: tuple[QueryType, Said]) -> list[str | None]:
        """One run whose answers come in this order; each try at a type gets the same."""
        self.due()
        assert self.asked == [QueryType.AAAA, QueryType.A], "both at once, the preferred first"
        wanted = list(said)
        while self.running:
            for kind, what in wanted:
                if self.running and kind in self.asked:
                    self.reply(what, kind=kind)
            wanted = []
            if self.running:
                self.asked.clear()
                self.due()
                wanted = [(kind, what) for kind, what in said if kind in self.asked]
        return self.addresses

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self.core.names[0].resolution.state is not State.IDLE

    @property
    def addresses(self) -> list[str | None]:
        return [slot.address for slot in self.board.slots]
