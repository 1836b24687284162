"""The buckets of resolverd's histograms: upper bounds in milliseconds, the last one open. Pure."""

from __future__ import annotations

from bisect import bisect_left

RUN_BOUNDS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000)  # question to end of run
MOVE_BOUNDS_MS = (10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
MOVE_MS_MAX = 300_000  # an address later than this after a failed connect is no move from it


def run_bucket(milliseconds: int) -> int:
    """The bucket of a run."""
    return bisect_left(RUN_BOUNDS_MS, milliseconds)


def move_bucket(milliseconds: int) -> int:
    """The bucket of the time from a failed connect to another address."""
    return bisect_left(MOVE_BOUNDS_MS, milliseconds)
