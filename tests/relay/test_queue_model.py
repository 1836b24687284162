"""Places and queues, checked over all interleavings of a model (queue_model.py).

The model's steps carry the names of the functions that make them; each fault leaves one of them
out, and something must go wrong then, or the step (or the check) would be worth nothing.
"""

from __future__ import annotations

import random

import pytest

from tests.relay.queue_model import Model, World, begin, explore
from tests.support.generated import sample

WALKS = sample(30, full=20_000)


def wrong(world: World, limit: int) -> str:
    """What must never be: without a kill, no session sleeps beside a free place."""
    if world.held() > limit:
        return "over the limit"
    if world.out_of_order:
        return "out of order"
    if sleeps(world, limit):
        return "asleep beside a free place"
    return ""


def sleeps(world: World, limit: int) -> bool:
    return world.asleep() and bool(world.waiting()) and sum(world.sessions) < limit


@pytest.mark.slow
def test_without_kills_the_bells_are_enough() -> None:
    """No sweep here: one place, a client at each worker; in the long run two at one of them."""
    model = Model(1, sweep=False)
    for world in explore(model, begin((sample(1, full=2), 1), 0)):
        assert wrong(world, 1) == "", world


@pytest.mark.parametrize(
    ("fault", "coming", "limit", "what"),
    [
        ("sum after raising", (1, 1), 1, "over the limit"),
        ("looking again", (1, 1), 1, "asleep beside a free place"),
        ("telling after stepping back", (1, 1), 1, "asleep beside a free place"),
        ("places told", (1, 1), 1, "asleep beside a free place"),
        ("number read first", (1, 1), 1, "asleep beside a free place"),
        ("passing on", (2, 1), 2, "asleep beside a free place"),
    ],
)
def test_each_step_is_needed(fault: str, coming: tuple[int, ...], limit: int, what: str) -> None:
    model = Model(limit, sweep=False, faults=frozenset({fault}))
    worlds = explore(model, begin(coming, 0))
    assert next(found for world in worlds if (found := wrong(world, limit))) == what


def swept(model: Model, world: World) -> World:
    """What comes of it when each worker in turn sweeps and finishes what follows from that."""
    for number, worker in enumerate(world.workers):
        if not worker.queue:
            continue
        world = model.moved(world, number, model.any_review(worker._replace(full=False)))
        while not world.asleep():
            mover = next(
                index
                for index, other in enumerate(world.workers)
                if other.at != "events" or other.review or world.bells[index]
            )
            mine = world.workers[mover]
            quiet = model.moved(world, mover, mine._replace(coming=0, held=0))
            stepped = next(model.step(quiet, mover, quiet.workers[mover]))
            after = stepped.workers[mover]
            gained = after.held
            world = model.moved(
                stepped, mover, after._replace(coming=mine.coming, held=mine.held + gained)
            )
    return world


@pytest.mark.slow
def test_only_a_kill_delays_and_the_sweep_ends_that() -> None:
    """A worker killed between giving a place back and ringing leaves a session asleep."""
    model = Model(1, sweep=False)
    asleep = 0
    for world in explore(model, begin((1, 1), 1)):
        assert world.held() <= 1, world
        if sleeps(world, 1):
            asleep += 1
            assert swept(model, world).held() == world.held() + 1, world
    assert asleep > 0


@pytest.mark.slow
def test_three_workers_by_random_walks(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(WALKS):
        limit = chance.choice((1, 1, 2))
        kills = chance.choice((0, 0, 1, 2))
        model = Model(limit, sweep=kills > 0)
        world = begin((3, 2, 2), kills)
        while following := list(model.following(world)):
            world = chance.choice(following)
            if kills:
                assert world.held() <= limit, f"seed {seed}: {world}"
                if world.asleep() and not any(worker.coming for worker in world.workers):
                    break
            else:
                assert wrong(world, limit) == "", f"seed {seed}: {world}"
