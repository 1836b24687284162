"""What every kind of test needs: required programs, deadlines, free ports and clean-up by pid."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

# How long a test waits for an event that must come, beyond what the event itself takes: other
# load of this machine may hold it up, and nothing is gained by giving up sooner.
PATIENCE_SECONDS = 120.0
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>: beyond net.core.rmem_max, for root

# Below the ports that the kernel hands out: a connection never takes one that a test chose, and a
# server that ends finds its own again. Each process of pytest-xdist has its share, for those
# that have no network of their own.
PORTS_FIRST = 10_000
PORTS_PER_PROCESS = 1_400
PROCESSES_MAX = 16


def ports_of_this_process() -> range:
    """The ports that only this test process hands out."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES_MAX
    first = PORTS_FIRST + number * PORTS_PER_PROCESS
    return range(first, first + PORTS_PER_PROCESS)


PORTS = itertools.cycle(ports_of_this_process())


def require_program(name: str) -> str:
    """The path of an external program; without it the test fails in CI and skips elsewhere."""
    beside = f"{Path(sys.executable).parent}:/usr/sbin:/sbin:/usr/local/sbin"  # pip's scripts first
    path = shutil.which(name) or shutil.which(name, path=beside)
    if path is None:
        reason = f"the program '{name}' is not installed (make test as root installs it)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def listens(path: Path) -> bool:
    """Whether a program listens on a Unix socket: the file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def wait_for(
    condition: Callable[[], T | None],
    seconds: float,
    what: str | Callable[[], str],
    step: float = 0.01,
) -> T:
    """Poll `condition` until it is true; its value, or a failure that names what did not come.

    `seconds` is what it takes where nothing else runs; the machine is granted more. A file that
    the condition reads may still have to be made.
    """
    seconds += PATIENCE_SECONDS
    deadline = time.monotonic() + seconds
    while True:
        value: T | FileNotFoundError | None
        try:
            value = condition()
        except FileNotFoundError as missing:
            value = missing
        if value and not isinstance(value, FileNotFoundError):
            return value
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            pytest.fail(f"{told}: not within {seconds} s (last value {value!r})")
        time.sleep(step)


def ports_in_use() -> set[int]:
    """Local ports of all sockets in this network namespace, whatever their address and protocol."""
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            for line in Path(f"/proc/self/net/{kind}").read_text().splitlines()[1:]:
                found.add(int(line.split()[1].rpartition(":")[2], 16))
    return found


def free_port() -> int:
    """A port that is free and given out once, neither of TCP nor of UDP.

    No socket is bound to find out: a program that another thread starts at this moment would have
    it until its exec, and the port would be taken for the caller.
    """
    used = ports_in_use()
    for port in itertools.islice(PORTS, PORTS_PER_PROCESS):
        if port not in used:
            return port
    pytest.fail(f"no port is free in {ports_of_this_process()}")


def all_stopped(pid: int) -> bool:
    """Whether the signal has reached every thread, be it through a tracer."""
    states = [task.joinpath("stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(state.rpartition(")")[2].split()[0] in "Tt" for state in states)


def stand_still(pid: int) -> None:
    """Stop a process, and wait until none of its threads runs: a signal takes its time."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all_stopped(pid), PATIENCE_SECONDS, f"process {pid} stands still")


def links_of(pid: int) -> dict[Path, str]:
    """What the descriptors of a process lead to; without one that it closes meanwhile."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[entry] = str(entry.readlink())
    return found


def own_descriptors() -> int:
    """How many this process has, without those of objects that nothing refers to any more."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def widen(datagrams: socket.socket, size: int) -> None:
    """Let so many bytes wait to be read; as many as the host allows where this is not root."""
    try:
        datagrams.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
