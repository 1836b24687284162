"""Whether a program has done what it had to do, by the kernel's states of its threads (proc(5)).

A row of a program can be seen while the thread that wrote it has not told of it yet: it may have
been stopped or have lost its core in between. Once it sleeps it has.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.supervisor.program import descendants


def sleeps(pid: int) -> bool:
    """Whether no thread of a process runs, wants to, or is stopped; raises OSError without one."""
    states = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            states.add(task.joinpath("stat").read_text().rpartition(")")[2].split()[0])
    return states == {"S"}


def wait_for_rest(pid: int) -> None:
    """Wait until a program and all that it has started sleep, twice in a row.

    One thread that was seen asleep may have been woken by the next.
    """

    def rests() -> bool:
        tree = [pid, *(child for child, _title in descendants(pid))]
        with suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            return all(sleeps(each) for _sweep in range(2) for each in tree)
        return False

    wait_for(rests, PATIENCE_SECONDS, "the program has done what it had to do")
