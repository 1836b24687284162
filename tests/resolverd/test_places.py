"""Places for runs: never more than there are, the urgent first, none forgotten."""

from __future__ import annotations

import random

from resolverd.pace.run_limit import FAILING_PART, HELD_MS, RUNS_MAX, RunLimit, Turn

NOW = 1_000_000


def test_there_are_256_places() -> None:
    places = RunLimit(RUNS_MAX)
    assert RUNS_MAX == 256
    assert [places.enter(key, Turn.VALID, NOW) for key in range(257)] == [True] * 256 + [False]
    assert places.leave(7) == [256]
    assert len(places) == 256


def test_urgent_ones_go_first_then_who_came_first() -> None:
    places = RunLimit(1)
    assert places.enter(0, Turn.VALID, NOW)
    for key, urgent in ((1, False), (2, True), (3, False), (4, True)):
        assert not places.enter(key, Turn.URGENT if urgent else Turn.VALID, NOW)
    order = [0]
    while following := places.leave(order[-1]):
        order += following
    assert order == [0, 2, 4, 1, 3]
    assert len(places) == 0


def test_who_has_become_urgent_moves_up_and_is_called_once() -> None:
    places = RunLimit(1)
    places.enter(0, Turn.VALID, NOW)
    for key in (1, 2):
        places.enter(key, Turn.VALID, NOW)
    assert not places.enter(2, Turn.URGENT, NOW)
    assert not places.enter(2, Turn.VALID, NOW)
    assert places.leave(0) == [2]
    assert places.enter(2, Turn.VALID, NOW), "who has a place keeps it"
    assert places.leave(2) == [1]
    assert places.leave(1) == []


def test_who_leaves_while_waiting_is_not_called() -> None:
    places = RunLimit(1)
    for key in (0, 1, 2):
        places.enter(key, Turn.URGENT if key == 1 else Turn.VALID, NOW)
    assert places.leave(1) == []
    assert places.leave(0) == [2]


def test_a_run_with_two_questions_takes_two_places_and_is_not_overtaken() -> None:
    places = RunLimit(3)
    assert places.enter(0, Turn.VALID, NOW, places=2)
    assert not places.enter(1, Turn.VALID, NOW, places=2), "one place is left"
    assert not places.enter(2, Turn.VALID, NOW), "it waits behind the other"
    assert places.leave(0) == [1, 2]
    assert len(places) == 3
    assert places.enter(3, Turn.URGENT, NOW) is False
    assert places.leave(1) == [3]
    assert len(places) == 2


def test_who_stops_waiting_lets_those_behind_in() -> None:
    places = RunLimit(2)
    places.enter(0, Turn.VALID, NOW)
    assert not places.enter(1, Turn.VALID, NOW, places=2)
    assert not places.enter(2, Turn.VALID, NOW)
    assert places.leave(1) == [2]


def test_one_that_needs_more_than_there_are_goes_on_alone() -> None:
    places = RunLimit(1)
    assert places.enter(0, Turn.VALID, NOW, places=2)
    assert not places.enter(1, Turn.VALID, NOW)
    assert not places.enter(2, Turn.VALID, NOW, places=2)
    assert places.leave(0) == [1]
    assert places.leave(1) == [2]
    assert places.leave(2) == []
    assert len(places) == 0


def test_failing_names_have_half_of_the_places_and_one_at_least() -> None:
    places = RunLimit(4)
    assert [places.enter(key, Turn.FAILING, NOW) for key in range(4)] == [True, True, False, False]
    assert places.enter(10, Turn.VALID, NOW)
    assert places.enter(11, Turn.VALID, NOW)
    assert not places.enter(12, Turn.VALID, NOW)
    assert places.leave(0) == [12], "who is valid goes first"
    assert not places.enter(13, Turn.VALID, NOW)
    assert places.leave(1) == [2], "one place is theirs"
    assert places.leave(2) == [3]


def test_a_place_that_is_held_for_long_is_released_where_others_wait() -> None:
    """The longest held first, as many as are held so long, and none that no other waits for."""
    places = RunLimit(2)
    assert places.enter(0, Turn.VALID, NOW)
    assert places.enter(1, Turn.VALID, NOW + 100)
    assert places.release_ms is None
    assert places.release(NOW + 10 * HELD_MS) == []
    assert not places.enter(2, Turn.URGENT, NOW + 200)
    assert places.release_ms == NOW + HELD_MS
    assert places.release(NOW + HELD_MS - 1) == []
    assert places.release(NOW + HELD_MS) == [2]
    assert places.enter(2, Turn.URGENT, NOW + HELD_MS)
    assert places.leave(0) == [], "its run ends without a place"
    assert not places.enter(0, Turn.VALID, NOW + HELD_MS)
    assert not places.enter(3, Turn.VALID, NOW + HELD_MS)
    assert places.release_ms == NOW + 100 + HELD_MS
    assert places.release(NOW + 10 * HELD_MS) == [0, 3]
    assert places.release_ms is None
    assert len(places) == 2


def test_failing_names_release_their_own_share() -> None:
    places = RunLimit(4)
    assert [places.enter(key, Turn.FAILING, NOW) for key in range(3)] == [True, True, False]
    assert places.enter(3, Turn.VALID, NOW)
    assert places.release(NOW + HELD_MS) == [2]
    assert len(places) == 3, "no other waits now"


def test_random_comings_and_goings_call_everybody_once() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        limit = chance.choice((1, 3, 5))
        places = RunLimit(limit)
        needs = {key: chance.choice((1, 1, 2)) for key in range(12)}
        turns = {key: chance.choice(list(Turn)) for key in range(12)}
        failing = [key for key in turns if turns[key] is Turn.FAILING]
        inside: set[int] = set()
        waiting: set[int] = set()
        for _ in range(80):
            key = chance.randrange(12)
            taken = sum(needs[each] for each in inside)
            if chance.random() < 0.6:
                entered = places.enter(key, turns[key], NOW, places=needs[key])
                share = limit // FAILING_PART - sum(
                    needs[each] for each in failing if each in inside
                )
                room = limit - taken if key not in failing else min(limit - taken, share)
                fits = not inside or needs[key] <= room
                if key in inside or not waiting:
                    assert entered == (key in inside or fits), f"seed {seed}"
                assert not entered or key in inside or fits, f"seed {seed}"
                (inside if entered else waiting).add(key)
                waiting -= inside
            else:
                following = places.leave(key)
                inside.discard(key)
                waiting.discard(key)
                assert waiting.issuperset(following), f"seed {seed}"
                waiting.difference_update(following)
                inside.update(following)
            taken = sum(needs[each] for each in inside)
            assert len(places) == taken, f"seed {seed}"
            assert taken <= limit or len(inside) == 1, f"seed {seed}"
            assert inside or not waiting, f"seed {seed}: all wait"
            room = limit - taken
            eager = waiting.difference(failing)
            assert not eager or room < max(needs[each] for each in waiting), f"seed {seed}"
            share = sum(needs[each] for each in inside.intersection(failing))
            assert len(inside) == 1 or share <= max(2, limit // FAILING_PART), f"seed {seed}"
