"""Limits of listeners, checked over all interleavings of a model (admission_model.py).

The model's steps carry the names of the functions that make them; each fault leaves one of them
out, and something must go wrong then, or the step (or the check) would be worth nothing.
"""

from __future__ import annotations

import random

import pytest

from tests.relay.admission_model import Model, explore
from tests.relay.admission_world import World, put
from tests.support.generated import LONG, sample

WALKS = sample(30, full=20_000)
LENGTHY = pytest.mark.skipif(not LONG, reason="too many worlds for the short run: make long")


def wrong(world: World, limit: int) -> str:
    """What must never be: without a death, no client waits beside a free place for a tick."""
    if world.held() > limit:
        return "over the limit"
    if sleeps(world, limit):
        return "asleep beside a free place"
    return ""


def sleeps(world: World, limit: int) -> bool:
    return world.asleep() and world.waits() and sum(world.sessions) < limit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("coming", "binds", "returns"),
    [((2, 1), (0, 0), 0), ((2, 1), (0, 1), 0), ((1, 1), (0, 0), 1), ((1, 1), (0, 1), 1)],
)
def test_the_bells_are_enough(
    coming: tuple[int, ...], binds: tuple[int, ...], returns: int
) -> None:
    """Two workers; a listener that another has adopted may go back while it is stopped."""
    model = Model(1, binds)
    for world in explore(model, model.begin(coming, returns=returns)):
        assert wrong(world, 1) == "", world


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "coming"), [(2, (1, 1)), (3, (2, 1)), pytest.param(2, (2, 1), marks=LENGTHY)]
)
def test_places_taken_ahead_are_given_back(limit: int, coming: tuple[int, ...]) -> None:
    """None is used twice, and none lies idle while a client waits."""
    model = Model(limit, (0, 0), ahead=1)
    for world in explore(model, model.begin(coming)):
        assert wrong(world, limit) == "", world


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="too many worlds for the short run: make long")
def test_the_bells_are_enough_for_three_workers() -> None:
    model = Model(1, (0, 0, 0), whole_looks=True)
    for world in explore(model, model.begin((1, 1, 1))):
        assert wrong(world, 1) == "", world


@pytest.mark.parametrize(
    ("fault", "coming", "what"),
    [
        ("giving back", (2, 1), "asleep beside a free place"),
        ("asking", (2, 1), "asleep beside a free place"),
    ],
)
def test_each_step_with_places_taken_ahead_is_needed(
    fault: str, coming: tuple[int, ...], what: str
) -> None:
    model = Model(2, (0, 0), ahead=1, faults=frozenset({fault}))
    worlds = explore(model, model.begin(coming))
    assert next(found for world in worlds if (found := wrong(world, 2))) == what


@pytest.mark.parametrize(
    ("fault", "coming", "returns", "what"),
    [
        ("sum after raising", (1, 1), 0, "over the limit"),
        ("looking again", (1, 1), 0, "asleep beside a free place"),
        ("telling", (2, 1), 0, "asleep beside a free place"),
        ("telling after stepping back", (2, 2), 0, "asleep beside a free place"),
        ("passing on", (2, 1), 1, "asleep beside a free place"),
    ],
)
def test_each_step_is_needed(fault: str, coming: tuple[int, ...], returns: int, what: str) -> None:
    model = Model(1, (0, 0), faults=frozenset({fault}))
    worlds = explore(model, model.begin(coming, returns=returns))
    assert next(found for world in worlds if (found := wrong(world, 1))) == what


def ticked(model: Model, world: World) -> World:
    """What comes of it when each worker with a stopped listener looks at its tick (limits_look)."""
    for number, worker in enumerate(world.workers):
        if worker.at == "events" and worker.mine:
            world = model.moved(world, number, worker._replace(freed=True))
    while not world.asleep():
        number = next(filter(world.busy, range(len(world.workers))))
        worker = world.workers[number]
        quiet = model.moved(world, number, worker._replace(held=0))  # no session ends
        stepped = next(model.step(quiet, number, quiet.workers[number]))
        after = stepped.workers[number]
        world = model.moved(stepped, number, after._replace(held=after.held + worker.held))
    return world


@pytest.mark.slow
def test_a_worker_killed_at_any_step_delays_until_the_tick() -> None:
    model = Model(1, (0, 0))
    delayed = 0
    for world in explore(model, model.begin((1, 1), deaths=1)):
        assert world.held() <= 1, world
        if sleeps(world, 1):
            delayed += 1
            assert ticked(model, world).held() == world.held() + 1, world
    assert delayed > 0


@pytest.mark.slow
def test_a_worker_stopped_at_any_step_delays_until_the_tick_after_it_is_lifeless() -> None:
    model = Model(1, (0, 0), freezes=True)
    delayed = 0
    for world in explore(model, model.begin((1, 1), deaths=1)):
        assert world.held() <= 1, world
        frozen = [number for number, each in enumerate(world.workers) if each.at == "frozen"]
        if frozen and sleeps(world, 1):
            delayed += 1
            seen = world._replace(lifeless=put(world.lifeless, frozen[0], True))
            assert ticked(model, seen).held() == world.held() + 1, world
    assert delayed > 0


@pytest.mark.slow
def test_three_workers_by_random_walks(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(WALKS):
        limit = chance.choice((1, 1, 2, 3, 4))
        deaths = chance.choice((0, 0, 1, 2))
        binds = chance.choice(((0, 0, 0), (0, 1, 1), (0, 1, 2)))
        model = Model(limit, binds, ahead=chance.choice((0, 1, 2)))
        world = model.begin((3, 2, 2), deaths=deaths, returns=chance.choice((0, 1)))
        while following := list(model.following(world)):
            world = chance.choice(following)
            assert world.held() <= limit, f"seed {seed}: {world}"
            if not sleeps(world, limit):
                continue
            assert deaths > world.deaths, f"seed {seed}: {world}"
            assert ticked(model, world).held() > world.held(), f"seed {seed}: {world}"
