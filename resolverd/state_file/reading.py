"""Reads a state file whole, in portions, up to the limit of the format.

A read of the limit at once would take that much memory for the shortest file: the interpreter
allocates what is asked for, not what is there. Knows no path and no row.
"""

from __future__ import annotations

import os

from resolverd.state_file.format import FILE_BYTES_MAX

PORTION_BYTES = 256 << 10  # a file of 2,000 servers in one read


def read_whole(descriptor: int) -> bytes:
    """What is left of an open file, a byte beyond FILE_BYTES_MAX at most; raises OSError."""
    portions: list[bytes] = []
    left = FILE_BYTES_MAX + 1
    while left and (portion := os.read(descriptor, min(left, PORTION_BYTES))):
        portions.append(portion)
        left -= len(portion)
    return b"".join(portions)
