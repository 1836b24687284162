"""The same history with and without repeated runs: the same questions, and the same board.

All that the world draws follows from the time and from what is asked, so two worlds differ only by
what resolverd does.
"""

from __future__ import annotations

import random

import pytest

from resolverd.dns.answer import Question
from tests.support.generated import sample
from tests.support.simulation.board import Board
from tests.support.simulation.simulation import Nameservers, World
from tests.support.simulation.zone import HOSTS, Zone

WORLDS = sample(20, full=20_000)
EVENTS = 12
PAUSE_MS = 9_000  # at most, between two events
PERIODS = 7  # of `timeout resolve` or so: names rest in each


class Drawn(Nameservers):
    """Each question has its fate by its time and its name."""

    def __init__(self, world: Twin) -> None:
        super().__init__(world)
        self.twin = world
        self.log: list[tuple[int, int, str, int]] = []

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        self.log.append((now_ms, key, question.name, question.query_type))
        self.twin.draw(f"{now_ms} {key} {question}")
        return super().ask(key, question, now_ms)


class Twin(World):
    """A world whose names are repeated, or not."""

    def __init__(self, seed: int, *, repeats: bool) -> None:
        self.seed = seed
        super().__init__(random.Random(seed))
        self.runs_max = 256  # the order of questions in one millisecond does not matter
        self.asked = self.drawn = Drawn(self)
        self.asked.repeats.part = float(repeats)
        self.restart()

    def draw(self, what: str) -> None:
        self.chance.seed(f"{self.seed} {what}")

    def _early_ms(self, period_ms: int) -> int:
        return self.now_ms * 7919 % (period_ms // 10 + 1)

    def run_until(self, until_ms: int) -> None:
        while self.next_event_ms() <= until_ms:
            self.step()
        self.now_ms = until_ms

    def _order(self, slot: int, name: str) -> None:
        self.orders[slot] = name
        self.judge.ordered_ms[slot] = self.now_ms
        self.perform(lambda: self.core.ordered(slot, name, self.now_ms))

    def play(self) -> None:
        for event in range(EVENTS):
            self.draw(f"event {event}")
            pause_ms = self.chance.randrange(PAUSE_MS)
            what, slot = self.chance.randrange(6), self.chance.randrange(len(self.servers))
            self.run_until(self.now_ms + pause_ms)
            self.draw(f"what {event}")
            if what == 0:
                self.zone.change_host(self.chance.choice(HOSTS))
            elif what == 1:
                self._fail_connect(self.core)
            elif what == 2:
                self.dead = set(self.chance.sample(self.nameservers, self.chance.randrange(2)))
            elif what == 3:
                self.views = {self.nameservers[0]: Zone(self.chance)}
            elif what == 4:
                self._order(slot, self.chance.choice(("", "o.test", "b.test")))
            self.peace = self.chance.random() < 0.7
        self.run_until(self.now_ms + PERIODS * 1_000)
        for key in list(self.core.names):
            self.core.names[key]  # all that rests is shown to its state machine


def state(world: Twin) -> list[object]:
    assert isinstance(world.board, Board)
    names = world.core.names
    return [
        world.board.slots,
        world.board.targets,
        world.board.records,
        sorted(world.board.observed),
        [
            (
                names[key].resolution.last_run_ms,
                names[key].resolution.last_status,
                names[key].resolution.deadline_ms,
                names[key].resolution.state,
                names[key].assignment.records,
                names[key].history.begun_ms,
                names[key].history.asked_ms,
                {
                    source: (last.answer.status, set(last.answer.addresses), last.when_ms)
                    for source, last in names[key].history.answers.items()
                },
            )
            for key in sorted(names)
        ],
    ]


@pytest.mark.slow
def test_repeated_runs_ask_and_write_what_the_others_do(seed: int) -> None:
    repeated = 0
    for each in range(seed, seed + WORLDS):
        plain, twin = Twin(each, repeats=False), Twin(each, repeats=True)
        plain.play()
        twin.play()
        repeated += twin.asked.repeats.repeated
        assert plain.asked.repeats.repeated == 0
        assert sorted(plain.drawn.log) == sorted(twin.drawn.log), f"seed {each}"
        for one, other in zip(state(plain), state(twin), strict=True):
            assert one == other, f"seed {each}"
    assert repeated > WORLDS, "names are repeated at all"
