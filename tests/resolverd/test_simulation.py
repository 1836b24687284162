"""The whole core of resolverd against a seeded adversary; a failure prints its seed.

100,000 histories as they are; MILLRACE_HISTORIES=5000000 plays more. One seed is played again with
MILLRACE_SEED=<seed>.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.support_simulation_rules import play

HISTORIES = int(os.environ.get("MILLRACE_HISTORIES", "100000"))
PARTS = 25  # for the workers of a parallel run


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_any_history_ends_with_slots_that_say_what_the_zone_says(part: int) -> None:
    if "MILLRACE_SEED" in os.environ:
        play(int(os.environ["MILLRACE_SEED"]))
        return
    seed = random.randrange(1 << 40)
    played = 0
    while played < HISTORIES // PARTS:
        played += play(seed)
        seed += 1
