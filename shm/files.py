"""Reads a file whole, in portions, up to a limit.

A read of the limit at once would take that much memory for the shortest file: the interpreter
allocates what is asked for, not what is there. Knows no path and no content.
"""

from __future__ import annotations

import os

PORTION_BYTES = 256 << 10  # a state file of 2,000 servers in one read


def read_whole(descriptor: int, bytes_max: int) -> bytes:
    """What is left of an open file, a byte beyond `bytes_max` at most; raises OSError."""
    portions: list[bytes] = []
    left = bytes_max + 1
    while left and (portion := os.read(descriptor, min(left, PORTION_BYTES))):
        portions.append(portion)
        left -= len(portion)
    return b"".join(portions)
