"""resolverd killed at every write and restarted at every step of a history, and the N-th thing lost.

The same histories as in test_simulation.py, a few of them, each as often as it has writes or steps.
The board of some is a real segment. A failure prints the seed and where the axe fell.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.generated import sample
from tests.support.simulation.board import SegmentBoard
from tests.support.simulation.peace import EVENTS, ROUND_MS, converge, pass_time, period_of
from tests.support.simulation.rules import check_now
from tests.support.simulation.simulation import World

SEEDS = sample(1, full=100)  # histories of each sweep
HISTORIES = 3  # in a row
CHANGES = 3  # of the zone in the scripted scenario
FAULTS_MAX = 400  # more questions than the scripted scenario asks
FAULTS_STRIDE = sample(5, full=1)


@contextmanager
def world_of(seed: int, *, real: bool = False) -> Iterator[World]:
    world = World(random.Random(seed), real=real)
    try:
        yield world
    except Exception as error:
        error.add_note(f"seed {seed}, {world.board.writes} writes, {world.steps} steps")
        raise
    finally:
        if isinstance(world.board, SegmentBoard):
            world.board.close()


def play_quietly(world: World) -> None:
    """Histories in which only the sweep kills resolverd."""
    chance = world.chance
    for _ in range(HISTORIES):
        for _ in range(chance.randrange(1, EVENTS)):
            if chance.random() < 0.3:
                world.disturb(kills=False)
            else:
                world.step()
            check_now(world)
        converge(world)


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True])
def test_resolverd_killed_at_every_write(real: bool, seed: int) -> None:
    for each in range(seed, seed + SEEDS):
        fell_at = 0
        while True:
            with world_of(each, real=real) as world:
                world.board.fall_at = world.board.writes + fell_at
                play_quietly(world)
                fallen = world.board.fall_at < 0
            if not fallen:
                break
            fell_at += 1
        assert fell_at > 5


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True])
def test_resolverd_restarted_at_every_step(real: bool, seed: int) -> None:
    for each in range(seed, seed + SEEDS):
        restart_at = 1
        while True:
            with world_of(each, real=real) as world:
                world.restart_at = restart_at
                play_quietly(world)
                restarted = world.steps >= restart_at
            if not restarted:
                break
            restart_at += 1
        assert restart_at > 5


def run_scenario(world: World, fault: str, number: int) -> int:
    """All is well but the N-th question while the zone changes; how many questions there were."""
    world.make_peace()
    world.faults = {number: fault}
    for _ in range(CHANGES):
        for _ in range(2):
            pass_time(world, period_of(world) + ROUND_MS)
            check_now(world)
        world.zone.change_services()
        for host in ("a.test", "b.test", "h0.test"):
            world.zone.change_host(host)
    questions = world.asked.questions
    world.faults.clear()
    converge(world)
    return questions


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["unsent", "silent", "error", "cut", "other", "empty", "twice"])
def test_the_nth_question_goes_wrong(fault: str, seed: int) -> None:
    for number in range(1 + seed % FAULTS_STRIDE, FAULTS_MAX, FAULTS_STRIDE):
        with world_of(seed) as world:
            questions = run_scenario(world, fault, number)
        if number > questions:
            break
    assert questions < FAULTS_MAX
