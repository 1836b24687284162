"""A worker that the machine gives no CPU is not hung: its sessions live on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.runtime import now_ms
from proxy.supervisor.limits import STALE_AFTER_MS
from proxy.supervisor.starvation import Starvation
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.program.site import Site

HOG = "import os; os.sched_setaffinity(0, {0}); os.nice(-20)\nwhile True: pass"
HOGS = 4


def starve(pid: int) -> None:
    """Let its threads run on one CPU, and there only when nothing else wants to."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {0})
        os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def feed(pid: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))


@pytest.mark.alone
@pytest.mark.skipif(os.geteuid() != 0, reason="only root takes a CPU from others")
def test_a_worker_without_a_cpu_keeps_its_sessions(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = Site(tmp_path, stack, "127.0.188")
        site.start(f"server s1 {site.serve(1)}:{{port}}", globally="    nbthread 1")
        client = stack.enter_context(socket.create_connection(site.front, PATIENCE_SECONDS))
        assert client.recv(64)
        [worker] = site.program.children()["worker"]
        starve(worker)
        hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(HOGS)]
        for hog in hogs:
            stack.callback(hog.wait)
            stack.callback(hog.kill)
        starvation, began_ms = Starvation(), now_ms()

        def waited_ms() -> int:
            return starvation.waited_ms(worker, now_ms(), now_ms() - began_ms)

        wait_for(
            lambda: waited_ms() > 2 * STALE_AFTER_MS,
            PATIENCE_SECONDS,
            "starvation",
            step=0.25,
        )
        for hog in hogs:
            hog.kill()
        feed(worker)
        assert site.program.children()["worker"] == [worker]
        client.settimeout(PATIENCE_SECONDS)
        client.sendall(b"still there\n")
        assert client.recv(64)


@pytest.mark.alone
@pytest.mark.skipif(os.geteuid() != 0, reason="only root takes a CPU from others")
def test_what_was_before_the_first_look_counts_as_what_was_seen_since() -> None:
    with ExitStack() as stack:
        starved = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(HOGS)]
        for each in (starved, *hogs):
            stack.callback(each.wait)
            stack.callback(each.kill)
        starve(starved.pid)
        starvation, silent_ms = Starvation(), 1_000 * STALE_AFTER_MS
        assert starvation.waited_ms(starved.pid, now_ms(), silent_ms) == 0
        wait_for(
            lambda: starvation.waited_ms(starved.pid, now_ms(), silent_ms) > silent_ms * 2 // 3,
            PATIENCE_SECONDS,
            "most of the silence is a wait",
            step=0.25,
        )
        starvation.forget()
        assert starvation.waited_ms(starved.pid, now_ms(), silent_ms) == 0
