"""What a program holds of the machine: memory and sockets of its processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def anonymous_bytes(pid: int) -> int:
    """Memory of a process and all below it that no file backs: no other process moves it.

    Pages that a fork still shares count in each process.
    """
    total = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                total += int(line.split()[1]) * 1024
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += anonymous_bytes(int(child))
    return total


def open_sockets(pid: int) -> int:
    """Descriptors of a process that are sockets."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found += str(entry.readlink()).startswith("socket:")
    return found
