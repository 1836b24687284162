"""A program that is forked finds what it finds after an exec, and ends as it does there."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.forking.process import ForkedProcess, Process, start

# What a program sees of itself: without the descriptor by which it looks.
SAYS = """
import json, os, resource, signal, sys, threading
handlers = {number: str(signal.getsignal(number)) for number in signal.valid_signals()}
print(json.dumps({
    "name": __name__, "file": __file__, "words": sys.argv, "first path": sys.path[0],
    "folder": os.getcwd(), "environ": dict(os.environ), "group": os.getpgid(0), "session": os.getsid(0),
    "descriptors": [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")],
    "inheritable": [n for n in range(30) if os.path.exists(f"/proc/self/fd/{n}") and os.get_inheritable(n)],
    "limits": [resource.getrlimit(number) for number in range(16)],
    "handlers": handlers, "blocked": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "user": os.getresuid(), "affinity": sorted(os.sched_getaffinity(0)), "nice": os.nice(0),
    "network": os.readlink("/proc/self/ns/net"), "threads": threading.active_count(),
    "alone": os.getpid() != os.getppid(), "heard": sys.stdin.read(),
}), flush=True)
print("said to the last moment", file=sys.stderr)
os.write(int(sys.argv[1]), b"passed")
sys.exit(int(sys.argv[2]))
"""
RAISES = "raise ValueError('of the test')"
WAITS = "import time\nprint('here', flush=True)\nwhile True: time.sleep(600)"
WAYS: dict[str, Callable[..., Process]] = {"executed": subprocess.Popen, "forked": start}


def script(folder: Path, text: str) -> str:
    path = folder / "script.py"
    path.write_text(text)
    return str(path)


def said(way: Callable[..., Process], folder: Path, file: str) -> tuple[Any, str, int]:
    near, far = socket.socketpair()
    near.settimeout(PATIENCE_SECONDS)
    heard = folder / "heard"
    heard.write_text("a line of input\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, limits[1]))
    try:
        with far, heard.open("rb") as given, (folder / "output").open("wb") as output:
            child = way(
                [sys.executable, file, str(far.fileno()), "7"],
                stdin=given,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "MORE": "ä\udcff=\n"},
                pass_fds=[far.fileno()],
            )
        status = child.wait(PATIENCE_SECONDS)
        with near:
            assert near.recv(100) == b"passed", (folder / "output").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    first, _, rest = (folder / "output").read_text().partition("\n")
    return json.loads(first), rest, status


def test_it_sees_of_itself_what_it_sees_after_an_exec(tmp_path: Path) -> None:
    file = script(tmp_path, SAYS)
    executed, forked = (said(way, tmp_path, file) for way in WAYS.values())
    assert forked == executed
    assert executed[1:] == ("said to the last moment\n", 7)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_it_raises_is_told_and_is_status_1(
    tmp_path: Path, way: Callable[..., Process]
) -> None:
    with (tmp_path / "output").open("wb") as output:
        child = way([sys.executable, script(tmp_path, RAISES)], stderr=output)
    assert child.wait(PATIENCE_SECONDS) == 1
    assert (tmp_path / "output").read_text().endswith("\nValueError: of the test\n")


def test_it_is_signalled_and_how_it_ended_is_told(tmp_path: Path) -> None:
    command = [sys.executable, script(tmp_path, WAITS)]
    with (tmp_path / "output").open("wb") as output:
        children = [start(command, stdout=output) for _ in "abc"]
    assert all(isinstance(child, ForkedProcess) for child in children)
    wait_for(lambda: (tmp_path / "output").read_text() == "here\n" * 3, 10, "all run")
    assert [child.poll() for child in children] == [None] * 3
    with pytest.raises(subprocess.TimeoutExpired):
        children[0].wait(0.01)
    for child in children[1:]:
        child.terminate()
        assert child.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    assert children[0].poll() is None
    children[0].kill()
    assert [child.wait() for child in children] == [-signal.SIGKILL, *[-signal.SIGTERM] * 2]
    children[0].kill()  # nobody is hit


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "LD_PRELOAD", "TZ"])
def test_what_is_read_at_an_exec_is_executed(tmp_path: Path, name: str) -> None:
    file = script(tmp_path, f"import os\nassert os.environ[{name!r}] == ''")
    child = start([sys.executable, file], env={**os.environ, name: ""})
    assert isinstance(child, subprocess.Popen)
    assert child.wait(PATIENCE_SECONDS) == 0


def test_random_numbers_are_of_each_its_own(tmp_path: Path) -> None:
    file = script(tmp_path, "import os, random\nprint(random.random(), os.urandom(8), flush=True)")
    with (tmp_path / "output").open("wb") as output:
        for child in [start([sys.executable, file], stdout=output) for _ in range(4)]:
            assert child.wait(PATIENCE_SECONDS) == 0
    assert len(set((tmp_path / "output").read_text().splitlines())) == 4
