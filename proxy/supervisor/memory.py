"""How the processes of the program hold their memory: limits, what they share and give back.

All is settled before the first fork, because children inherit them.
"""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

R = TypeVar("R")

M_TRIM_THRESHOLD = -1  # mallopt(3)
TRIM_BYTES = 131_072  # free at the end of a heap: glibc's own first threshold


def read_apart(read: Callable[[], R]) -> R:
    """What `read` makes of the files; what it leaves behind goes at once.

    What was there before is not looked at: it would take longer than reading most files.
    """
    gc.freeze()
    found = read()
    gc.collect()
    return found


def share_memory() -> None:
    """Keep what is allocated now out of garbage collection, so that children go on sharing it.

    Garbage is collected from now on (proxy/__main__.py puts it off). Nothing is collected first:
    that would take time in proportion to the settings, and settings are in no cycle.
    """
    gc.freeze()
    gc.enable()


def limit_memory(megabytes: int) -> bool:
    """Let no process have more private memory (RLIMIT_DATA); False where the hard limit is lower.

    Shared memory and addresses that are only reserved do not count: they grow with the
    configuration, not with what clients do.
    """
    limit = megabytes << 20
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    except (OSError, ValueError):
        return False
    return True


def give_back_memory() -> None:
    """Fix the threshold above which malloc gives free memory at the end of a heap to the kernel.

    Unless it is fixed, glibc raises it to twice the largest block that was ever freed, so that a
    worker that has read a large table keeps megabytes after a peak of stalled sessions. A C
    library without mallopt(3) has no such threshold.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
