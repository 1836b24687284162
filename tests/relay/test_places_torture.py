"""The real code of places and tickets, hammered: never over the limit, and no worker waits in vain.

Threads first, which the thread sanitizer watches in `make sanitize`; then processes that are killed
at random moments and settled as the supervisor does it.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

import pytest

from shm.counters import CounterReader, mend_hints, settle_dead_worker
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableReader, SlotTableWriter
from tests.support.common import PATIENCE_SECONDS
from tests.support.compiled import compiled
from tests.support.generated import sample

ROOT = Path(__file__).parents[2]
WORKERS = 4
ROUNDS = 3_000
KILLS = sample(40, full=2_000)
DASHES = 30_000_000 // (20 if os.environ.get("MILLRACE_SANITIZE") else 1)


class Places(Protocol):
    def hammer(
        self, segment: Segment, worker: int, limit: int, rounds: int, held: memoryview
    ) -> tuple[int, int, int]: ...

    def dash(
        self, segment: Segment, worker: int, limit: int, rounds: int, held: memoryview
    ) -> tuple[int, int]: ...


@pytest.fixture(scope="module")
def places() -> Places:
    """places.pyx compiled against the product's own functions."""
    flags = ["-O2", "-g0"]
    if os.environ.get("MILLRACE_SANITIZE") == "thread":
        flags += ["-g", "-fsanitize=thread", "-Wno-tsan"]
    return cast("Places", compiled(Path(__file__).parent / "places.pyx", *flags))


@pytest.fixture
def segment() -> Iterator[Segment]:
    """One backend of one server."""
    made = Segment.create(Shape(1, 1, 1, WORKERS, 1, 0, 0))
    SlotTableWriter(made).lay_backend(0, 0, 1)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 2, WORKERS])
def test_threads_never_exceed_the_limit(places: Places, segment: Segment, limit: int) -> None:
    held = memoryview(bytearray(8 * WORKERS)).cast("Q")
    found: list[tuple[int, int, int]] = []
    threads = [
        threading.Thread(
            target=lambda number=number: found.append(
                places.hammer(segment, number, limit, ROUNDS, held)
            )
        )
        for number in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == WORKERS
    assert [(over, lost) for over, _, lost in found] == [(0, 0)] * WORKERS
    if limit == WORKERS:  # with fewer, the scheduler decides which workers meet
        assert sum(waits for _, waits, _ in found) == 0
    assert CounterReader(segment).server(0)["sessions"] == 0


@pytest.mark.slow
def test_threads_that_dash_for_the_last_place_never_get_it_both(
    places: Places, segment: Segment
) -> None:
    """Without the fence between raising one's gauge and summing up, two would get it."""
    held = memoryview(bytearray(8 * WORKERS)).cast("Q")
    found: list[tuple[int, int]] = []
    threads = [
        threading.Thread(
            target=lambda number=number: found.append(places.dash(segment, number, 1, DASHES, held))
        )
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [over for over, _ in found] == [0, 0]
    assert sum(served for _, served in found) > 0


class Hammers:
    """A process for each worker, which serves until it is killed or told to end by a signal."""

    def __init__(self, places: Places, segment: Segment, limit: int) -> None:
        self.places, self.segment, self.limit = places, segment, limit
        self.shared = mmap.mmap(-1, 8 * 3 * WORKERS)  # held; rounds served; faults seen
        self.words = memoryview(self.shared).cast("Q")
        self.doubtful: set[int] = set()  # hints
        self.pids = [self.start(worker) for worker in range(WORKERS)]

    def start(self, worker: int) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                held = self.words[:WORKERS]
                while True:
                    over, _, lost = self.places.hammer(self.segment, worker, self.limit, 20, held)
                    self.words[WORKERS + worker] += 20
                    self.words[2 * WORKERS + worker] += over + lost
            finally:
                os._exit(70)
        return pid

    def kill(self, worker: int) -> None:
        os.kill(self.pids[worker], signal.SIGKILL)
        os.waitpid(self.pids[worker], 0)
        self.words[worker] = 0  # its sessions ended with it
        self.doubtful |= settle_dead_worker(self.segment, worker)
        mend_hints(self.segment, self.doubtful)

    def served(self) -> list[int]:
        return list(self.words[WORKERS : 2 * WORKERS])

    def faults(self) -> int:
        return sum(self.words[2 * WORKERS :])


@pytest.mark.slow
def test_processes_killed_at_random_moments_hold_nobody_up(
    places: Places, segment: Segment, seed: int
) -> None:
    chance = random.Random(seed)
    hammers = Hammers(places, segment, 2)
    try:
        for _ in range(KILLS):
            victim = chance.randrange(WORKERS)
            time.sleep(chance.random() * 0.01)  # the random moment
            hammers.kill(victim)
            hammers.pids[victim] = hammers.start(victim)
        before = hammers.served()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(now > then for now, then in zip(hammers.served(), before, strict=True)):
            assert time.monotonic() < deadline, f"seed {seed}: somebody waits for ever"
            time.sleep(0.01)
    finally:
        for worker in range(WORKERS):
            hammers.kill(worker)
    assert hammers.faults() == 0, f"seed {seed}"
    assert (hammers.doubtful, SlotTableReader(segment).hint(0)) == (set(), 0), f"seed {seed}"
    assert CounterReader(segment).server(0)["sessions"] == 0
