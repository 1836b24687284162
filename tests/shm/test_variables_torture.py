"""Processes that set one variable of the program at full speed, and are killed meanwhile.

Forbidden: a mixture of two values, one older than what was read before, and two setters that both
take the place of one value.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shm.segment import Segment
from shm.shape import Shape
from tests.shm.test_latch_torture import process
from tests.support.compiled import compiled
from tests.support.generated import sample

TIMES, READS = sample(4_000, 100_000), 20_000


@pytest.fixture(scope="module")
def torture() -> Any:
    return compiled(Path(__file__).parent / "variables_torture.pyx", "-O2", "-g0")


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Shape(1, 1, 1, 2, 1, 1, 1))
    yield made
    made.close()


def test_each_of_all_sets_counts_once(torture: Any, segment: Segment) -> None:
    children = []
    for row in range(3):
        pid = os.fork()
        if pid == 0:
            torture.add(segment, row, TIMES)
            os._exit(0)
        children.append(pid)
    last = 0
    while children:
        _, _, torn, backwards, number = torture.read(segment, 100)
        assert (torn, backwards) == (0, 0)
        assert number >= last
        last = number
        for pid in list(children):
            if os.waitpid(pid, os.WNOHANG)[0]:
                children.remove(pid)
    assert torture.read(segment, 1) == (1, 0, 0, 0, 3 * TIMES)


def test_setters_that_are_killed_leave_a_whole_value(
    torture: Any, segment: Segment, seed: int
) -> None:
    chance = random.Random(seed)
    last = 0
    with process(lambda: torture.add(segment, 0, 1_000)):
        for _ in range(sample(30, 1_000)):
            pid = os.fork()
            if pid == 0:
                torture.add(segment, 1, 1 << 60)
            whole, _, torn, backwards, number = torture.read(segment, chance.randrange(READS))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            assert (torn, backwards) == (0, 0)
            assert not whole or number >= last
            last = number if whole else last
    torture.add(segment, 1, 1)  # a successor goes on with the row of one that was killed
    found = torture.read(segment, 1)
    assert found[:4] == (1, 0, 0, 0)
    assert found[4] > last
