"""Random transfers, many at once, through a relay whose calls fail and come short at random.

Everything follows from one seed: MILLRACE_SEED repeats a run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.generated import sample
from tests.support.relay.fault_relay import FaultyRelay, faulty_relay
from tests.support.relay.load import run_transfers

pytestmark = pytest.mark.slow

TRANSFERS = sample(300, full=10_000)


def transfer(relay: FaultyRelay, seed: int) -> None:
    failures = run_transfers(
        relay.relay.address[:2], relay.listener, seed=seed, count=TRANSFERS, concurrency=50
    )
    assert not failures, "\n".join(failures)
    relay.settle("all transfers")
    relay.check_whole()


@pytest.mark.parametrize("percent", [3, 40])
@pytest.mark.parametrize("buffer_bytes", [0, 32_768])
def test_faults_at_random_calls_lose_nothing(
    tmp_path: Path, percent: int, buffer_bytes: int, seed: int
) -> None:
    with faulty_relay(tmp_path) as relay:
        relay.shim.set(seed=seed, chance=65_536 * percent // 100, buffer_bytes=buffer_bytes)
        transfer(relay, seed)


def test_one_event_at_a_time_is_fair_to_many_sessions(tmp_path: Path, seed: int) -> None:
    with faulty_relay(tmp_path) as relay:
        relay.shim.set(events_max=1)
        transfer(relay, seed)
