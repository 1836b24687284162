"""`rate-limit sessions` and `maxconnrate`: a sliding second over all workers, no client is dropped."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from shm.segment import Segment
from shm.shape import Shape
from shm.tally import carry_rates
from tests.support.common import PATIENCE_SECONDS
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_count

LIMIT = 20
CLIENTS = 70


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Shape(1, 1, 2, 3, 1, 0, 0))
    yield made
    made.close()


def test_a_rate_is_reached_and_falls_with_the_second(parts: Any, segment: Segment) -> None:
    start = 7_000
    taken = [bool(parts.rate_takes(segment, 10, start)) for _ in range(12)]
    assert taken == [True] * 10 + [False] * 2
    assert parts.rate_of(segment, start + 999) == 10
    assert not parts.rate_takes(segment, 10, start + 1_000)
    assert parts.rate_of(segment, start + 1_250) == 7
    allowed = [bool(parts.rate_takes(segment, 10, start + 1_250)) for _ in range(4)]
    assert allowed == [True, True, True, False]
    assert parts.rate_of(segment, start + 2_000) == 3
    assert parts.rate_of(segment, start + 3_000) == 0


def test_what_was_given_back_was_never_there(parts: Any, segment: Segment) -> None:
    for _ in range(100):
        second = parts.rate_takes(segment, 1, 5_500)
        assert second
        parts.rate_gives(segment, second)
    assert parts.rate_of(segment, 5_500) == 0
    assert parts.rate_takes(segment, 1, 5_500)
    assert not parts.rate_takes(segment, 1, 5_500)


def test_what_comes_back_late_goes_where_it_was_counted(parts: Any, segment: Segment) -> None:
    """Also from a second that is over; from one that nobody knows any more, nothing is taken."""
    counted = [parts.rate_takes(segment, 10, 5_999) for _ in range(4)]
    assert parts.rate_takes(segment, 10, 6_000)
    assert parts.rate_of(segment, 6_000) == 5
    parts.rate_gives(segment, counted[0])
    assert parts.rate_of(segment, 6_000) == 4
    late = parts.rate_takes(segment, 10, 5_999)  # with a clock that is behind
    assert late == counted[0] + 1
    assert parts.rate_of(segment, 6_000) == 5
    parts.rate_gives(segment, late)
    assert parts.rate_of(segment, 6_000) == 4
    assert parts.rate_takes(segment, 10, 7_000)
    parts.rate_gives(segment, counted[1])
    assert parts.rate_of(segment, 7_000) == 2


@pytest.mark.parametrize("seed", range(10))
def test_a_rate_is_that_of_haproxy(parts: Any, segment: Segment, seed: int) -> None:
    """HAProxy's rule: this second's, and of the former second the part less than a second ago."""
    chance = random.Random(seed)
    limit = chance.choice([1, 2, 7, 50, 1_000])
    now_ms = chance.randrange(10**9)
    accepted: Counter[int] = Counter()
    for _ in range(4_000):
        now_ms += chance.choice([0, 0, 0, 1, 20, 300, 2_100])
        second, passed_ms = divmod(now_ms, 1_000)
        rate = accepted[second] + accepted[second - 1] * (1_000 - passed_ms) // 1_000
        assert parts.rate_of(segment, now_ms) == rate, f"seed {seed}"
        free = rate < limit
        assert bool(parts.rate_takes(segment, limit, now_ms)) == free
        accepted[second] += free
    assert max(accepted.values()) <= limit


def serve_crowd(relay: RelayUnderTest, count: int) -> float:
    """Clients that come together are all served; how many seconds that took."""
    served: list[bytes] = []

    def be_client() -> None:
        with relay.connect() as client:
            client.sendall(b"x")
            served.append(receive_count(client, 1))

    threads = [threading.Thread(target=be_client) for _ in range(count)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert served == [b"x"] * count
    return time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("word", ["session_rate", "global_rate"])
def test_clients_beyond_the_rate_wait_in_the_kernels_queue(workers: int, word: str) -> None:
    """A second has room for the limit, so 70 clients at 20 a second reach into a fourth one."""
    with (
        Server(echo) as server,
        RelayUnderTest([server.address], workers=workers, **{word: LIMIT}) as relay,
    ):
        took_seconds = serve_crowd(relay, CLIENTS)
        assert took_seconds > CLIENTS // LIMIT - 1
        relay.wait_terminations({"--": CLIENTS})
        counters = relay.counters()
        assert counters["accepts"] == CLIENTS
        assert counters["maxconn_pauses"] > 0
        assert counters["sessions"] == relay.counters("frontend")["sessions"] == 0
        first = relay.connect()  # a place and the rate come back while no client waits
        first.sendall(b"y")
        assert receive_count(first, 1) == b"y"
        first.close()


def test_a_reload_goes_on_with_the_rate_of_each_frontend(parts: Any, segment: Segment) -> None:
    """Of the frontend of that name; the new workers have let in one already, beside the old ones."""
    new = Segment.create(Shape(1, 1, 2, 1, 1, 0, 0))
    now_ms = 8_200
    for limit, moment in ((10, 7_600), (10, 7_900), (10, now_ms), (10, now_ms)):
        assert parts.rate_takes(segment, limit, moment)
    assert parts.rate_takes(new, 10, now_ms)
    carry_rates(segment, new, [(1, 1)], now_ms)
    assert parts.rate_of(new, now_ms) == 1, "another frontend's"
    carry_rates(segment, new, [(0, 0)], now_ms)
    assert parts.rate_of(new, now_ms) == 1 + 2 + 2 * 800 // 1_000
    assert parts.rate_of(new, 9_000) == 3
    with pytest.raises(IndexError):
        carry_rates(segment, new, [(0, 2)], now_ms)
    new.close()
