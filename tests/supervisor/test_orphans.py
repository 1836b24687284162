"""Children that the supervisor did not fork: their ends are taken, those of its own are not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.program.program import Program

CONFIGURATION = """global
  nbthread 2
  stats socket {socket} level admin
defaults
  mode tcp
  timeout client 1m
  timeout server 1m
  timeout connect 5s
listen web
  bind 127.0.0.1:{port}
  server a 127.0.0.1:9
"""
# What a container's first program may leave behind: two children of its own, twenty orphans that
# end at the start, and one that goes on making more.
LEAVING = """
(exit 3) & sleep 0.3 &
for each in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sleep 0.0$each &); done
(while sleep 0.01; do (sleep 0.01 &); done) &
exec "$@"
"""
PLAIN_ORPHANS = 4  # at most so many at a time may wait for the next look


def children(pid: int) -> dict[int, str]:
    """Pid and state of each."""
    states = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                stat = Path(f"/proc/{child}/stat").read_text()
            except OSError:
                continue
            states[int(child)] = stat.rpartition(")")[2].split()[0]
    return states


STRANGERS = """
import os
from proxy.supervisor.fork import fork_child
from proxy.supervisor.reaping import reap, reap_strangers

mine = fork_child(lambda: os._exit(5), title="millrace: test", keep=())
os.waitid(os.P_PID, mine.pid, os.WEXITED | os.WNOWAIT)
stranger = os.fork()
if stranger == 0:
    os._exit(0)
os.waitid(os.P_PID, stranger, os.WEXITED | os.WNOWAIT)
reap_strangers()  # ours may come first: then the stranger waits
assert reap(mine) == 5
reap_strangers()
try:
    os.waitid(os.P_PID, stranger, os.WEXITED | os.WNOHANG)
except ChildProcessError:
    print("taken")
reap_strangers()
"""


def test_only_strangers_are_taken() -> None:
    """A process of its own: the children of this one are not all the test's."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGERS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "taken\n", "")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a pid namespace")
def test_as_pid_1_it_takes_the_ends_of_orphans_and_keeps_those_of_its_own(tmp_path: Path) -> None:
    unshare, shell = require_program("unshare"), ("sh", "-c", LEAVING, "sh")
    wrapper = (unshare, "--pid", "--fork", "--kill-child", "--mount-proc", *shell)
    text = CONFIGURATION.replace("{port}", str(free_port()))
    with Program(tmp_path, text, "-W", "-db", wrapper=wrapper) as program:
        try:
            (supervisor,) = children(program.process.pid)
            assert "Pid: " in program.ask("show info")
            inside = Path(f"/proc/{supervisor}/status").read_text()
            assert "NSpid:" in inside
            assert inside.partition("NSpid:")[2].splitlines()[0].split()[-1] == "1"
            for turn in range(1, 6):
                wait_for(lambda: len(workers(supervisor)) == 2, 10, "two have their titles")
                (victim, *_) = workers(supervisor)
                os.kill(victim, signal.SIGKILL)
                wait_for(
                    lambda turn=turn: (
                        program.output.read_text().count("was killed by signal 9") == turn
                    ),
                    10,
                    "the end of a worker is told with its reason",
                )
            wait_for(
                lambda: list(children(supervisor).values()).count("Z") <= PLAIN_ORPHANS,
                10,
                "the ends of orphans are taken",
            )
            assert "a fault while" not in program.output.read_text()
        finally:
            for pid in children(program.process.pid):
                os.kill(pid, signal.SIGTERM)
            program.process.wait(PATIENCE_SECONDS)


def workers(supervisor: int) -> list[int]:
    found = []
    for pid, state in children(supervisor).items():
        with suppress(OSError):  # it may end, and be reaped, between the two looks
            title = Path(f"/proc/{pid}/cmdline").read_bytes() if state != "Z" else b""
            if title.startswith(b"millrace: worker"):
                found.append(pid)
    return found


@pytest.mark.slow
def test_children_of_what_executed_it_leave_no_zombie(tmp_path: Path) -> None:
    """As of a shell that put something into the background before its `exec`."""
    wrapper = ("sh", "-c", '(exit 3) & sleep 0.2 & exec "$@"', "sh")
    text = CONFIGURATION.replace("{port}", str(free_port()))
    with Program(tmp_path, text, wrapper=wrapper) as program:
        wait_for(
            lambda: (
                sorted(children(program.process.pid).values()).count("Z") == 0
                and len(children(program.process.pid)) == 3
            ),
            10,
            "control and two workers are all that is left",
        )
