"""Whatever the supervisor's loop meets beside a reload: it goes on, and leaves no child behind.

Each error is raised at each call that the loop makes while a worker dies, control dies, a worker is
stopped and goes on, a reload leaves old workers that end, the master dies, and orders a reload.
"""

from __future__ import annotations

import inspect
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from proxy.supervisor.generation import Generation
from tests.supervisor.reload_faults import ERRORS
from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.generated import LONG, sample
from tests.support.supervisor.program import ROOT, Program, await_serving, hello, started

pytestmark = pytest.mark.slow  # starts the program, and kills its children many times
HOST = "127.44.8.2"
SECONDS = 10.0
NAMES = {"control", "master", "worker 0", "worker 1"}
# A close that was not made cannot be told from one that was half made: no close is made twice.
CLOSE = inspect.getsourcelines(Generation.close)
CLOSE_LINES = range(CLOSE[1], CLOSE[1] + len(CLOSE[0]))
CLOSING = ("log.py", "log_sockets.py", "state_files.py", "resolv_conf.py", "runtime.py")
PARTS = 8
SCRIPT = str(ROOT / "tests/supervisor/loop_faults.py")
CONFIGURATION = """
global
    nbthread 2
    stats socket {folder}/s.sock
    log stderr format raw local0 notice
defaults
    mode tcp
    timeout client 30s
    timeout server 30s
    timeout connect 1s
listen web
    bind {host}:{port}
    server a 127.0.0.1:1
"""
Site = tuple[str, int, str]


def closes(file: str, line: int, name: str) -> bool:
    """Whether the call gives back a descriptor or memory."""
    within = file == "generation.py" and line in CLOSE_LINES
    return within or name == "close" or file in CLOSING


def replace(path: Path, content: str) -> None:
    """Write a file that is read at any time."""
    written = path.with_suffix(".next")
    written.write_text(content)
    written.rename(path)


class Stage:
    """The running program, its plan of faults, and the scenes that it is put through."""

    def __init__(self, program: Program, folder: Path, port: int) -> None:
        self.program = program
        self.address = HOST, port
        self.plan = folder / "plan"
        self.scenes: dict[str, Callable[[], None]] = {
            "a worker dies": self.kill_worker,
            "control dies": self.kill_control,
            "a worker stops": self.stop_worker,
            "a reload": self.reload,
            "the master dies": self.kill_master,
            "the master orders": self.order,
        }
        self.settle("the start")
        self.descriptors = self.count_descriptors()

    def count_descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.program.pid}/fd").iterdir()))

    def kill(self, name: str) -> None:
        pid = self.program.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.program.titles().get(name, pid) != pid, SECONDS, f"another {name}")

    def kill_worker(self) -> None:
        self.kill(random.choice(("worker 0", "worker 1")))

    def kill_control(self) -> None:
        self.kill("control")

    def kill_master(self) -> None:
        self.kill("master")

    def order(self) -> None:
        """A reload by the master, which is answered."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(self.plan.with_name("m")))
            client.sendall(b"reload\n")
            assert client.recv(10).startswith(b"Success=")

    def stop_worker(self) -> None:
        pid = self.program.pid_of("worker 0")
        stand_still(pid)
        try:
            hello(self.address)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def reload(self) -> None:
        """Done, or called off where its first call raises."""
        before = self.reloads()
        self.program.signal(signal.SIGUSR2)
        wait_for(lambda: self.reloads() > before, SECONDS, "the reload")

    def reloads(self) -> int:
        text = self.program.text()
        return sum(text.count(end) for end in ("reload done", "reload failed, nothing changed"))

    def plan_read(self) -> bool:
        status = self.program.child.poll()
        assert status is None, f"it has ended with {status}: {self.program.text()[-3000:]}"
        return not self.plan.exists()

    def settled(self) -> bool:
        """All children, and no other; each worker serves."""
        assert self.program.child.poll() is None, f"it has ended: {self.program.text()[-3000:]}"
        titles = self.program.titles_all()
        return len(titles) == len(NAMES) and set(self.program.titles()) == NAMES

    def settle(self, what: str) -> None:
        wait_for(self.settled, SECONDS, f"all children and no other after {what}")
        hello(self.address)

    def trace(self) -> dict[Site, str]:
        """Every site, and the first scene in which it was called."""
        found = self.plan.with_suffix(".sites")
        for scene, play in self.scenes.items():
            replace(self.plan.with_suffix(".scene"), scene)
            for _ in range(2):
                play()
                self.settle(scene)
            time.sleep(0.3)  # a tick, which notes what it calls
        return {
            (file, line, name): scene
            for (file, line, name), scene in json.loads(found.read_text())
            if not closes(file, line, name)
        }

    def meet(self, site: Site, error: int, scene: str) -> bool:
        """Play a scene with a fault; whether it was raised."""
        fired = self.plan.with_suffix(".fired")
        fired.unlink(missing_ok=True)
        replace(self.plan, json.dumps((site, error)))
        wait_for(self.plan_read, SECONDS, "the plan is read")
        what = f"{ERRORS[error]!r} at {site} while {scene}"
        try:
            self.scenes[scene]()
        except (OSError, AssertionError, pytest.fail.Exception) as failure:
            pytest.fail(f"{what}: {failure}\n{self.program.text()[-3000:]}")
        self.settle(what)
        wait_for(lambda: self.count_descriptors() <= self.descriptors, SECONDS, f"no more: {what}")
        return fired.exists()


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    port = free_port()
    file = folder / "edge.cfg"
    file.write_text(CONFIGURATION.format(folder=folder, host=HOST, port=port))
    environ = {"MILLRACE_FAULT": str(folder / "plan")}
    words = ("-W", "-S", f"{folder}/m", "-f", str(file))
    with started(folder, *words, script=SCRIPT, environ=environ) as program:
        await_serving((HOST, port))
        stage = Stage(program, folder, port)
        yield stage
        program.signal(signal.SIGTERM)
        program.wait(PATIENCE_SECONDS)
        assert "Traceback" not in program.text()


@pytest.mark.parametrize("part", range(sample(1, PARTS)))
def test_the_loop_outlives_whatever_is_raised_in_it(tmp_path: Path, part: int, seed: int) -> None:
    with staged(tmp_path) as stage:
        sites = stage.trace()
        stage.descriptors = stage.count_descriptors()
        assert len(sites) > 100
        faults = [(site, error) for site in sites for error in range(len(ERRORS))]
        chosen = faults[part::PARTS] if LONG else random.Random(seed).sample(faults, 16)
        fired = sum(stage.meet(site, error, sites[site]) for site, error in chosen)
        assert fired > len(chosen) // 2
