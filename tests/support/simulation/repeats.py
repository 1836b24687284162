"""Repeated runs in the simulated world: the contract of transport/repeats.pyx, over answers.

Where the real one compares bytes, two answers are the same here if they say the same. It refuses
some names, as the real one does for reasons of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resolverd.dns.answer import Answer, Status
from resolverd.pace.durations import run_bucket
from resolverd.resolution.repetition import Repeatable, Repeated

if TYPE_CHECKING:
    from tests.support.simulation.simulation import World


@dataclass
class Row:
    run: Repeatable
    due_ms: int
    asked_ms: int | None = None
    unsent: tuple[str, ...] = ()
    runs: int = 0
    begun_ms: int = 0
    ended_ms: int = 0
    nameserver: str = ""
    ttl_s: int = 0
    batch: int = 0
    heard: dict[str, int] = field(default_factory=dict)


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers differ at most in the order of addresses and the time to live."""
    return (
        one.status is other.status is Status.VALID
        and set(one.addresses) == set(other.addresses)
        and (one.aliased, one.partial) == (other.aliased, other.partial)
    )


class Repeats:
    """The names whose runs are repeated."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: dict[int, Row] = {}
        self._batches = 0
        self._left: dict[int, int] = {}  # batch -> its open runs
        self.part = 0.9  # of the names that may be repeated
        self.repeated = 0  # runs

    def clear(self) -> None:
        """resolverd has died."""
        self._rows.clear()

    def keep(self, key: int, run: Repeatable, now_ms: int) -> bool:
        assert key not in self._rows
        if self._world.chance.random() >= self.part:
            return False
        self._rows[key] = Row(run, run.due_ms)
        return True

    def next_ms(self) -> int | None:
        return min((row.due_ms for row in self._rows.values()), default=None)

    def serve(self, now_ms: int) -> None:
        core = self._world.core
        due = [key for key, row in sorted(self._rows.items()) if row.due_ms <= now_ms]
        begins = [key for key in due if self._rows[key].asked_ms is None]
        for key in due:
            if key not in begins:
                core.names[key]
        if not begins:
            return
        self._batches -= 1
        batch = self._batches
        if not core.begins("r", batch, len(begins), now_ms):
            for key in begins:
                core.names[key]
            return
        self._left[batch] = len(begins)
        for key in begins:
            row = self._rows[key]
            row.unsent = tuple(self._world.asked.ask(key, row.run.question, now_ms))
            row.asked_ms, row.batch = now_ms, batch
            row.due_ms = now_ms + self._world.section.timeout_retry_ms
            if row.unsent:
                core.names[key]

    def hear(self, key: int, nameserver: str, answer: Answer, now_ms: int) -> bool:
        """Whether the answer has ended a repeated run; if it is another one, the name is back."""
        row, core = self._rows.get(key), self._world.core
        if row is None:
            return False
        assert row.asked_ms is not None
        if not same(answer, row.run.answer):
            core.names[key]
            return False
        self._world.asked.close_run(key)
        row.begun_ms, row.ended_ms, row.asked_ms = row.asked_ms, now_ms, None
        row.nameserver, row.ttl_s, row.heard[nameserver] = nameserver, answer.ttl_s, now_ms
        row.runs += 1
        self.repeated += 1
        length_ms = now_ms - row.begun_ms
        self._world.board.repeated(0, key, row.run.family, now_ms, run_bucket(length_ms), length_ms)
        core.heard("r", nameserver, now_ms)
        longest_ms = max(row.run.least_ms, min(1_000 * row.ttl_s, row.run.most_ms))
        early_ms = self._world._early_ms(longest_ms)
        row.due_ms = now_ms + max(row.run.shortest_ms, longest_ms - early_ms)
        self._left[row.batch] -= 1
        if not self._left[row.batch]:
            core.ended("r", row.batch, now_ms)
        return True

    def take(self, key: int) -> Repeated:
        row = self._rows.pop(key)
        asks = row.asked_ms is not None
        if asks:
            self._left[row.batch] -= 1
        return Repeated(
            row.run.question,
            row.run.answer,
            row.runs,
            row.begun_ms,
            row.ended_ms,
            row.nameserver,
            row.ttl_s,
            tuple(row.heard.items()),
            row.due_ms,
            row.asked_ms,
            row.unsent if asks else (),
            row.batch if asks else 0,
            asks and self._left[row.batch] == 0,
        )
