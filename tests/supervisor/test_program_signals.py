"""Signals that the program finds when it starts, and those that mean nothing to it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.supervisor.background import write_pid
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program

pytestmark = pytest.mark.slow

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
MISGUIDED = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGUSR2)
os.execv(sys.argv[1], sys.argv[1:])
"""
# Signals come while the program imports what it needs: each time when it looks for these modules.
INTERRUPTED = """
import os, signal, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("proxy.cli", "proxy.config.loader", "proxy.supervisor.start", "uvloop"):
            os.kill(os.getpid(), signal.{signal})
sys.meta_path.insert(0, Finder)
"""


def configuration() -> str:
    return CONFIGURATION.replace("{port}", str(free_port()))


def pids(program: Program) -> list[int]:
    return sorted(pid for found in program.children().values() for pid in found)


def test_masks_and_ignored_signals_of_the_parent_change_nothing(tmp_path: Path) -> None:
    """A reload that was ordered before a handler was set is done after the start."""
    wrapper = (sys.executable, "-c", MISGUIDED)
    with Program(tmp_path, configuration(), "-W", wrapper=wrapper) as program:
        wait_for(
            lambda: "reload done: generation 2 serves" in program.output.read_text(),
            PATIENCE_SECONDS,
            "the early reload is done",
        )
        worker = program.children()["worker"][0]
        os.kill(worker, signal.SIGKILL)
        wait_for(
            lambda: "was killed by signal 9" in program.output.read_text(),
            PATIENCE_SECONDS,
            "the end of a child is told with its reason",
        )
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("name", ["SIGUSR2", "SIGHUP"])
def test_a_reload_that_is_ordered_during_the_imports_is_done_after_the_start(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED.format(signal=name))
    with Program(tmp_path, configuration(), "-W", environ={"PYTHONPATH": str(tmp_path)}) as program:
        wait_for(
            lambda: "reload done: generation 2 serves" in program.output.read_text(),
            PATIENCE_SECONDS,
            "the early reload is done",
        )


def test_a_soft_stop_that_is_ordered_during_the_imports_ends_it_after_the_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED.format(signal="SIGUSR1"))
    environ = {"PYTHONPATH": str(tmp_path)}
    with Program(tmp_path, configuration(), "-W", environ=environ, wait=False) as program:
        assert program.process.wait(PATIENCE_SECONDS) == 0
        assert "stopping softly" in program.output.read_text()


GIVEN_BACK = """
import os, signal
from proxy.supervisor.signals import HELD, SignalPipe
signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
pipe = SignalPipe()
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(HELD)
pipe.close()
for number in HELD:
    os.kill(os.getpid(), number)
assert signal.sigpending() == set(HELD), signal.sigpending()
"""


def test_signals_given_back_are_held_where_they_were() -> None:
    """What comes between the end of the loop and that of the process has no handler.

    A process of its own: in this one another thread would take them.
    """
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_signals_of_terminals_end_and_stop_nobody(tmp_path: Path) -> None:
    with Program(tmp_path, configuration()) as program:
        wait_for(lambda: len(pids(program)) == 3, PATIENCE_SECONDS, "all children are there")
        before = pids(program)
        for number in (signal.SIGQUIT, signal.SIGTTOU, signal.SIGTTIN):
            for pid in (program.process.pid, *before):
                os.kill(pid, number)
        assert "Pid:" in program.ask("show info")
        assert program.process.poll() is None
        assert pids(program) == before
        for pid in (program.process.pid, *before):
            status = Path(f"/proc/{pid}/status")  # a busy machine stops one for a moment
            wait_for(
                lambda status=status: "State:\tT" not in status.read_text(),
                PATIENCE_SECONDS,
                "it is not stopped",
            )


@pytest.mark.parametrize("kind", ["link", "fifo", "stale"])
def test_the_pid_file_is_made_anew_whatever_stands_there(tmp_path: Path, kind: str) -> None:
    pid_file, elsewhere = tmp_path / "pid", tmp_path / "elsewhere"
    elsewhere.write_text("not to be touched\n")
    if kind == "link":
        pid_file.symlink_to(elsewhere)
    elif kind == "fifo":
        os.mkfifo(pid_file)
    else:
        pid_file.write_text("12345678901234567890\n" * 10)
    with Program(tmp_path, configuration(), "-db", "-p", str(pid_file)) as program:
        assert not pid_file.is_symlink()
        assert pid_file.read_text() == f"{program.process.pid}\n"
    assert elsewhere.read_text() == "not to be touched\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a device")
def test_a_device_named_as_the_pid_file_stays(tmp_path: Path) -> None:
    null = tmp_path / "null"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    write_pid(str(null), 1)
    assert null.is_char_device()
