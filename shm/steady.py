"""Reading a record that its writer keeps changing. Knows no record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TRIES_MAX = 16


def steady(read: Callable[[int], T], slot: int) -> T:
    """Read a record with retries while it changes; raises BlockingIOError after TRIES_MAX."""
    for _ in range(TRIES_MAX - 1):
        try:
            return read(slot)
        except BlockingIOError:
            continue
    return read(slot)
