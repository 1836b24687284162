"""Two processes on one latch at full speed: which outcomes a reader may see, and which never.

Allowed: the record before, the record after. Forbidden: a mixture of two, one older than what the
table generation promised, one older than what was read before, and waiting for the writer.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import pytest

from shm.segment import Segment
from shm.shape import Shape
from tests.support.compiled import compiled

ROOT = Path(__file__).parents[2]
BATCH = 20_000


class Reads(NamedTuple):
    whole: int
    refused: int
    torn: int
    stale: int
    backwards: int
    last: int

    def check(self, note: str) -> None:
        assert (self.torn, self.stale, self.backwards) == (0, 0, 0), f"{note}: {self}"


class Torture(Protocol):
    def write(self, segment: Segment, records: int) -> None: ...

    def read(self, segment: Segment, reads: int) -> tuple[int, int, int, int, int, int]: ...

    def write_names(self, segment: Segment, records: int) -> None: ...

    def read_names(self, segment: Segment, reads: int) -> tuple[int, int, int, int, int, int]: ...


@pytest.fixture(scope="module")
def torture() -> Torture:
    """torture.pyx compiled against the product's own latch."""
    return cast("Torture", compiled(Path(__file__).parent / "torture.pyx", "-O2", "-g0"))


@pytest.fixture
def segment(torture: Torture) -> Iterator[Segment]:
    """One slot that holds the torture's record 1."""
    made = Segment.create(Shape(1, 1, 1, 1, 1, 1, 1))
    torture.write(made, 1)
    yield made
    made.close()


@contextmanager
def process(work: Callable[[], object]) -> Iterator[int]:
    """A fork that repeats `work` until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                work()
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.slow
def test_no_read_beside_a_busy_writer_is_torn_stale_or_backwards(
    segment: Segment, torture: Torture
) -> None:
    whole, last = 0, 0
    with process(lambda: torture.write(segment, 1_000_000)):
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            reads = Reads(*torture.read(segment, BATCH))
            reads.check("beside a busy writer")
            assert reads.last >= last
            whole, last = whole + reads.whole, reads.last
    assert whole > 10 * BATCH
    assert last > 10 * BATCH, "the writer hardly ran"


@pytest.mark.slow
def test_a_writer_stopped_at_any_moment_blocks_no_reader(
    segment: Segment, torture: Torture, seed: int
) -> None:
    chance = random.Random(seed)
    with process(lambda: torture.write(segment, 1_000_000)) as pid:
        for _ in range(150):
            os.kill(pid, signal.SIGSTOP)
            os.waitpid(pid, os.WUNTRACED)
            reads = Reads(*torture.read(segment, 100))
            reads.check(f"writer stopped, seed {seed}")
            assert reads.refused == 0, "a stopped writer blocked a reader"
            os.kill(pid, signal.SIGCONT)
            deadline = time.monotonic() + chance.random() * 0.003
            while time.monotonic() < deadline:
                Reads(*torture.read(segment, 50)).check(f"writer running, seed {seed}")


@pytest.mark.slow
def test_a_killed_writer_is_followed_by_one_that_carries_on(
    segment: Segment, torture: Torture, seed: int
) -> None:
    chance = random.Random(seed)
    last = 0
    for _ in range(60):
        with process(lambda: torture.write(segment, 1_000_000)):
            deadline = time.monotonic() + 0.001 + chance.random() * 0.004
            while time.monotonic() < deadline:
                reads = Reads(*torture.read(segment, 50))
                reads.check(f"writer running, seed {seed}")
                assert reads.last >= last
                last = max(last, reads.last)
        reads = Reads(*torture.read(segment, 50))
        reads.check(f"writer killed, seed {seed}")
        assert reads.refused == 0
        assert reads.last >= last
        last = reads.last
    assert last > 1_000


@pytest.mark.slow
def test_readers_that_are_killed_leave_no_trace(segment: Segment, torture: Torture) -> None:
    for _ in range(20):
        with process(lambda: torture.read(segment, BATCH)):
            torture.write(segment, 2_000)
            reads = Reads(*torture.read(segment, 100))
            reads.check("beside a reader that will be killed")
            assert reads.refused == 0
    assert Reads(*torture.read(segment, 1)).last == 40_001


@pytest.mark.slow
def test_names_are_read_whole_beside_writers_that_are_killed(torture: Torture) -> None:
    segment = Segment.create(Shape(1, 1, 1, 1, 1, 1, 1))
    torture.write_names(segment, 1)
    last = whole = 0
    for _ in range(30):
        with process(lambda: torture.write_names(segment, 1_000_000)):
            deadline = time.monotonic() + 0.02
            while time.monotonic() < deadline:
                reads = Reads(*torture.read_names(segment, 500))
                reads.check("beside a writer of names")
                if reads.whole == 0:
                    continue  # a slow reader beside a fast writer: refused, never fooled
                assert reads.last >= last
                whole, last = whole + reads.whole, reads.last
        reads = Reads(*torture.read_names(segment, 50))
        reads.check("after its death")
        assert reads.refused == 0
        whole += reads.whole
    assert whole > 1_000
    assert last > 10_000
    segment.close()
