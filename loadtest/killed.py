"""The time from the kill of a worker to the next served client.

Owns the kills (only of workers of the given instance) and the clock: from the kill to the first
byte of an answer, for a client that connects at once, and again after each failure. A reload
between two kills makes each kill the first of its generation. Where others live, clients come to
them as well: then it is the longest that any of many clients has waited.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from loadtest.cpu import process_tree
from loadtest.instance import PROBE_REQUEST, Instance
from loadtest.process import ProgramFailedError
from loadtest.site import HostPort

WORKER_TITLE = b"millrace: worker"
SERVED_SECONDS = 5.0
RELOAD_SECONDS = 60.0  # of thousands of servers on a busy machine
BESIDE_CLIENTS = 200  # one after the other, after a kill beside other workers
POLL_SECONDS = 0.005
TRAFFIC_SECONDS = 0.1  # before the kill
SETTLE_SECONDS = 0.5  # likewise


def kill_again_and_again(
    instance: Instance,
    front: HostPort,
    kills: int,
    traffic: Callable[[], AbstractContextManager[object]],
) -> list[float]:
    """Milliseconds without service after each kill, with `traffic` going on around it.

    Raises ProgramFailedError when service does not come back.
    """
    gaps = []
    for number in range(kills):
        if number:
            _renew(instance)
        (worker,) = workers(instance.pid)
        with traffic():
            instance.settle(TRAFFIC_SECONDS)
            began = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            gaps.append((_served(front, began) - began) * 1000)
    return gaps


def kill_beside_others(
    instance: Instance,
    front: HostPort,
    kills: int,
    traffic: Callable[[], AbstractContextManager[object]],
) -> tuple[list[float], list[float]]:
    """The longest milliseconds that a client waited before and after the kill of one of several.

    A list for before and one for after, with an entry for each kill, `traffic` going on around it.
    Raises ProgramFailedError when a client is not served.
    """
    before, after = [], []
    for number in range(kills):
        if number:
            _renew(instance)
        with traffic():
            instance.settle(SETTLE_SECONDS)
            victim = workers(instance.pid)[0]
            before.append(_longest_wait(front))
            os.kill(victim, signal.SIGKILL)
            after.append(_longest_wait(front))
    return before, after


def _longest_wait(front: HostPort) -> float:
    """Milliseconds that the slowest of the clients took."""
    waits = []
    for _ in range(BESIDE_CLIENTS):
        began = time.monotonic()
        waits.append(_served(front, began) - began)
    return max(waits) * 1000


def workers(root: int) -> list[int]:
    """The workers of a supervisor, by their process title."""
    return [stat.pid for stat in process_tree(root) if WORKER_TITLE in _title(stat.pid)]


def _title(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _served(front: HostPort, began: float) -> float:
    while time.monotonic() < began + SERVED_SECONDS:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((front.host, front.port), SERVED_SECONDS) as client,
        ):
            client.sendall(PROBE_REQUEST)
            if client.recv(1):
                return time.monotonic()
    raise ProgramFailedError("no client was served after a worker had been killed")


def _renew(instance: Instance) -> None:
    """Reload, and wait until the former generation's worker has ended."""
    before = set(workers(instance.pid))
    os.kill(instance.pid, signal.SIGUSR2)
    deadline = time.monotonic() + RELOAD_SECONDS
    with selectors.DefaultSelector() as nothing:
        while time.monotonic() < deadline:
            now = set(workers(instance.pid))
            if len(now) == len(before) and not now & before:
                return
            nothing.select(POLL_SECONDS)
    raise ProgramFailedError("the reload did not replace the worker")
