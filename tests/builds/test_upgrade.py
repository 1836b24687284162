"""Another build is installed while the program serves: SIGUSR2 lets it take over, or changes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import __version__
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.forking.process import run
from tests.support.program.chaos import descriptors_of
from tests.support.program.installed import Installed
from tests.support.program.program import NamedBackend, Program, greet, who_answers
from tests.system.test_upgrade_paths import Crowd

HOST = "127.44.32.1"
CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
    log stdout format raw local0
    {words}
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 9s
    timeout client 99s
    timeout server 99s
listen web
    bind {host}:{port}
    server a 127.0.0.1:{server} check weight 100
"""
# A line of a module that a program imports which goes on from another one; its proof has -c.
WHEN_IT_GOES_ON = 'import os, sys, time\nif "-c" not in sys.argv[1:]:\n    '
LATE_MODULE = "proxy/supervisor/legacy.py"
DONE = "upgrade done: generation"
VERSION = "proxy/__init__.py"

pytestmark = pytest.mark.slow


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path / "installed")


class Edge:
    """A program of an installation, with one server."""

    def __init__(
        self, folder: Path, stack: contextlib.ExitStack, installed: Installed, words: str = ""
    ) -> None:
        backend = NamedBackend("127.0.0.1", 0)
        stack.callback(backend.close)
        self.server = backend.port
        self.target = (HOST, free_port())
        text = CONFIGURATION.format(
            words=words, host=HOST, port=self.target[1], server=backend.port
        )
        environ = installed.environ
        self.program = stack.enter_context(Program(folder, text, environ=environ, executed=True))
        self.stack = stack

    @property
    def told(self) -> str:
        return self.program.output.read_text()

    def session(self) -> socket.socket:
        greeted = greet(self.target)
        assert greeted is not None
        self.stack.callback(greeted[1].close)
        return greeted[1]

    def reload(self, *until: str) -> None:
        """Returns when one of these texts is said once more."""
        before = sum(map(self.told.count, until))
        self.program.process.send_signal(signal.SIGUSR2)
        self.await_more(until, before)

    def await_more(self, until: tuple[str, ...], before: int) -> None:
        def is_over() -> bool:
            assert self.program.process.poll() is None, self.told
            return sum(map(self.told.count, until)) > before

        wait_for(is_over, 2 * PATIENCE_SECONDS, f"{until} in the log")

    def fact(self, name: str) -> str:
        """A line of `show info`."""
        said = self.program.ask("show info")
        return said.partition(f"\n{name}: ")[2].partition("\n")[0]


@pytest.fixture
def edge(tmp_path: Path, installed: Installed) -> Iterator[Edge]:
    with contextlib.ExitStack() as stack:
        yield Edge(tmp_path, stack, installed)


def echoes(session: socket.socket) -> bool:
    session.settimeout(PATIENCE_SECONDS)
    session.sendall(b"still here")
    return session.recv(100) == b"still here"


def served(edge: Edge) -> int:
    """What the frontend has counted."""
    row = edge.program.ask("show stat web 1 -1").splitlines()[1]
    return int(row.split(",")[7])


def test_to_another_version_and_back_no_client_is_lost(edge: Edge, installed: Installed) -> None:
    first = edge.session()
    edge.program.ask("set weight web/a 50")
    edge.program.ask(f"set server web/a check-port {edge.server}")
    with Crowd(edge.target) as crowd:
        crowd.await_more(20)
        content = (installed.folder / VERSION).read_text()
        installed.replace(VERSION, content.replace(__version__, "9.9.9"))
        edge.reload(DONE)
        assert edge.fact("Version") == "9.9.9"
        assert int(edge.fact("Pid")) == edge.program.process.pid
        second, before = edge.session(), served(edge)
        crowd.await_more(20)
        installed.replace(VERSION, content)
        edge.reload(DONE)
        crowd.await_more(20)
    assert crowd.failures == []
    assert edge.fact("Version") == __version__
    assert echoes(first)
    assert echoes(second)
    assert served(edge) >= before
    assert edge.program.ask("get weight web/a").startswith("50 ")
    assert edge.program.servers("web")["a"]["srv_check_port"] == str(edge.server)
    assert "another build is on disk" in edge.program.ask("show events state")
    said = edge.program.ask("show proc").splitlines()[1].split()
    assert said[:3] == [str(edge.program.process.pid), "master", "2"]
    for session in (first, second):
        session.close()
    wait_for(
        lambda: set(edge.program.children()) == {"worker", "control"},
        PATIENCE_SECONDS,
        "the stewards have ended",
    )
    ended = crowd.served + 2
    wait_for(lambda: edge.told.count(" web web/a ") == ended, PATIENCE_SECONDS, "each one's line")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("proxy/control/commands/show_info.py", "def broken(:\n", "SyntaxError"),
        ("proxy/relay/engine.cpython-311-x86_64-linux-gnu.so", "", "file too short"),
        ("shm/steady.py", "raise SystemExit(0)\n", "does not prove"),
    ],
)
def test_a_broken_build_is_a_failed_reload(
    edge: Edge, installed: Installed, name: str, content: str, says: str
) -> None:
    session = edge.session()
    former = (installed.folder / name).resolve()
    installed.replace(name, content)
    edge.reload("reload failed, nothing changed")
    edge.await_more((says,), 0)
    assert who_answers(edge.target)
    assert echoes(session)
    assert edge.program.ask("show proc").splitlines()[1].split()[2:5] == ["1", "[failed:", "1]"]
    (installed.folder / name).unlink()
    (installed.folder / name).symlink_to(former)  # as it was: the same files
    edge.reload("reload done: generation 2 serves")
    assert echoes(session)


def test_a_worker_that_dies_while_the_new_build_starts_is_replaced(
    edge: Edge, installed: Installed, tmp_path: Path
) -> None:
    goes_on = tmp_path / "go"
    waits = f"while not os.path.exists({str(goes_on)!r}): time.sleep(0.01)"
    installed.change(LATE_MODULE, WHEN_IT_GOES_ON + waits)
    first, second = edge.program.children()["worker"]
    edge.program.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "steward" in edge.program.titled_children(), 60, "the steward")
    session = edge.session()
    os.kill(first, signal.SIGKILL)
    (steward,) = edge.program.children()["steward"]
    children = Path(f"/proc/{steward}/task/{steward}/children")
    wait_for(children.read_text, PATIENCE_SECONDS, "a successor")
    for _ in range(20):
        assert who_answers(edge.target)
    assert second in edge.program.children()["worker"]
    survives = echoes_or_died(session)
    before = edge.told.count(DONE)
    goes_on.touch()
    edge.await_more((DONE,), before)
    assert who_answers(edge.target)
    if survives:
        assert echoes(session)


def echoes_or_died(session: socket.socket) -> bool:
    """Its worker may be the one that was killed."""
    with contextlib.suppress(OSError):
        return echoes(session)
    return False


def test_a_build_that_fails_after_its_execution_leaves_the_former_one_serving(
    edge: Edge, installed: Installed
) -> None:
    session = edge.session()
    installed.change(LATE_MODULE, WHEN_IT_GOES_ON + 'raise OSError("not like this")')
    edge.reload("upgrade failed")
    assert "not like this" in edge.told
    assert echoes(session)
    assert who_answers(edge.target)
    edge.reload("reload done: generation 2 serves")
    assert who_answers(edge.target)
    assert echoes(session)
    children = edge.program.children()
    edge.program.process.send_signal(signal.SIGTERM)
    assert edge.program.process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    wait_for(lambda: not any(map(lives, children["steward"])), PATIENCE_SECONDS, "all have ended")


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_where_the_former_build_is_kept_it_is_executed_again(tmp_path: Path) -> None:
    builds = [Installed(tmp_path / name) for name in ("one", "two")]
    current = tmp_path / "current"
    current.symlink_to(builds[0].folder)
    through = Installed.__new__(Installed)
    through.folder = current
    builds[1].change(LATE_MODULE, WHEN_IT_GOES_ON + 'raise OSError("not like this")')
    content = (builds[1].folder / VERSION).read_text()
    builds[1].replace(VERSION, content.replace(__version__, "9.9.9"))
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, through)
        session = edge.session()
        beside = tmp_path / "next"
        beside.symlink_to(builds[1].folder)
        beside.rename(current)
        with Crowd(edge.target) as crowd:
            crowd.await_more(20)
            edge.reload(DONE)
            crowd.await_more(20)
        assert crowd.failures == []
        assert "the upgrade failed, the former build goes on" in edge.told
        assert "not like this" in edge.told
        assert edge.fact("Version") == __version__
        assert echoes(session)


def test_a_segment_of_another_layout_is_not_read(edge: Edge, installed: Installed) -> None:
    session = edge.session()
    edge.program.ask("set weight web/a 50")
    installed.change("shm/records.pxd", "# another layout")
    installed.change("proxy/demo/world.py")
    edge.reload(DONE)
    assert "another layout" in edge.told
    assert who_answers(edge.target)
    assert edge.program.ask("get weight web/a").startswith("50 ")
    assert echoes(session)


def test_a_stop_while_the_new_build_starts_ends_all(
    edge: Edge, installed: Installed, tmp_path: Path
) -> None:
    goes_on = tmp_path / "go"
    waits = f"while not os.path.exists({str(goes_on)!r}): time.sleep(0.01)"
    installed.change(LATE_MODULE, WHEN_IT_GOES_ON + waits)
    edge.program.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "steward" in edge.program.titled_children(), 60, "the steward")
    children = [pid for pids in edge.program.children().values() for pid in pids]
    edge.program.process.send_signal(signal.SIGTERM)
    goes_on.touch()
    assert edge.program.process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    wait_for(lambda: not any(map(lives, children)), PATIENCE_SECONDS, "all have ended")


def test_sessions_outlive_the_steward(edge: Edge, installed: Installed) -> None:
    session = edge.session()
    installed.change("proxy/demo/world.py")
    edge.reload(DONE)
    (steward,) = edge.program.children()["steward"]
    os.kill(steward, signal.SIGKILL)
    wait_for(
        lambda: "has ended before its workers" in edge.told, PATIENCE_SECONDS, "a line of the log"
    )
    assert echoes(session)
    workers = edge.program.children
    wait_for(lambda: len(workers()["worker"]) == 3, PATIENCE_SECONDS, "the idle one's end")
    session.close()
    wait_for(
        lambda: len(edge.program.children()["worker"]) == 2, PATIENCE_SECONDS, "the old one's end"
    )
    assert who_answers(edge.target)


def test_descriptors_do_not_grow_with_upgrades(edge: Edge, installed: Installed) -> None:
    pid = edge.program.process.pid
    counts = []
    for _ in range(2):
        installed.change("proxy/demo/world.py")
        edge.reload(DONE)
        wait_for(
            lambda: descriptors_of(pid)["/memfd:millrace (deleted)"] == 1,
            PATIENCE_SECONDS,
            "the former program is forgotten",
        )
        counts.append(descriptors_of(pid))
    assert counts[0] == counts[1]


def test_commands_that_wait_for_a_reload_wait_for_an_upgrade(
    tmp_path: Path, installed: Installed
) -> None:
    """By the master CLI, and by the pid file; `ping` is answered by whichever serves."""
    backend = NamedBackend("127.0.0.1", 0)
    master, pidfile = tmp_path / "master.sock", tmp_path / "pid"
    text = CONFIGURATION.format(words="", host=HOST, port=free_port(), server=backend.port)
    flags = ("-W", "-db", "-S", str(master), "-p", str(pidfile))
    environ = installed.environ
    with Program(tmp_path, text, *flags, environ=environ, executed=True) as program:
        for number, where in enumerate((("-S", str(master)), ("-p", str(pidfile))), 2):
            installed.change("proxy/demo/world.py")
            done = run([sys.executable, "-m", "proxy", *where, "reload"])
            while "another build has just taken over" in done.stderr:  # the former master's
                done = run([sys.executable, "-m", "proxy", *where, "reload"])
            assert done.returncode == 0, done.stdout + done.stderr + program.output.read_text()
            line = f"{DONE} {number} serves"
            wait_for(
                lambda line=line: line in program.output.read_text(),
                PATIENCE_SECONDS,
                "the log says so",
            )
            ping = run([sys.executable, "-m", "proxy", "-p", str(pidfile), "ping"])
            assert ping.returncode == 0, ping.stdout
        installed.replace("shm/steady.py", "def broken(:\n")
        done = run([sys.executable, "-m", "proxy", "-S", str(master), "reload"])
        while "another build has just taken over" in done.stderr:  # the former master's answer
            done = run([sys.executable, "-m", "proxy", "-S", str(master), "reload"])
        assert done.returncode == 1
        assert "SyntaxError" in done.stdout + done.stderr
        assert int(pidfile.read_text()) == program.process.pid
    backend.close()
    assert program.process.returncode == 0
    assert not master.exists()


STARTS = """#!{interpreter}
import sys
if sys.argv[1:2] == [{given!r}]:
    del sys.argv[1:4]  # the words of a test: <python> -m proxy
from proxy.__main__ import main
sys.exit(main())
"""


def test_where_the_kernel_refuses_to_execute_the_build_nothing_changes(
    tmp_path: Path, installed: Installed
) -> None:
    """The interpreter of the script goes at the last moment: while the build proves itself."""
    interpreter, script = tmp_path / "python", tmp_path / "millrace"
    interpreter.symlink_to(sys.executable)
    script.write_text(STARTS.format(interpreter=interpreter, given=sys.executable))
    script.chmod(0o755)
    libraries = Path(pytest.__file__).parents[1]
    environ = {**installed.environ, "PYTHONPATH": f"{installed.folder}:{libraries}"}
    backend = NamedBackend("127.0.0.1", 0)
    target = (HOST, free_port())
    text = CONFIGURATION.format(words="", host=HOST, port=target[1], server=backend.port)
    wrapper = (str(script),)
    with Program(tmp_path, text, environ=environ, wrapper=wrapper, executed=True) as program:
        greeted = greet(target)
        assert greeted is not None
        goes = f'import os, sys\nif "-c" in sys.argv[1:]:\n    os.unlink({str(interpreter)!r})'
        installed.change(LATE_MODULE, goes)
        children = program.children()
        program.process.send_signal(signal.SIGUSR2)
        told = program.output.read_text
        wait_for(lambda: "nothing changed: No such file" in told(), 60, "a failed reload")
        assert echoes(greeted[1])
        greeted[1].close()
        assert who_answers(target)
        assert program.children() == children
        program.process.send_signal(signal.SIGUSR1)
        assert program.process.wait(PATIENCE_SECONDS) == 0
    backend.close()
