"""One program with a scripted nameserver, a statistics socket and a log socket of its own.

HAProxy and Millrace alike: the test drives each through the same steps, waiting for what it shows,
and compares what came out. In the configuration `{folder}`, `{log}` and `{nameserver}` are filled.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, require_program, wait_for, widen
from tests.support.differential.pair import ROOT
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.forking.process import Process, start
from tests.support.resting import wait_for_rest

PROGRAMS = {  # how each is started: which is looked for when a test needs it
    "haproxy": lambda: (require_program("haproxy"),),
    "millrace": lambda: (sys.executable, "-m", "proxy"),
}
LOG_BYTES = 1 << 25  # lines that wait while this process gets no turn


class OneProgram:
    """A running program; `lines` are (level, text) of its log, as far as they were read."""

    def __init__(
        self,
        folder: Path,
        log: socket.socket,
        nameserver: ScriptedNameserver,
        child: Process,
    ) -> None:
        self.folder = folder
        self.child = child
        self.log = log
        self.nameserver = nameserver
        self.lines: list[tuple[int, str]] = []

    def read(self) -> None:
        """Take what was logged meanwhile."""
        with suppress(BlockingIOError):
            while True:
                text = self.log.recv(65_536).decode()
                self.lines.append((int(text[1 : text.index(">")]) % 8, text))

    def read_all(self) -> None:
        """Take all that belongs to what its rows show: it may log a moment later."""
        wait_for_rest(self.child.pid)
        self.read()

    def ask(self, command: str) -> str:
        """What the statistics socket answers to one command."""
        return self.ask_bytes(command).decode()

    def ask_bytes(self, command: str) -> bytes:
        """The same as it comes: servers may have said what is not text."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(self.folder / "s"))
            client.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: client.recv(65_536), b""))

    def answers(self) -> bool:
        """Whether the statistics socket is served."""
        with suppress(OSError):
            return bool(self.ask("show info"))
        return False

    def rows(self) -> dict[str, dict[str, str]]:
        """`show servers state` by server name, each row by column."""
        lines = self.ask("show servers state").strip().splitlines()
        names = lines[1][2:].split()
        rows = [dict(zip(names, line.split(), strict=True)) for line in lines[2:]]
        return {row["srv_name"]: row for row in rows}


@contextmanager
def one_program(
    command: tuple[str, ...], folder: Path, configuration: str, zone: dict[str, str]
) -> Iterator[OneProgram]:
    """Start a program; `zone` maps names to the address that they have at first."""
    folder.mkdir()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log,
        ScriptedNameserver() as nameserver,
    ):
        widen(log, LOG_BYTES)
        log.bind(("127.0.0.1", 0))
        log.setblocking(False)
        for name, address in zone.items():
            nameserver.set(name, "A", address)
        text = configuration.format(
            folder=folder,
            log="{}:{}".format(*log.getsockname()),
            nameserver=nameserver.address,
        )
        (folder / "proxy.cfg").write_text(text)
        with (folder / "output").open("wb") as output:
            child = start(
                (*command, "-f", str(folder / "proxy.cfg"), "-db"),
                cwd=ROOT,
                stdout=output,
                stderr=output,
                env=_environment(command[0]),
            )
        try:
            made = OneProgram(folder, log, nameserver, child)
            wait_for(
                lambda: child.poll() is not None or made.answers(), 30, f"the start of {command}"
            )
            assert child.poll() is None, (folder / "output").read_text()
            yield made
        finally:
            child.terminate()
            child.wait(PATIENCE_SECONDS)


def _environment(program: str) -> dict[str, str]:
    """The sanitizers are for our own code: their strncmp says to HAProxy less than libc's."""
    kept = program == sys.executable
    return {name: value for name, value in os.environ.items() if kept or name != "LD_PRELOAD"}
