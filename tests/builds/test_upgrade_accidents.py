"""What happens beside an upgrade while it goes on: the steward dies, the program is to stop."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builds.test_upgrade import (
    CONFIGURATION,
    DONE,
    HOST,
    LATE_MODULE,
    WHEN_IT_GOES_ON,
    Edge,
    echoes,
)
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.installed import Installed
from tests.support.program.program import NamedBackend, Program, who_answers

TAKING_OVER = "proxy/supervisor/inheriting.py"
WAITS = """
import os
_turn = Inheriting.turn
def _wait(self, now_ms):
    if not os.path.exists({go!r}):
        return False
    {then}
Inheriting.turn = _wait
"""
STEWARD_GONE = "has ended before its workers"

pytestmark = pytest.mark.slow


class Held:
    """An upgrade that waits for a word: when all processes of the new build are there."""

    def __init__(self, edge: Edge, installed: Installed, folder: Path, then: str) -> None:
        self.edge = edge
        self._go = folder / "go"
        installed.change(TAKING_OVER, WAITS.format(go=str(self._go), then=then))
        edge.program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: len(edge.program.titled_children().get("worker", [])) == 4,
            2 * PATIENCE_SECONDS,
            "the workers of both builds",
        )

    def kill_steward(self) -> None:
        """Returns when the former processes have gone, too."""
        (steward,) = self.edge.program.children()["steward"]
        os.kill(steward, signal.SIGKILL)
        wait_for(
            lambda: len(self.edge.program.titled_children().get("worker", [])) == 2,
            PATIENCE_SECONDS,
            "the former workers have ended",
        )
        wait_for(lambda: STEWARD_GONE in self.edge.told, PATIENCE_SECONDS, "the word of it")

    def go_on(self) -> None:
        self._go.touch()


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path / "installed")


@pytest.fixture
def edge(tmp_path: Path, installed: Installed) -> Iterator[Edge]:
    with contextlib.ExitStack() as stack:
        yield Edge(tmp_path, stack, installed)


def test_a_build_takes_over_from_a_steward_that_died(
    edge: Edge, installed: Installed, tmp_path: Path
) -> None:
    """Its segment stays until all is copied."""
    edge.program.ask("set weight web/a 50")
    held = Held(edge, installed, tmp_path, "return _turn(self, now_ms)")
    held.kill_steward()
    before = edge.told.count(DONE)
    held.go_on()
    edge.await_more((DONE,), before)
    assert who_answers(edge.target)
    assert edge.program.ask("get weight web/a").startswith("50 ")


def test_where_steward_and_build_fail_the_program_ends(
    edge: Edge, installed: Installed, tmp_path: Path
) -> None:
    """Whoever started it starts it again: nothing serves any more."""
    held = Held(edge, installed, tmp_path, 'raise OSError("not like this")')
    held.kill_steward()
    held.go_on()
    assert edge.program.process.wait(PATIENCE_SECONDS) == 1
    assert "the former program has ended, and the one that was to go on has failed" in edge.told
    assert "Traceback" not in edge.told


def test_a_soft_stop_ends_the_program_that_goes_on_too(
    edge: Edge, installed: Installed, tmp_path: Path
) -> None:
    """It was ordered of a build that fails then; the former one obeys."""
    session = edge.session()
    held = Held(edge, installed, tmp_path, 'raise OSError("not like this")')
    edge.program.process.send_signal(signal.SIGUSR1)
    held.go_on()
    wait_for(lambda: "stopping softly" in edge.told, PATIENCE_SECONDS, "the former build obeys")
    assert echoes(session)
    session.close()
    assert edge.program.process.wait(PATIENCE_SECONDS) == 0


def test_no_build_takes_over_once_the_program_is_to_stop(
    tmp_path: Path, installed: Installed
) -> None:
    """During `grace` the stop is in the memory of the program that was told of it."""
    goes_on = tmp_path / "go"
    waits = f"while not os.path.exists({str(goes_on)!r}): time.sleep(0.01)"
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, installed, "grace 3s")
        installed.change(LATE_MODULE, f"import os, time\n{waits}")
        edge.program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "it is proved" in edge.told, PATIENCE_SECONDS, "the proof")
        edge.program.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: "the program is stopping" in edge.told, PATIENCE_SECONDS, "a refusal")
        goes_on.touch()
        assert edge.program.process.wait(PATIENCE_SECONDS) == 0
        assert DONE not in edge.told


def test_a_frontend_that_is_closed_is_still_closed_where_a_build_fails(
    edge: Edge, installed: Installed
) -> None:
    """The build had opened its sockets already, for its workers, which do not come to serve."""
    edge.program.ask("disable frontend web")
    dies = 'import sys\nif "-c" not in sys.argv[1:]:\n    run = lambda *_: sys.exit(1)'
    installed.change("proxy/worker/process.py", dies)
    edge.reload("upgrade failed")
    with socket.socket() as client:
        assert client.connect_ex(edge.target) == errno.ECONNREFUSED
    assert edge.program.ask("enable frontend web") == "\n"
    assert who_answers(edge.target)


@pytest.mark.parametrize("broken", ["bind {taken}", "unknown word"])
def test_a_build_that_does_not_get_to_its_start_leaves_the_former_one_serving(
    edge: Edge, installed: Installed, tmp_path: Path, broken: str
) -> None:
    """Whatever it has opened of the former one by then is still open."""
    goes_on = tmp_path / "go"
    waits = f"while not os.path.exists({str(goes_on)!r}): time.sleep(0.01)"
    installed.change(LATE_MODULE, WHEN_IT_GOES_ON + waits)
    session, file = edge.session(), edge.program.file
    edge.program.process.send_signal(signal.SIGUSR2)
    wait_for(
        lambda: "steward" in edge.program.titled_children(), 2 * PATIENCE_SECONDS, "the steward"
    )
    before = file.read_text()
    file.write_text(f"{before}    {broken.format(taken=f'127.0.0.1:{edge.server}')}\n")
    goes_on.touch()
    edge.await_more(("upgrade failed",), 0)
    file.write_text(before)
    assert echoes(session)
    edge.reload("reload done: generation 2 serves")
    assert who_answers(edge.target)


def test_a_start_with_files_behind_two_dashes_in_a_folder_that_is_gone(
    tmp_path: Path, installed: Installed
) -> None:
    """The words of the proof are no file; only who names files in that folder needs it."""
    backend = NamedBackend("127.0.0.1", 0)
    text = CONFIGURATION.format(words="", host=HOST, port=free_port(), server=backend.port)
    file, folder = tmp_path / "more.cfg", tmp_path / "folder"
    file.write_text("global\n")
    folder.mkdir()
    wrapper = ("/bin/sh", "-c", f'cd {folder} && rmdir {folder} && exec "$@"', "sh")
    flags = ("-db", "--", str(file))
    (installed.folder / "proxy/demo/.#world.py").symlink_to("nowhere")  # as an editor's lock
    environ = installed.environ
    with Program(tmp_path, text, *flags, environ=environ, wrapper=wrapper, executed=True) as begun:
        installed.change("proxy/demo/world.py")
        begun.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: DONE in begun.output.read_text(), 2 * PATIENCE_SECONDS, "the upgrade")
    backend.close()


def test_an_error_of_the_files_is_not_the_fault_of_the_build(
    edge: Edge, installed: Installed
) -> None:
    text = edge.program.file.read_text()
    edge.program.file.write_text(f"{text}    bind\n")
    installed.change("proxy/__init__.py")
    edge.reload("reload failed, nothing changed")
    assert "takes over once it finds no error in the files" in edge.told
    assert "does not prove" not in edge.told
    edge.program.file.write_text(text)
    edge.reload(DONE)
    assert who_answers(edge.target)
