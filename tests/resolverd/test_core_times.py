"""What the core measures: how long runs take, and moves of servers to another address."""

from __future__ import annotations

from resolverd.pace.durations import MOVE_MS_MAX, move_bucket, run_bucket
from shm.histograms import MOVES, RUNS
from tests.resolverd.test_core import ONE, TWO, World
from tests.support.dns.resolution import resolution_settings, servers


def test_runs_and_the_time_to_another_address_are_measured() -> None:
    world = World(resolution_settings(servers(1)))
    world.run(7)
    world.answer(0, ONE)
    assert world.board.observed == [(0, RUNS, run_bucket(7), 7)]
    world.board.observed.clear()
    world.run(10)
    world.trigger(0)
    world.run(40)
    world.answer(0, ONE)  # DNS does not know yet
    world.run(5_000)
    world.trigger(0)
    world.run(30)
    world.answer(0, TWO)
    moves = [each for each in world.board.observed if each[1] == MOVES]
    assert moves == [(0, MOVES, move_bucket(5_070), 5_070)]
    world.run(5_000)
    world.trigger(0)
    world.answer(0, TWO)
    world.now_ms += MOVE_MS_MAX
    world.run(1)  # a run is due
    world.answer(0, ONE)
    assert [each for each in world.board.observed if each[1] == MOVES] == moves, "too long ago"
