"""Workers that are killed or stopped after each store of a step in a server's hint.

The hint is what the living have put there: as soon as no worker is in the middle of a step.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, cast

import pytest

from shm.counters import mend_hints, settle_dead_worker
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableReader, SlotTableWriter
from tests.support.compiled import compiled
from tests.support.generated import sample
from tests.support.trace import SteppedChild, die_at_each_store, pause

pytestmark = pytest.mark.slow
WORKERS = 3
STORES = 4  # of a step: the row says so, hint, the block's word, the row
STRIDE = sample(13, full=1)
HELD = (2, 3, 5)  # by each worker before


class Places(Protocol):
    def hint(self, segment: Segment, worker: int, sessions: int) -> None: ...


@pytest.fixture(scope="module")
def places() -> Places:
    return cast("Places", compiled(Path(__file__).parent / "places.pyx", "-O2", "-g0"))


@pytest.fixture
def segment(places: Places) -> Iterator[Segment]:
    """One server, at which each worker has some sessions."""
    made = Segment.create(Shape(1, 1, 1, WORKERS, 1, 0, 0))
    SlotTableWriter(made).lay_backend(0, 0, 1)
    for worker, held in enumerate(HELD):
        for _ in range(held):
            places.hint(made, worker, 1)
    yield made
    made.close()


class PausingSlot:
    """Slot 0; pauses when its number is wanted."""

    def __index__(self) -> int:
        pause()
        return 0

    __int__ = __index__


def step(places: Places, segment: Segment, worker: int, sessions: int) -> Callable[[], None]:
    def work() -> None:
        pause()
        places.hint(segment, worker, sessions)

    return work


@pytest.mark.parametrize("sessions", [1, -1])
def test_a_death_at_any_store_leaves_the_hint_of_the_living(
    places: Places, segment: Segment, sessions: int
) -> None:
    table = SlotTableReader(segment)
    doubts = []
    for _ in die_at_each_store(segment, step(places, segment, 0, sessions)):
        doubtful = settle_dead_worker(segment, 0)
        doubts.append(set(doubtful))
        mend_hints(segment, doubtful)
        assert (doubtful, table.hint(0)) == (set(), HELD[1] + HELD[2])
    assert doubts == [{0}, {0}, {0}, set()]


@pytest.mark.parametrize("other_dies", [True, False])
@pytest.mark.parametrize("at", range(1, STORES + 1))
@pytest.mark.parametrize("other_at", range(1, STORES + 1))
def test_a_worker_in_a_step_keeps_a_hint_in_doubt_until_it_goes_on_or_dies(
    places: Places, segment: Segment, at: int, other_at: int, other_dies: bool
) -> None:
    table = SlotTableReader(segment)
    with (
        mmap.mmap(segment.fd, segment.size) as memory,
        SteppedChild(step(places, segment, 0, 1)) as victim,
        SteppedChild(step(places, segment, 1, -1)) as other,
    ):
        assert victim.to_store([memory], at)
        assert other.to_store([memory], other_at)
        victim.kill()
        doubtful = settle_dead_worker(segment, 0)
        mend_hints(segment, doubtful)
        in_doubt = at < STORES and other_at < STORES
        assert doubtful == ({0} if in_doubt else set())
        places.hint(segment, 2, 1)  # life goes on meanwhile
        if other_dies:
            other.kill()
            doubtful |= settle_dead_worker(segment, 1)
        else:
            other.finish()
        mend_hints(segment, doubtful)
    left = HELD[2] + 1 + (0 if other_dies else HELD[1] - 1)
    assert (doubtful, table.hint(0)) == (set(), left)


def test_a_step_between_any_two_instructions_of_the_mending_is_counted_once(
    places: Places, segment: Segment
) -> None:
    def work() -> None:
        mend_hints(segment, {PausingSlot()})

    table, expected, at, mended = SlotTableReader(segment), sum(HELD), 0, False
    with mmap.mmap(segment.fd, segment.size) as memory:
        while not mended:
            before = memory[:]
            with SteppedChild(work) as supervisor:
                assert supervisor.step(at)
                mended = memory[:] != before
                places.hint(segment, 1, 1)
                supervisor.finish()
            expected += 1
            assert table.hint(0) == expected, f"a step after instruction {at}"
            at += STRIDE
    assert at > 100
