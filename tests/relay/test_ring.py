"""The ring of consistent hashing: after any history as if it had been laid out anew, at little cost."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.generated import examples

SIXTEENTHS = 16
SERVERS_MAX = 40
NODES_EACH = 4096
NODE_LOOKS = 13  # on average, of linear probing where four fifths of the cells are taken
_chance = random.Random(7)
KEYS = [_chance.getrandbits(32) for _ in range(4_000)]
CHANGES = st.tuples(
    st.integers(0, SERVERS_MAX - 1),
    st.sampled_from([0, 1, 3, 16, 16, 48, 400]),
    st.sampled_from([None, None, None, 5, 2**20 + 5, 70_000]),
)


def ring_with(parts: Any, weights: list[int]) -> Any:
    """A ring of servers with these weights, and the ids that a file without any gives them."""
    ring = parts.RingHandle(range(1, len(weights) + 1))
    for position, weight in enumerate(weights):
        assert ring.set(position, SIXTEENTHS * weight) >= 0
    return ring


def laid_out(parts: Any, stands: dict[int, tuple[int, int]]) -> list[tuple[int, int]]:
    """All nodes, computed at once: key and position."""
    return sorted(
        (parts.avalanche_of((ident * NODES_EACH + node) % 2**32), position)
        for position, (ident, weight) in stands.items()
        for node in range(weight)
    )


def nearest(nodes: list[tuple[int, int]], key: int) -> int:
    """Whose node is nearest, the one before on a tie, by looking at each."""

    def away(node: tuple[int, int]) -> tuple[int, bool]:
        behind, ahead = (key - node[0]) % 2**32, (node[0] - key) % 2**32
        return min(behind, ahead), ahead < behind

    return min(nodes, key=away)[1]


@settings(max_examples=examples(80))
@given(st.lists(CHANGES, max_size=60))
def test_it_is_after_any_history_as_if_laid_out_anew(
    parts: Any, changes: list[tuple[int, int, int | None]]
) -> None:
    ring = parts.RingHandle(range(1, SERVERS_MAX + 1))
    stands: dict[int, tuple[int, int]] = {}
    for position, weight, ident in changes:
        assert ring.set(position, weight, ident) >= 0
        former = stands.get(position, (position + 1, 0))[0]
        stands[position] = (former if ident is None else ident), weight
    nodes = laid_out(parts, stands)
    assert ring.nodes == nodes
    assert ring.by_turn == [position for _, position in nodes]


def test_a_client_belongs_to_the_nearest_node(parts: Any) -> None:
    ring = ring_with(parts, [1, 3, 2])
    keys = [*KEYS[:300], 0, 2**32 - 1, *(key for key, _ in ring.nodes)]
    owners = ring.owners(keys)
    for key, owner in zip(keys, owners, strict=True):
        assert owner == nearest(ring.nodes, key)


@settings(max_examples=examples(40))
@given(st.lists(st.integers(1, 60), min_size=2, max_size=8), st.data())
def test_only_the_clients_of_a_lost_server_move(
    parts: Any, weights: list[int], data: st.DataObject
) -> None:
    ring = ring_with(parts, weights)
    before = ring.owners(KEYS[:500])
    lost = data.draw(st.integers(0, len(weights) - 1))
    ring.set(lost, 0)
    after = ring.owners(KEYS[:500])
    assert lost not in after
    assert all(new == old for old, new in zip(before, after, strict=True) if old != lost)


def test_a_ring_shares_by_weight(parts: Any) -> None:
    weights = [10, 30, 20, 40]
    counts = Counter(ring_with(parts, weights).owners(KEYS))
    for position, weight in enumerate(weights):
        assert abs(counts[position] / len(KEYS) - weight / 100) < 0.05


def test_a_ring_of_ten_thousand_heavy_servers_keeps_its_limit(parts: Any) -> None:
    weight = 256 * SIXTEENTHS
    shift = parts.ring_shift_of(10_000 * weight, 0)
    ring = parts.RingHandle(range(1, 10_001), shift)
    for position in range(10_000):
        ring.set(position, weight)
    counts = Counter(ring.by_turn)
    assert 2**19 < counts.total() <= 2**20
    assert len(counts) == 10_000
    assert len(set(counts.values())) == 1


def test_the_scale_is_that_of_the_file_whoever_comes_and_goes(parts: Any) -> None:
    limit = 2**20
    assert parts.ring_shift_of(limit, 0) == parts.ring_shift_of(limit, 2 * limit) == 0
    assert parts.ring_shift_of(limit + 1, 0) == parts.ring_shift_of(limit + 1, limit + 1) == 1
    assert parts.ring_shift_of(limit, 2 * limit + 1) == 1, "weights were raised by order"


def test_ids_with_the_same_nodes_stand_side_by_side(parts: Any) -> None:
    """The keys of ids that differ by 2^20 are equal, so that all lead to the same cells."""
    ids = [1 + number * 2**20 for number in range(200)]
    ring = parts.RingHandle(ids)
    for position in range(len(ids)):
        assert ring.set(position, 1) >= 0
    assert [position for _, position in ring.nodes] == list(range(len(ids)))
    for position in range(0, len(ids), 2):
        ring.set(position, 0)
    assert [position for _, position in ring.nodes] == list(range(1, len(ids), 2))


def test_a_change_costs_the_nodes_of_its_server_however_many_there_are(parts: Any) -> None:
    costs = []
    for count in (10, 10_000):
        ring = ring_with(parts, [1] * count)
        looked = 0
        for number in range(200):
            position = number * 7919 % count
            looked += ring.set(position, 0) + ring.set(position, SIXTEENTHS)
        costs.append(looked / 200)
    assert max(costs) <= 2 * SIXTEENTHS * NODE_LOOKS
