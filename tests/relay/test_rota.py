"""A rota names for each turn the server that the whole schedule would, whatever came and went."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model.settings import Balance
from shm.states import AdminFlag
from tests.support.common import wait_for
from tests.support.generated import examples
from tests.support.relay.parts import backend_with
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Server, named, receive_all

SERVERS_MAX = 150  # more than two words of bits
STANDS = st.tuples(
    st.integers(0, SERVERS_MAX - 1), st.sampled_from([0, 1, 1, 2, 3, 7, 100, 256]), st.booleans()
)


def laid_out(parts: Any, stands: dict[int, tuple[int, bool]], *, allbackups: bool) -> list[int]:
    """The turns as a schedule has them, of servers with these weights; the others are away."""
    weights = [stands.get(number, (0, False))[0] for number in range(SERVERS_MAX)]
    backups = frozenset(number for number, (_, backup) in stands.items() if backup)
    found: list[int] = parts.schedule_of(backend_with(weights, backups), allbackups=allbackups)
    return found


@settings(max_examples=examples(80))
@given(st.lists(STANDS, max_size=60), st.booleans())
def test_its_order_is_that_of_the_schedule(
    parts: Any, changes: list[tuple[int, int, bool]], allbackups: bool
) -> None:
    rota = parts.RotaHandle(SERVERS_MAX, allbackups=allbackups)
    stands: dict[int, tuple[int, bool]] = {}
    for number, weight, backup in changes:
        stands[number] = weight, backup
        assert rota.set(number, weight, backup=backup)
    turns = rota.round()
    assert turns == laid_out(parts, stands, allbackups=allbackups)
    assert rota.members == len(set(turns))
    counts = Counter(turns)
    for number, count in counts.items():
        assert count * sum(map(rota.weight, counts)) == rota.weight(number) * len(turns)
    assert rota.total == sum(map(rota.weight, counts))
    members = sorted(counts)
    before = accumulate(map(rota.weight, members), initial=0)
    assert rota.in_file == list(zip(members, before, strict=False))


def test_equal_weights_with_one_lighter_server_give_the_order_of_the_schedule(parts: Any) -> None:
    chance = random.Random(3)
    rota = parts.RotaHandle(SERVERS_MAX)
    stands = dict.fromkeys(range(SERVERS_MAX), (100, False))
    for number in stands:
        rota.set(number, 100)
    for _ in range(30):
        number, weight = chance.randrange(SERVERS_MAX), chance.choice([0, 50, 100])
        stands[number] = weight, False
        rota.set(number, weight)
        assert rota.round() == laid_out(parts, stands, allbackups=False)


def test_weights_that_no_server_has_cost_nothing(parts: Any) -> None:
    rota = parts.RotaHandle(3)
    for weight in range(1, 257):
        rota.set(1, weight)
        rota.set(2, weight, backup=True)
    assert rota.classes == (1, 1)
    rota.set(1, 0)
    rota.set(2, 0)
    assert rota.classes == (0, 0)
    assert rota.round() == []


def test_ten_thousand_servers_of_all_weights_have_their_exact_share(parts: Any) -> None:
    rota = parts.RotaHandle(10_000)
    weights = [1 + number * 7 % 256 for number in range(10_000)]
    for number, weight in enumerate(weights):
        rota.set(number, weight)
    assert rota.members == 10_000
    tenth = sum(weights) // 10
    counts = Counter(rota.turn(ticket) for ticket in range(tenth))
    for number, weight in enumerate(weights):
        assert abs(counts[number] - weight / 10) <= 1


def sees_all(relay: RelayUnderTest) -> bool:
    """Whether the relay has looked at the table as it is now."""
    return bool(relay.status(0).generation_seen == relay.call("table_generation"))


@pytest.mark.parametrize("slowstart_ms", [0, 600_000])
@pytest.mark.parametrize(
    ("fields", "maxconn", "looks"),
    [
        ({}, 0, 1),
        ({}, 10, 2),  # for turns, and for sessions that may have to end
        ({"balance": Balance.RANDOM}, 0, 2),
        ({"balance": Balance.LEASTCONN}, 0, 2),
        ({"balance": Balance.STATIC_RR}, 0, 1),
        ({"balance": Balance.SOURCE}, 0, 1),
        ({"balance": Balance.SOURCE, "hash_consistent": True}, 0, 1),
        ({"balance": Balance.FIRST}, 0, 1),
    ],
)
def test_an_order_costs_a_relay_the_same_looks_however_many_servers_there_are(
    fields: dict[str, Any], maxconn: int, looks: int, slowstart_ms: int
) -> None:
    with Server(named("0")) as server:
        costs = []
        for count in (10, 1_000):
            one = RelayServer(*server.address, maxconn=maxconn, slowstart_ms=slowstart_ms)
            with RelayUnderTest([one] * count, **fields) as relay:
                relay.administer(count - 1, flags=AdminFlag.FMAINT)
                wait_for(lambda: sees_all(relay), 5, "the first look, at all servers")
                before = relay.counters()
                for number in range(20):
                    flags = AdminFlag(0) if number % 2 else AdminFlag.FMAINT
                    relay.administer(number // 2, flags=flags)
                    wait_for(lambda: sees_all(relay), 5, "the relay has seen it")
                after = relay.counters()
                with relay.connect() as client:
                    assert receive_all(client) == b"0"
            work = ("slot_refreshes", "schedule_builds")
            costs.append([after[name] - before[name] for name in work])
        assert costs == [[20 * looks, 0], [20 * looks, 0]]
