"""Starts programs as subprocess.Popen does: Python ones that are started often are forked.

A fresh interpreter takes half a second of a core until Millrace serves, a fork of one that has
imported it a tenth of that. Each test process has its fork servers (server.py), one for each kind of
program, from the first that it starts. What is only there at an exec is executed: other
programs, variables that the interpreter or the linker reads, and whatever a test starts with
subprocess.Popen itself, because it asks what the command is, costs or prints from its first moment.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.common import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]
PROGRAM = (
    "proxy.cli",
    "proxy.supervisor.preload",
    "proxy.control.process",
    "proxy.control.http.serving",
    "proxy.worker.process",
    "resolverd.daemon",
    "uvloop",
)
SCRIPTS = "a script of the tests"
PRELOADED = {  # by module
    "proxy": PROGRAM,
    SCRIPTS: (*PROGRAM, "tests.support.supervisor.program"),
    "tests.support.relay.host": ("tests.support.relay.host",),
}
READ_AT_EXEC = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG", "TZ")
ANSWER_BYTES_MAX = 100


class ForkedProcess:
    """A program that was forked, with the methods of subprocess.Popen that tests use."""

    def __init__(self, server: ForkServer, pid: int, words: Sequence[str]) -> None:
        self.args = words
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit status, once it has ended."""
        if self.returncode is None and self._has_ended(0):
            self._reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not self._has_ended(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._reap()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it, unless it is known to have ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1_000))

    def _reap(self) -> None:
        self.returncode = self._server.status(self.pid)
        os.close(self._pidfd)


Process = subprocess.Popen[bytes] | ForkedProcess
File = int | IO[bytes] | None


class ForkServer:
    """A fork server, as the test process sees it."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(PATIENCE_SECONDS)
        self._lock = threading.Lock()
        self._environ = dict(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forking.server", str(far.fileno()), *modules],
            cwd=ROOT,
            pass_fds=[far.fileno()],
        )
        far.close()

    def lives(self) -> bool:
        return self._process.poll() is None

    def serves(self, environ: Mapping[str, str]) -> bool:
        """Whether it can fork a program with these variables."""
        changed = dict(self._environ.items() ^ environ.items())
        if environ.get("PYTHONPATH") == str(ROOT):  # which the server finds anyway
            changed.pop("PYTHONPATH", None)
        return not any(name.startswith(READ_AT_EXEC) for name in changed)

    def fork(
        self, words: Sequence[str], folder: str, environ: Mapping[str, str], places: dict[int, int]
    ) -> ForkedProcess:
        """Fork a program; `places` has our descriptor for each of its own."""
        order = {
            "words": words,
            "folder": folder,
            "environ": dict(environ),
            "descriptors_max": resource.getrlimit(resource.RLIMIT_NOFILE),
            "places": list(places),
        }
        return ForkedProcess(self, self._ask(order, list(places.values())), words)

    def status(self, pid: int) -> int:
        """How a program ended that has ended, as subprocess says it."""
        return self._ask({"ended": pid}, [])

    def _ask(self, order: dict[str, Any], descriptors: list[int]) -> int:
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(order).encode()], descriptors)
            answer: int = json.loads(self._channel.recv(ANSWER_BYTES_MAX))
        return answer


_servers: dict[str, ForkServer] = {}
_servers_lock = threading.Lock()


def fork_server(module: str) -> ForkServer:
    """This test process's server for programs of this kind."""
    with _servers_lock:
        server = _servers.get(module)
        if server is None or not server.lives():
            server = _servers[module] = ForkServer(PRELOADED[module])
        return server


def start(
    command: Sequence[str],
    *,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start a program, forked where that makes no difference; the words are subprocess.Popen's."""
    environ = os.environ if env is None else env
    module = preloaded_by(command)
    if module is None or not fork_server(module).serves(environ):
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env, pass_fds=pass_fds
        )
    with open(os.devnull, "r+b", buffering=0) as nothing:
        places = {0: descriptor_of(stdin, 0, nothing), 1: descriptor_of(stdout, 1, nothing)}
        places[2] = places[1] if stderr == subprocess.STDOUT else descriptor_of(stderr, 2, nothing)
        places |= {each: each for each in pass_fds}
        return fork_server(module).fork(command[1:], str(cwd or Path.cwd()), environ, places)


def preloaded_by(command: Sequence[str]) -> str | None:
    """The kind of a program that can be forked."""
    if command[0] != sys.executable:
        return None
    if command[1].endswith(".py"):
        return SCRIPTS
    return command[2] if command[1] == "-m" and command[2] in PRELOADED else None


def descriptor_of(file: File, standard: int, nothing: IO[bytes]) -> int:
    """Our descriptor that a program has as its input, output or error output."""
    if file == subprocess.DEVNULL:
        return nothing.fileno()
    assert file != subprocess.PIPE, "what needs a pipe is executed"
    if file is None:
        return standard
    return file if isinstance(file, int) else file.fileno()


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = PATIENCE_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as subprocess.run; raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = start(command, stdout=output, stderr=errors, cwd=cwd, env=env)
        try:
            status = child.wait(timeout)
        finally:
            child.kill()
            child.wait()
        said = []
        for file in (output, errors):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(command, status, *said)
