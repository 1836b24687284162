"""One resolution driven by hand with a fake clock: replies in, questions and outcomes out.

Shared by the tests of the pure parts of resolverd; knows no socket and no segment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from resolverd.assignment.hosts import AddressChange, Assignment
from resolverd.config import (
    Family,
    Nameserver,
    ResolutionSettings,
    ResolvedServer,
    ResolversSection,
)
from resolverd.dns.answer import Address, Answer, QueryType, Status
from resolverd.resolution.actions import Abandoned, Action, Ask, Finished, Unanswered
from resolverd.resolution.hold_rules import Ruling
from resolverd.resolution.resolution import Resolution, Trigger

BOTH = (Family.IPV4, Family.IPV6)


def section(
    *names: str, retries: int = 3, resolve_ms: int = 1_000, retry_ms: int = 1_000
) -> ResolversSection:
    """A `resolvers` section with nameservers of these names."""
    return ResolversSection(
        name="r1",
        nameservers=tuple(
            Nameserver(name=name, address="127.0.0.1", index=index)
            for index, name in enumerate(names or ("ns1", "ns2"))
        ),
        resolve_retries=retries,
        timeout_resolve_ms=resolve_ms,
        timeout_retry_ms=retry_ms,
    )


def servers(count: int, backend: int = 0, first_slot: int = 0) -> tuple[ResolvedServer, ...]:
    """Neighbouring servers of one backend."""
    return tuple(
        ResolvedServer(
            slot=first_slot + index,
            backend_index=backend,
            backend_name=f"be{backend}",
            server_name=f"s{index + 1}",
            port=8080,
            weight=1,
        )
        for index in range(count)
    )


def resolution_settings(
    of_servers: tuple[ResolvedServer, ...] = (),
    preferred: Family = Family.IPV4,
    name: str = "app.test",
    index: int = 0,
) -> ResolutionSettings:
    """The settings of one resolution in section r1."""
    return ResolutionSettings(
        index=index, section="r1", name=name, preferred=preferred, servers=of_servers
    )


def addresses(*texts: str) -> tuple[Address, ...]:
    """Addresses as an answer carries them."""
    return tuple(Address.parse(text) for text in texts)


def valid(*texts: str) -> Answer:
    """A valid answer."""
    return Answer(Status.VALID, addresses(*texts))


def answered(pool: Assignment, answer: Iterable[Address], now_ms: int) -> list[AddressChange]:
    """A valid answer has come; what it does not mention ages by `hold obsolete`."""
    unseen_ms = dict.fromkeys(BOTH, pool._holds.obsolete_ms)
    return pool.heard(Ruling(tuple(answer), unseen_ms), now_ms)


@dataclass
class Driver:
    """A resolution, its clock, and everything it has asked and reported."""

    resolution: Resolution
    now_ms: int = 0
    sent: list[tuple[int, QueryType]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of the questions
    abandoned: list[int] = field(default_factory=list)
    finished: list[tuple[int, Finished]] = field(default_factory=list)
    unanswered: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        in_section: ResolversSection,
        families: tuple[Family, ...] = BOTH,
        preferred: Family = Family.IPV4,
        settings: ResolutionSettings | None = None,
    ) -> Driver:
        """A new resolution at time 0, its first question sent."""
        settings = settings or resolution_settings((), preferred)
        driver = cls(Resolution(settings, in_section, families, 0))
        driver.until(0)
        return driver

    def until(self, now_ms: int) -> None:
        """Let the clock run; every deadline is served at its time."""
        while self.resolution.deadline_ms <= now_ms:
            self.now_ms = max(self.now_ms, self.resolution.deadline_ms)
            self._note(self.resolution.tick(self.now_ms))
        self.now_ms = now_ms

    def reply(self, nameserver: str, answer: Answer | Status, kind: str | None = None) -> None:
        """A reply to the question asked last, or to one of this type."""
        query_type = QueryType[kind] if kind else self.sent[-1][1]
        if isinstance(answer, Status):
            answer = Answer(answer)
        self._note(self.resolution.reply(nameserver, query_type, answer, self.now_ms))

    def trigger(self, kind: Trigger, began_ms: int) -> None:
        """A connect failed."""
        if self.resolution.trigger(kind, began_ms, self.now_ms):
            self.until(self.now_ms)

    @property
    def questions(self) -> list[tuple[int, str]]:
        """Time and type of each question so far."""
        return [(at, query_type.name) for at, query_type in self.sent]

    @property
    def outcomes(self) -> list[tuple[int, Status]]:
        """Time and status of each finished run."""
        return [(at, finished.status) for at, finished in self.finished]

    def _note(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask):
                self.sent.append((self.now_ms, action.question.query_type))
                self.names.append(action.question.name)
            elif isinstance(action, Abandoned):
                self.abandoned.append(self.now_ms)
            elif isinstance(action, Finished):
                self.finished.append((self.now_ms, action))
            else:
                assert isinstance(action, Unanswered)
                self.unanswered.append((self.now_ms, action.nameservers))
