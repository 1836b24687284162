"""A transport on a loop of its own, with what it counted and handed on; shared by its tests."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from resolverd.config import Family, Nameserver, ResolversSection
from resolverd.dns.answer import Answer, QueryType, Question
from resolverd.pace.jitter import Jitter
from resolverd.resolution.repetition import Repeatable, Repeated
from resolverd.transport.transport import SectionTransport
from tests.support.common import PATIENCE_SECONDS

QUESTION = Question("app.test", QueryType.A)
RETRY_MS = 120_000  # longer than any nameserver of a test takes


class Shell:
    """A transport on a loop, with what it counted, delivered and lost."""

    def __init__(
        self, *nameservers: Nameserver, payload: int = 512, retry_ms: int = RETRY_MS
    ) -> None:
        self.loop = uvloop.new_event_loop()
        self.counters: Counter[str] = Counter()
        self.delivered: list[tuple[int, str, QueryType, Answer]] = []
        self.lost_questions: list[tuple[int, str]] = []
        self.fetched: list[int] = []
        self.repeats: list[tuple[int, ...]] = []  # key, family, end, bucket, length
        self.given_back: dict[int, Repeated] = {}
        self.batches: list[tuple[int, int]] = []  # number and runs, 0 at its end
        self.heard_again: list[str] = []
        self.admits = True
        self.ttl_bounds_ms = 0, 0  # the pause after a repeated run
        self.repeating = False  # each valid answer ends a run that is to be repeated
        self.kept: list[bool] = []
        section = ResolversSection(
            "r1", nameservers, accepted_payload_size=payload, timeout_retry_ms=retry_ms
        )
        self.log: list[str] = []
        self.transport = SectionTransport(
            self.loop,
            section,
            self._count,
            self,
            self._note,
            note=self._ended_run,
            jitter=Jitter(10, 1),
        )

    def answered(self, key: int, nameserver: str, query_type: QueryType, answer: Answer) -> None:
        self.delivered.append((key, nameserver, query_type, answer))
        if self.repeating:
            self.transport.close_run(key)
            run = Repeatable(
                Question(QUESTION.name, query_type), answer, Family.IPV4, 0, 0, *self.ttl_bounds_ms
            )
            self.kept.append(self.transport.repeat(key, run, self.now_ms))

    def lost(self, key: int, nameserver: str, query_type: QueryType) -> None:
        self.lost_questions.append((key, nameserver))

    def fetching(self, key: int, query_type: QueryType) -> None:
        self.fetched.append(key)

    def settled(self) -> None:
        pass

    def begins(self, section: str, batch: int, runs: int, now_ms: int) -> bool:
        self.batches.append((batch, runs))
        return self.admits

    def ended(self, section: str, batch: int, now_ms: int) -> None:
        self.batches.append((batch, 0))

    def heard(self, section: str, nameserver: str, now_ms: int) -> None:
        self.heard_again.append(nameserver)

    def _ended_run(self, *run: int) -> None:
        self.repeats.append(run)

    def returned(self, key: int) -> None:
        self.given_back[key] = self.transport.take_back(key)

    def _count(self, row: int, counter: str) -> None:
        self.counters[f"{row}.{counter}"] += 1

    def _note(self, level: int, text: str) -> None:
        self.log.append(text)

    def ask(self, key: int = 0, question: Question = QUESTION) -> list[str]:
        """Ask all nameservers; those that could not be asked."""
        return self.transport.ask(key, question, self.now_ms)

    @property
    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def repeat(self, runs: int = 1) -> None:
        """Begin the repeated runs that are due, until so many more have ended."""
        for wanted in range(len(self.repeats) + 1, len(self.repeats) + 1 + runs):
            self.transport.serve_repeats(self.now_ms)
            self.until(lambda wanted=wanted: len(self.repeats) == wanted)

    def until(self, condition: Callable[[], object]) -> None:
        """Run the loop until something is true."""

        async def poll() -> None:
            while not condition():
                await asyncio.sleep(0.002)

        self.loop.run_until_complete(asyncio.wait_for(poll(), PATIENCE_SECONDS))


@contextmanager
def shells_closed() -> Iterator[Callable[..., Shell]]:
    """Make shells like `Shell(...)`; all are closed at the end."""
    made: list[Shell] = []

    def make(*nameservers: Nameserver, payload: int = 512, retry_ms: int = RETRY_MS) -> Shell:
        made.append(Shell(*nameservers, payload=payload, retry_ms=retry_ms))
        return made[-1]

    try:
        yield make
    finally:
        for shell in made:
            shell.transport.close()
            shell.loop.run_until_complete(asyncio.sleep(0))
            shell.loop.close()
