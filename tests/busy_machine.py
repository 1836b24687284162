"""A busy machine, on purpose: runs a command while both cores are busy and its processes stop.

    python tests/busy_machine.py [--seed N] [--only load|stops] COMMAND...

Each core has a process under nice that never rests, and one of normal priority that takes the core
for a burst, at random. A process that the command has started (the command itself and what descends
from it, nothing else) is stopped for 300 ms now and then, as by a hypervisor, unless a test stopped
it itself. Ends with the command's status, and says the seed and what it did; a test that fails so
waits for too short a time, or the program has a race.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

STOP_SECONDS = 0.3
BETWEEN_STOPS_SECONDS_MAX = 1.0
BURST_SECONDS_MAX = 0.2
BETWEEN_BURSTS_SECONDS_MAX = 1.0
NICE = 10
PR_SET_PDEATHSIG = 1
# A test that stops processes itself would find them running again after our SIGCONT.
STOPPING_TESTS_WORDS = ("SIGSTOP", "stand_still")
RUNNING_TITLE = "[pytest-xdist running] "  # how pytest-xdist names a worker in `ps`


def spawn(work: object, *arguments: object) -> int:
    """A child that does one thing until this process ends."""
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        work(*arguments)  # type: ignore[operator]
    return pid


def burn(core: int) -> None:
    """Take the time that no other process wants."""
    os.sched_setaffinity(0, {core})
    os.nice(NICE)
    while True:
        pass


def burst(core: int, seed: int) -> None:
    """Take the core for a moment, again and again."""
    os.sched_setaffinity(0, {core})
    chance = random.Random(seed)
    while True:
        time.sleep(chance.uniform(0, BETWEEN_BURSTS_SECONDS_MAX))
        end = time.monotonic() + chance.uniform(0, BURST_SECONDS_MAX)
        while time.monotonic() < end:
            pass


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, task.joinpath("children").read_text().split())
    return found


def title_of(pid: int) -> str:
    """What `ps` shows for it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def is_stopped(pid: int) -> bool:
    """Whether it is stopped, or has ended, or is traced: its tracer would take our stop for its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return fields["State"][0] in "TtZX" or fields["TracerPid"] != "0"


@dataclass
class Stopper:
    """Stops processes of a tree; `told` are those stopped, with the test that ran then."""

    root: int
    chance: random.Random
    told: dict[str, int] = field(default_factory=dict)

    def candidates(self) -> list[tuple[int, str]]:
        """All processes of the tree and the test that they belong to."""
        found, todo = [], [(self.root, "")]
        while todo:
            pid, test = todo.pop()
            title = title_of(pid)
            if title.startswith(RUNNING_TITLE):
                test = title.removeprefix(RUNNING_TITLE)
                if stops_by_itself(test.partition("::")[0]):
                    continue
            found.append((pid, test))
            todo += [(child, test) for child in children_of(pid)]
        return found

    def stop_one(self) -> None:
        """Stop one of them, and let it go on later."""
        pid, test = self.chance.choice(self.candidates())
        if is_stopped(pid):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.told[test] = self.told.get(test, 0) + 1
            time.sleep(STOP_SECONDS)
            os.kill(pid, signal.SIGCONT)


@cache
def stops_by_itself(file: str) -> bool:
    """Whether a test file stops processes."""
    try:
        text = Path(file).read_text()
    except OSError:
        return False
    return any(word in text for word in STOPPING_TESTS_WORDS)


def main() -> int:
    """Run the command on a busy machine."""
    parser = argparse.ArgumentParser(description="Run a command on a busy machine.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", choices=("load", "stops"))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"busy machine: seed {options.seed}", flush=True)
    helpers = []
    if options.only != "stops":
        for core in sorted(os.sched_getaffinity(0)):
            helpers.append(spawn(burn, core))
            helpers.append(spawn(burst, core, chance.randrange(1 << 32)))
    command = subprocess.Popen(options.command)
    stopper = Stopper(command.pid, chance)
    try:
        while command.poll() is None:
            time.sleep(chance.uniform(0, BETWEEN_STOPS_SECONDS_MAX))
            if options.only != "load":
                stopper.stop_one()
    finally:
        for pid in helpers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    stops = sum(stopper.told.values())
    print(f"busy machine: seed {options.seed}, {stops} stops in {len(stopper.told)} tests")
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())
