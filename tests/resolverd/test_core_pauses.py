"""A run that waits for its next try asks nothing: its place is another name's meanwhile."""

from __future__ import annotations

import msgspec
import pytest

from resolverd.core import Core
from resolverd.dns.answer import Answer, QueryType, Status
from tests.resolverd.test_core import ONE, TWO, World, section
from tests.support.dns.resolution import resolution_settings, servers


class Narrow(World):
    """So many places, and two tries for each run."""

    places = 1

    def start(self) -> None:
        self.core = Core(
            self.settings,
            self.board,
            dict(self.asked),
            lambda level, text: self.log.append(f"<{level}> {text}"),
            self.now_ms,
            runs_max=self.places,
        )
        self.run(0)

    def refuse(self, key: int) -> None:
        answer = Answer(Status.REFUSED)
        self.core.answered(key, "ns1", QueryType.A, answer, self.now_ms)
        self.run(0)

    def keys(self) -> list[int]:
        """The names asked for, in order."""
        return [key for key, _ in self.asked["r1"].questions]


@pytest.fixture
def world() -> Narrow:
    return narrow(1_000)


def narrow(retry_ms: int) -> Narrow:
    two_tries = msgspec.structs.replace(section(), resolve_retries=2, timeout_retry_ms=retry_ms)
    first = resolution_settings(servers(1), name="a.test")
    second = resolution_settings(servers(1, backend=1, first_slot=1), name="b.test", index=1)
    return Narrow(first, second, of=(two_tries,))


def test_a_name_that_pauses_gives_its_place_to_one_that_waits(world: Narrow) -> None:
    assert world.keys() == [0]
    world.refuse(0)
    assert world.keys() == [0, 1], "the other one has the place at once"
    world.answer(1, TWO)
    world.run(1_000)
    assert world.keys() == [0, 1, 0], "the second try, after `timeout retry`"
    world.answer(0, ONE)
    assert world.addresses == [ONE, TWO]


def test_a_pause_that_is_over_waits_for_a_place_like_everybody() -> None:
    world = narrow(200)
    world.run(100)
    world.refuse(0)
    world.run(150)  # its pause ends while the other one is asked
    assert world.keys() == [0, 1]
    world.answer(1, TWO)
    assert world.keys() == [0, 1, 0]
    world.answer(0, ONE)
    assert world.addresses == [ONE, TWO]
