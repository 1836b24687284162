"""Random transfers, many at once, through a relay whose calls fail and come short at random.

Everything follows from one seed: MILLRACE_TRANSFER_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.support_fault_relay import FaultyRelay, faulty_relay
from tests.support_load import run_transfers

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("MILLRACE_TRANSFER_SEED", random.randrange(1 << 31)))
TRANSFERS = 300


def transfer(relay: FaultyRelay) -> None:
    failures = run_transfers(
        relay.relay.address[:2], relay.listener, seed=SEED, count=TRANSFERS, concurrency=50
    )
    assert not failures, "\n".join(failures)
    relay.settle("all transfers")
    relay.check_whole()


@pytest.mark.parametrize("percent", [3, 40])
@pytest.mark.parametrize("buffer_bytes", [0, 32_768])
def test_faults_at_random_calls_lose_nothing(
    tmp_path: Path, percent: int, buffer_bytes: int
) -> None:
    with faulty_relay(tmp_path) as relay:
        relay.shim.set(seed=SEED, chance=65_536 * percent // 100, buffer_bytes=buffer_bytes)
        transfer(relay)


def test_one_event_at_a_time_is_fair_to_many_sessions(tmp_path: Path) -> None:
    with faulty_relay(tmp_path) as relay:
        relay.shim.set(events_max=1)
        transfer(relay)
