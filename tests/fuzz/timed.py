"""What the fuzzers that run for a time have in common; each is a program of its own.

    python -m tests.fuzz.<name>_target SECONDS [SEED]

A target ends with another status than 0 at the first input that breaks what it holds, and prints
the seed, and how many inputs it has played.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

Play = Callable[[random.Random], int]


def run(play: Play) -> None:
    """Let `play` play again and again, which says how many inputs it took, until time is over."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    chance, end, played = random.Random(seed), time.monotonic() + seconds, 0
    print(f"seed {seed}", flush=True)
    while time.monotonic() < end:
        played += play(chance)
    print(f"{played} inputs", flush=True)


def remember(chance: random.Random, pool: list[bytes], content: bytes, most: int) -> None:
    """Let an input be changed again; of more than `most` some are forgotten."""
    if len(pool) < most:
        pool.append(content)
    elif chance.random() < 0.1:
        pool[chance.randrange(len(pool))] = content
