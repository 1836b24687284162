"""`slowstart`: a server that came back gets its weight in steps, the same ones in every worker."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.settings import Balance
from shm.slots import WARM_STEPS, warmth_of
from shm.states import AdminFlag
from tests.support.common import wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Server, holding, named, receive_all, receive_count

LONG_MS = 600_000  # the first step lasts 37 seconds


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(0, 10**7))
def test_warmth_grows_from_one_step_to_all(came_ms: int, slowstart_ms: int, age_ms: int) -> None:
    first = warmth_of(came_ms, slowstart_ms, came_ms)
    now = warmth_of(came_ms, slowstart_ms, came_ms + age_ms)
    assert first == 1 <= now <= warmth_of(came_ms, slowstart_ms, came_ms + age_ms + 1) <= WARM_STEPS
    if age_ms >= slowstart_ms + 999:
        assert now == WARM_STEPS


def test_steps_are_those_that_haproxy_showed() -> None:
    percent = [100 * warmth_of(50, 8_000, 50 + 1_000 * second + 20) // 16 for second in range(9)]
    assert percent == [6, 18, 31, 43, 56, 68, 81, 93, 100]


def test_who_was_never_away_is_warm() -> None:
    assert warmth_of(0, 8_000, 10) == WARM_STEPS


def ask(relay: RelayUnderTest, times: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(times):
        with relay.connect() as client:
            found[receive_all(client).decode()] += 1
    return found


def come_back(relay: RelayUnderTest, slot: int) -> None:
    relay.judge(slot, up=False)
    wait_for(lambda: str(slot) not in ask(relay, 4), 5, "it is seen down")
    relay.judge(slot, up=True)
    wait_for(lambda: str(slot) in ask(relay, 20), 10, "it is seen up")


@pytest.mark.slow
@pytest.mark.parametrize("balance", [Balance.ROUNDROBIN, Balance.STATIC_RR])
def test_a_server_that_comes_back_has_a_sixteenth_of_its_weight(balance: Balance) -> None:
    with Server(named("0")) as first, Server(named("1")) as second:
        servers = [
            RelayServer(*first.address, checked=True, slowstart_ms=LONG_MS),
            RelayServer(*second.address),
        ]
        with RelayUnderTest(servers, workers=2, balance=balance) as relay:
            relay.judge(0, up=True)
            wait_for(lambda: ask(relay, 20) == {"0": 10, "1": 10}, 5, "none warms up at the start")
            come_back(relay, 0)
            expected = {"0": 10, "1": 160} if balance is Balance.ROUNDROBIN else {"0": 85, "1": 85}
            wait_for(lambda: ask(relay, 170) == expected, 20, "both workers have followed")


@pytest.mark.slow
def test_an_operator_who_drains_does_not_cool_a_server() -> None:
    with Server(named("0")) as first, Server(named("1")) as second:
        servers = [RelayServer(*first.address, slowstart_ms=LONG_MS), RelayServer(*second.address)]
        with RelayUnderTest(servers) as relay:
            relay.administer(0, flags=AdminFlag.FDRAIN)
            wait_for(lambda: ask(relay, 6) == {"1": 6}, 5, "it is drained")
            relay.administer(0)
            wait_for(lambda: ask(relay, 6) == {"0": 3, "1": 3}, 5, "it has its weight at once")


@pytest.mark.slow
def test_the_weight_grows_to_all_of_it() -> None:
    with Server(named("0")) as first, Server(named("1")) as second:
        servers = [
            RelayServer(*first.address, checked=True, slowstart_ms=2_000),
            RelayServer(*second.address),
        ]
        with RelayUnderTest(servers) as relay:
            relay.judge(0, up=True)
            come_back(relay, 0)
            shares = [3]
            wait_for(
                lambda: shares.append(ask(relay, 20)["0"]) or shares[-1] == 10, 20, "it is warm"
            )
            assert min(shares) < 5


@pytest.mark.slow
def test_a_limited_server_that_comes_back_has_one_place_at_first() -> None:
    with Server(holding("0")) as server:
        servers = [RelayServer(*server.address, checked=True, slowstart_ms=LONG_MS, maxconn=16)]
        with RelayUnderTest(servers) as relay:
            relay.judge(0, up=True)
            for expected in (3, 1):
                clients = [relay.connect() for _ in range(3)]
                receive_count(clients[0], 1)
                wait_for(lambda wanted=expected: relay.hints() == [wanted], 5, "places are taken")
                wait_for(lambda: relay.counters()["sessions"] == 3, 5, "the others wait")
                assert relay.hints() == [expected]
                clients[0].close()
                assert receive_count(clients[1], 1) == b"0"
                clients[1].close()
                assert receive_count(clients[2], 1) == b"0"
                clients[2].close()
                wait_for(lambda: relay.counters()["sessions"] == 0, 5, "all have ended")
                relay.judge(0, up=False)
                relay.judge(0, up=True)
