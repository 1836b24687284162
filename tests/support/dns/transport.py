"""A transport on a loop of its own, with what it counted and handed on; shared by its tests."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from resolverd.config import Nameserver, ResolversSection
from resolverd.dns.answer import Answer, QueryType, Question
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
        section = ResolversSection(
            "r1", nameservers, accepted_payload_size=payload, timeout_retry_ms=retry_ms
        )
        self.log: list[str] = []
        self.transport = SectionTransport(self.loop, section, self._count, self, self._note)

    def answered(self, key: int, nameserver: str, query_type: QueryType, answer: Answer) -> None:
        self.delivered.append((key, nameserver, query_type, answer))

    def lost(self, key: int, nameserver: str, query_type: QueryType) -> None:
        self.lost_questions.append((key, nameserver))

    def fetching(self, key: int, query_type: QueryType) -> None:
        self.fetched.append(key)

    def _count(self, row: int, counter: str) -> None:
        self.counters[f"{row}.{counter}"] += 1

    def _note(self, level: int, text: str) -> None:
        self.log.append(text)

    def ask(self, key: int = 0, question: Question = QUESTION) -> list[str]:
        """Ask all nameservers; those that could not be asked."""
        return self.transport.ask(key, question, time.monotonic_ns() // 1_000_000)

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
