"""How many workers a generation has."""

from __future__ import annotations

import os

from proxy.config.model import Settings


def worker_count(settings: Settings) -> int:
    """`nbthread`, or one worker for each core that this process may use."""
    return settings.globals.nbthread or len(os.sched_getaffinity(0))
