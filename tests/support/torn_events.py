"""Events whose bytes are not those that their sum was made of, as two writers in one cell leave them."""

from __future__ import annotations

from pathlib import Path


def tear(text: str) -> None:
    """Change a byte of the event with this text, in the shared memory of this process."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    areas = [line.split()[0] for line in lines if "/dev/zero" in line]
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        for area in areas:
            start, end = (int(part, 16) for part in area.split("-"))
            memory.seek(start)
            at = memory.read(end - start).find(text.encode())
            if at >= 0:
                memory.seek(start + at)
                memory.write(b"\0")
