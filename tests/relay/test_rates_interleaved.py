"""A rate that workers share: each stopped or killed at any instruction, or all of them at once.

A session that was let in is judged when all is over, by what was counted in the second before in
the end: at its own time there were never more than the limit.
"""

from __future__ import annotations

import mmap
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.compiled import compiled
from tests.support.generated import sample
from tests.support.tables.steps import Memory
from tests.support.trace import SteppedChild, stop_at_each

SOURCE = Path(__file__).parent / "rate_steps.pyx"
INSTRUCTIONS_MAX = 5_000
BEGIN_MS = 70_000
LIMIT = 5
WORKERS = 4
SECONDS = sample(40, full=400)
BUSY_SECONDS = sample(4, full=40)  # with a limit so high that workers meet at the word


class Let(NamedTuple):
    """One that was let in: how many came then, when it counts, and how much of that had passed."""

    total: int
    second: int
    passed_ms: int


@pytest.fixture(scope="module")
def steps() -> Any:
    """rate_steps.pyx compiled against the product's own functions."""
    flags = ["-O2", "-g0"]
    if os.environ.get("MILLRACE_SANITIZE") == "thread":
        flags += ["-g", "-fsanitize=thread", "-Wno-tsan"]
    return compiled(SOURCE, *flags)


class Shared:
    """The words of a rate in a file, and what those said that were let in."""

    def __init__(self, steps: Any) -> None:
        self.steps = steps
        self.file = Memory(os.memfd_create("rate"), mmap.PAGESIZE)
        os.ftruncate(self.file.fd, self.file.size)
        self.words = memoryview(mmap.mmap(self.file.fd, self.file.size)).cast("Q")
        self.let: list[Let] = []

    def take(self, now_ms: int) -> bool:
        total, second = self.steps.take(self.words, LIMIT, now_ms)
        return self.note(total, second, now_ms)

    def note(self, total: int, second: int, now_ms: int) -> bool:
        if total:
            passed_ms = now_ms % 1_000 if now_ms // 1_000 + 1 == second else 0
            self.let.append(Let(total, second, passed_ms))
        return bool(total)

    def take_all(self, now_ms: int) -> int:
        """How many are let in at this time, until one is not."""
        count = 0
        while self.take(now_ms):
            count += 1
        return count


def judge(let: list[Let], limit: int, note: str = "") -> None:
    """Each is the next of its second; with its part of the second before it is within the limit."""
    counts = Counter(each.second for each in let)
    places: dict[int, list[int]] = {second: [] for second in counts}
    for total, second, passed_ms in let:
        before = counts[second - 1] * (1_000 - passed_ms) // 1_000
        assert total <= limit, note
        places[second].append(total - before)
    for second, found in places.items():
        assert sorted(found) == list(range(1, counts[second] + 1)), f"{note} second {second}"


@pytest.fixture
def shared(steps: Any) -> Iterator[Shared]:
    made = Shared(steps)
    yield made
    os.close(made.file.fd)


def stopped(shared: Shared, now_ms: int, said: memoryview) -> Iterator[tuple[SteppedChild, str]]:
    """A child lets one in; it is stopped after each instruction, until one is over."""

    def work() -> None:
        said[0] = 0
        shared.steps.take(shared.words, LIMIT, now_ms, said)

    for child, count in stop_at_each([shared.file], work, 1, INSTRUCTIONS_MAX):
        if said[0]:
            return
        yield child, f"after {count} instructions"


TIMES = (  # of the one that is stopped; of the others: before, meanwhile and after
    (BEGIN_MS + 400, (BEGIN_MS + 300, BEGIN_MS + 400, BEGIN_MS + 400)),
    (BEGIN_MS + 400, (BEGIN_MS - 700, BEGIN_MS + 450, BEGIN_MS + 900)),
    (BEGIN_MS + 999, (BEGIN_MS + 100, BEGIN_MS + 1_000, BEGIN_MS + 1_300)),  # its clock is behind
    (BEGIN_MS + 999, (BEGIN_MS - 500, BEGIN_MS + 2_000, BEGIN_MS + 2_500)),
    (BEGIN_MS + 1_000, (BEGIN_MS + 10, BEGIN_MS + 999, BEGIN_MS + 999)),  # it is ahead
    (BEGIN_MS + 1_500, (BEGIN_MS - 900, BEGIN_MS + 900, BEGIN_MS + 3_000)),
)


@pytest.mark.slow
@pytest.mark.parametrize(("own", "others"), TIMES)
def test_one_that_is_stopped_and_others_keep_the_limit(
    shared: Shared, own: int, others: tuple[int, int, int]
) -> None:
    said = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
    before, meanwhile, after = others
    for _ in range(2):
        assert shared.take(before)
    first = list(shared.let)
    looks, refused = 0, 0
    for child, note in stopped(shared, own, said):
        shared.let = list(first)
        shared.take_all(meanwhile)
        child.finish()
        assert said[0], note
        refused += not shared.note(said[1], said[2], own)
        shared.take_all(after)
        judge(shared.let, LIMIT, note)
        looks += 1
    assert looks > 20
    assert refused < looks, "it is let in where it was first"


@pytest.mark.slow
@pytest.mark.parametrize("before", [BEGIN_MS - 300, BEGIN_MS + 300])
def test_one_that_is_killed_takes_one_place_of_its_second_at_most(
    shared: Shared, before: int
) -> None:
    said = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
    assert shared.take(before)
    now_ms = BEGIN_MS + 300
    found = set()
    for child, note in stopped(shared, now_ms, said):
        child.kill()
        free = LIMIT - shared.steps.now(shared.words, now_ms)
        assert shared.take_all(now_ms) == free, note
        found.add(free)
        assert shared.take_all(now_ms + 2_000) == LIMIT, note
    assert found in ({LIMIT - 1, LIMIT - 2}, {LIMIT, LIMIT - 1}), "before it has counted, and after"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "seconds", "tries_each_ms"),
    [(1, SECONDS, 3), (40, SECONDS, 3), (60_000, BUSY_SECONDS, 60)],
)
def test_threads_whose_clocks_differ_keep_the_limit(
    steps: Any, shared: Shared, seed: int, limit: int, seconds: int, tries_each_ms: int
) -> None:
    """None is lost, none too many: each is the next one of its second."""
    begin_ms = random.Random(seed).randrange(10**9)
    clock = memoryview(bytearray(24)).cast("Q")
    clock[0], clock[1] = begin_ms, WORKERS
    until_ms = begin_ms + 1_000 * seconds
    room = (limit + 1) * (seconds + 2)
    found = [
        memoryview(bytearray(24 * room)).cast("B").cast("Q", (room, 3)) for _ in range(WORKERS)
    ]
    taken = [0] * WORKERS

    def work(number: int) -> None:
        taken[number] = steps.hammer(
            shared.words, limit, clock, until_ms, tries_each_ms, found[number]
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    let = [
        Let(found[number][row, 0], found[number][row, 1], found[number][row, 2])
        for number in range(WORKERS)
        for row in range(taken[number])
    ]
    judge(let, limit)
    assert len(let) >= limit * seconds // 3
    found_in = sorted({each.second for each in let})
    assert all(later - former <= 2 for former, later in pairwise(found_in))


def test_what_former_workers_have_let_in_counts(steps: Any, shared: Shared) -> None:
    """Those of this second and of the one before, whether they were let in before or meanwhile."""
    others = Shared(steps)
    for now_ms in (BEGIN_MS - 1_500, BEGIN_MS - 1_200, BEGIN_MS - 300, BEGIN_MS + 10):
        assert others.take(now_ms)
    assert shared.take(BEGIN_MS - 100)
    assert shared.take(BEGIN_MS + 20)
    steps.add(shared.words, others.words, BEGIN_MS + 20)
    assert steps.now(shared.words, BEGIN_MS + 20) == 2 + 2 * 980 // 1_000
    assert shared.take_all(BEGIN_MS + 500) == LIMIT - 2 - 1
    assert steps.now(shared.words, BEGIN_MS + 1_000) == 4
    steps.add(shared.words, others.words, BEGIN_MS + 3_000)
    assert steps.now(shared.words, BEGIN_MS + 3_000) == 0
    os.close(others.file.fd)
