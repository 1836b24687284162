"""What the balances look their servers up in: turns, maps, rings, orders; bare, without a connection."""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.segment import Segment
from shm.slots import AdminTableWriter, SlotTableReader
from tests.support.generated import examples
from tests.support.relay.parts import backend_with

WEIGHTS = st.lists(st.integers(0, 256), min_size=1, max_size=12)


def weigh(segment: Segment, slot: int, weight: int) -> None:
    """As the operator does."""
    record = SlotTableReader(segment).admin(slot)
    AdminTableWriter(segment).publish(slot, record._replace(weight=weight))


@settings(max_examples=examples(60))
@given(WEIGHTS)
@pytest.mark.parametrize("kind", ["turns", "map"])
def test_in_one_period_each_server_has_exactly_its_weight(
    parts: Any, kind: str, weights: list[int]
) -> None:
    schedule = parts.schedule_of(backend_with(weights), kind=kind)
    counts = Counter(schedule)
    for slot, weight in enumerate(weights):
        assert counts[slot] * sum(weights) == weight * len(schedule)


@settings(max_examples=examples(60))
@given(WEIGHTS)
@pytest.mark.parametrize("kind", ["turns", "map"])
def test_at_any_moment_each_server_has_had_its_share(
    parts: Any, kind: str, weights: list[int]
) -> None:
    schedule = parts.schedule_of(backend_with(weights), kind=kind)
    for slot, weight in enumerate(weights):
        had = accumulate(found == slot for found in schedule)
        for turns, count in enumerate(had, 1):
            assert abs(count - turns * weight / sum(weights)) < len(weights)


def test_a_map_keeps_the_configured_weights(parts: Any) -> None:
    segment = backend_with([1, 1])
    weigh(segment, 0, 5)
    assert parts.schedule_of(segment, kind="map") == [0, 1]
    weigh(segment, 0, 0)
    assert parts.schedule_of(segment, kind="map") == [1]


def test_servers_are_ordered_by_id(parts: Any) -> None:
    segment = backend_with([1, 1, 0, 1], ids=[70_000, 5, 1, 300])
    assert parts.schedule_of(segment, kind="order") == [1, 3, 0]


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("127.0.0.1", 0x7F000001),
        ("::1", 1),
        ("::ffff:127.0.0.1", 0xFFFF ^ 0x7F000001),
        ("2001:db8:1:2:3:4:5:6", 0x20010DB8 ^ 0x00010002 ^ 0x00030004 ^ 0x00050006),
    ],
)
def test_an_address_is_its_own_number(parts: Any, address: str, number: int) -> None:
    parsed = ipaddress.ip_address(address)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    assert parts.hash_of(family, parsed.packed) == number


def test_the_peer_of_a_unix_socket_has_no_number(parts: Any) -> None:
    assert parts.hash_of(socket.AF_UNIX, b"") is None


def test_avalanche_spreads_neighbours(parts: Any) -> None:
    spread = {parts.avalanche_of(number) % 16 for number in range(100)}
    assert spread == set(range(16))
    assert {parts.avalanche_of(number) >> 28 for number in range(200)} == set(range(16))
