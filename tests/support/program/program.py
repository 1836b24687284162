"""The whole program under test: started on a configuration text, asked on its stats socket.

Ends by its pid whatever happened, with all its children, and says what it printed when it fails.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.forking.process import start

ANSWERS_MAX = 20  # of one command
LATE = re.compile(r"^Not yet in force in .*\n", re.MULTILINE)


def in_force(answer: str) -> str:
    """The answer to an order, without its lines about processes that had no turn for a second."""
    return LATE.sub("", answer)


class Program:
    """One running `millrace -f <file> -db`; a context manager.

    The configuration's `{socket}` becomes the path of an admin stats socket in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        configuration: str,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        wait: bool = True,
        wrapper: tuple[str, ...] = (),
        executed: bool = False,
    ) -> None:
        """`wrapper` are the words of a program that executes the words after its own.

        With `executed` it is a fresh interpreter.
        """
        self.folder = folder
        self.file = folder / "millrace.cfg"
        self.socket_path = folder / "stats.sock"
        self.output = folder / "output.txt"
        self.write(configuration)
        with self.output.open("wb") as output:
            self.process = (subprocess.Popen if executed else start)(
                [
                    *(*wrapper, sys.executable, "-m", "proxy"),
                    *("-f", str(self.file), *(arguments or ("-db",))),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
            )
        if wait:
            self.wait_until_answering()

    def write(self, configuration: str) -> None:
        """Replace the configuration file; a reload then takes it."""
        self.file.write_text(configuration.replace("{socket}", str(self.socket_path)))

    def wait_until_answering(self) -> None:
        """Return once the stats socket answers, beside all workers; fail when the program ended."""

        def answering() -> bool:
            if self.process.poll() is not None:
                pytest.fail(f"ended with {self.process.returncode}:\n{self.output.read_text()}")
            with suppress(OSError):
                said = self.ask("show info")
                return "Pid:" in said and self._has_workers(said)
            return False

        wait_for(answering, 15, "an answer on the stats socket", step=0.02)

    def _has_workers(self, said: str) -> bool:
        """Whether all workers are there; of a program inside a pid namespace nothing is seen."""
        found = self.titled_children()
        wanted = int(said.partition("Nbthread: ")[2].split()[0])
        return "control" not in found or len(found.get("worker", [])) >= wanted

    def ask(self, command: str) -> str:
        """One command on the stats socket, its whole answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(str(self.socket_path))
            connection.sendall(command.encode() + b"\n")
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
        return received.decode()

    def ask_until_answered(self, command: str) -> str:
        """The answer, of a successor where control is killed before it gives one."""
        for _ in range(ANSWERS_MAX):
            with suppress(OSError):
                if answer := self.ask(command):
                    return answer
        pytest.fail(f"no answer to {command}")

    def servers(self, backend: str) -> dict[str, dict[str, str]]:
        """`show servers state` of a backend: fields by server name."""
        lines = self.ask(f"show servers state {backend}").splitlines()
        names = lines[1].removeprefix("# ").split()
        rows = [dict(zip(names, line.split(), strict=False)) for line in lines[2:] if line]
        return {row["srv_name"]: row for row in rows}

    def children(self) -> dict[str, list[int]]:
        """Pids of the children by what they are: worker, resolverd, control, runner."""
        return wait_for(self.titled_children, 10, "each child has its title")

    def titled_children(self) -> dict[str, list[int]]:
        """The same; nothing while one is so new that it has its parent's title."""
        found: dict[str, list[int]] = {}
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in path.read_text().split():
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if words.startswith(sys.executable) or not (words or ended):
                    return {}
                if words:
                    kind = words.removeprefix("millrace: ").split()[0]
                    found.setdefault(kind, []).append(int(pid))
        return found

    @contextmanager
    def stand_still(self, *pids: int) -> Iterator[None]:
        """These processes do nothing in the block, and none of them is replaced.

        A process that shows no sign of life for three seconds is killed, which is less than some
        orders take on a busy machine: so the main process stands still as well, first and last.
        """
        held = (self.process.pid, *pids)
        try:
            for pid in held:
                stand_still(pid)
            yield
        finally:
            for pid in reversed(held):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; returns when it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                pytest.fail(f"SIGTERM did not end it:\n{self.output.read_text()}")

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if kind is not None:
            sys.stderr.write(f"--- output of the program\n{self.output.read_text()}\n")


class NamedBackend:
    """A TCP server that sends its own address to every client, then echoes until the end."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.accepted = 0
        self.listener = socket.create_server((address, port or free_port()), backlog=256)
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept_on, daemon=True).start()

    def accept_on(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(f"{self.address}\n".encode())
            while chunk := connection.recv(65_536):
                connection.sendall(chunk)

    def close(self) -> None:
        # a thread blocked in accept would keep the port listening
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def greet(
    target: tuple[str, int], seconds: float = PATIENCE_SECONDS
) -> tuple[str, socket.socket] | None:
    """Connect through the proxy: which backend answered and the open connection; None: no answer."""
    try:
        connection = socket.create_connection(target, seconds)
    except OSError:
        return None
    received = b""
    try:
        while not received.endswith(b"\n"):
            chunk = connection.recv(256)
            if not chunk:
                break
            received += chunk
    except OSError:
        received = b""
    if not received.endswith(b"\n"):
        connection.close()
        return None
    return received.decode().strip(), connection


def who_answers(target: tuple[str, int]) -> str | None:
    """The backend that a new connection reaches; None without an answer."""
    greeted = greet(target)
    if greeted is None:
        return None
    greeted[1].close()
    return greeted[0]
