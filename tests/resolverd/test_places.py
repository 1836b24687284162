"""Places for runs: never more than there are, the urgent first, nobody forgotten."""

from __future__ import annotations

import random

from resolverd.places import RUNS_MAX, Places


def test_there_are_256_places() -> None:
    places = Places(RUNS_MAX)
    assert RUNS_MAX == 256
    assert [places.enter(key, urgent=False) for key in range(257)] == [True] * 256 + [False]
    assert places.leave(7) == 256
    assert len(places) == 256


def test_urgent_ones_go_first_then_who_came_first() -> None:
    places = Places(1)
    assert places.enter(0, urgent=False)
    for key, urgent in ((1, False), (2, True), (3, False), (4, True)):
        assert not places.enter(key, urgent=urgent)
    order = [0]
    while (key := places.leave(order[-1])) is not None:
        order.append(key)
    assert order == [0, 2, 4, 1, 3]
    assert len(places) == 0


def test_who_has_become_urgent_moves_up_and_is_called_once() -> None:
    places = Places(1)
    places.enter(0, urgent=False)
    for key in (1, 2):
        places.enter(key, urgent=False)
    assert not places.enter(2, urgent=True)
    assert not places.enter(2, urgent=False)
    assert places.leave(0) == 2
    assert places.enter(2, urgent=False), "who has a place keeps it"
    assert places.leave(2) == 1
    assert places.leave(1) is None


def test_who_leaves_while_waiting_is_not_called() -> None:
    places = Places(1)
    for key in (0, 1, 2):
        places.enter(key, urgent=key == 1)
    assert places.leave(1) is None
    assert places.leave(0) == 2


def test_random_comings_and_goings_call_everybody_once() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        places = Places(3)
        inside: set[int] = set()
        waiting: set[int] = set()
        for _ in range(80):
            key = chance.randrange(12)
            if chance.random() < 0.6:
                entered = places.enter(key, urgent=chance.random() < 0.3)
                assert entered == (key in inside or len(inside) < 3), f"seed {seed}"
                (inside if entered else waiting).add(key)
            else:
                following = places.leave(key)
                expected = key in inside and bool(waiting - {key})
                assert (following is not None) == expected, f"seed {seed}"
                inside.discard(key)
                waiting.discard(key)
                if following is not None:
                    assert following in waiting, f"seed {seed}"
                    waiting.discard(following)
                    inside.add(following)
            assert len(places) == len(inside) <= 3
