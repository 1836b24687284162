"""What the program says to its starter, on the standard descriptors.

The starter may have closed them, put a full disk behind them or ended the program at a pipe's
other end: none of that is a reason not to serve, so nothing here raises. Nothing is buffered, so
a forked child has nothing to say twice. Knows nothing of what is said.
"""

from __future__ import annotations

import os
from contextlib import suppress

STANDARD_DESCRIPTORS = (0, 1, 2)
STANDARD_INPUT = 0
STANDARD_OUTPUT = 1
STANDARD_ERROR = 2


def open_standard_descriptors() -> None:
    """Put /dev/null where one is closed, before a socket or the segment gets its number."""
    for descriptor in STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            # The kernel gives the lowest free number, which is this one: those below are open.
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == descriptor, f"/dev/null became {opened} instead of {descriptor}"
            os.set_inheritable(opened, True)


def say(text: str, descriptor: int = STANDARD_ERROR) -> None:
    """Write all of `text`, or as much as the descriptor takes."""
    view = memoryview(text.encode(errors="backslashreplace"))
    with suppress(OSError):
        while view:
            view = view[os.write(descriptor, view) :]
