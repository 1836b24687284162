"""`show proc` and what is logged at a hard stop: HAProxy's master says the same of its workers."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.forking.process import start
from tests.support.supervisor.program import ROOT

CONFIGURATION = """global
  nbthread 1
  {hard_stop}
  {stats}
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen idle
  bind 127.0.0.1:{idle}
  server s 127.0.0.1:{server}
listen whole
  bind 127.0.0.1:{whole}
  server s 127.0.0.1:{server}
frontend front
  bind 127.0.0.1:{front}
  default_backend back
backend back
  server s 127.0.0.1:{server}
"""
HARD_STOP = re.compile(r"soft-stop running for too long.*|Proxy \S+ hard-stopped .*", re.MULTILINE)
NAMES = ("haproxy", "millrace")
Connect = Callable[[str], None]


class Master:
    """A program with a master that answers `show proc`."""

    def __init__(self, name: str, folder: Path, server: int, hard_stop: str) -> None:
        self.path, self.file, self.output = folder / "s", folder / "p.cfg", folder / "output"
        self.ports = {word: free_port() for word in ("idle", "whole", "front")}
        ours = name == "millrace"
        stats = f"stats socket {self.path} level admin" if ours else ""
        self.text = CONFIGURATION.format(
            server=server, hard_stop=hard_stop, stats=stats, **self.ports
        )
        self.file.write_text(self.text)
        command = (sys.executable, "-m", "proxy") if ours else (require_program("haproxy"),)
        more = () if ours else ("-S", str(self.path))
        with self.output.open("wb") as output:
            self.process = start(
                [*command, "-W", "-f", str(self.file), *more], cwd=ROOT, stderr=output
            )
        wait_for(lambda: self.states()[:1], PATIENCE_SECONDS, f"{name} answers")

    def ask(self, command: str) -> str:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(self.path))
            client.sendall(command.encode() + b"\n")
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65_536), b"")).decode()
        return ""

    def states(self) -> list[str]:
        """`show proc` without what differs in each run: pids, uptimes, versions, in equal width."""
        lines = []
        for line in self.ask("show proc").splitlines():
            if re.match(r"\d", line):
                cells = [line[at : at + 16] for at in range(0, len(line), 16)]
                assert re.fullmatch(r"\d+ +", cells[0])
                assert re.fullmatch(r"\dd\d\dh\d\dm\d\ds {5}", cells[3])
                lines.append(cells[1] + cells[2])
            else:
                lines.append(line)
        return lines

    def await_state(self, reloads: str, workers: list[int]) -> list[str]:
        """What it says once it has so many reloads, and workers that have seen so many of them."""

        def settled() -> list[str] | None:
            lines = self.states()
            seen = [int(line.split()[1]) for line in lines if line[:1] == "w"]
            return lines if f"{reloads:<15}" in "".join(lines) and seen == workers else None

        return wait_for(settled, PATIENCE_SECONDS, f"{reloads}, workers {workers}")

    def reload(self, reloads: str, workers: list[int]) -> list[str]:
        """The same after a reload."""
        self.process.send_signal(signal.SIGUSR2)
        return self.await_state(reloads, workers)


@contextmanager
def master(name: str, folder: Path, hard_stop: str = "") -> Iterator[tuple[Master, Connect]]:
    """A program, and what makes a session at one of its ports, which has a server."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(PATIENCE_SECONDS)
        made = Master(name, folder, server.getsockname()[1], hard_stop)

        def connect(word: str) -> None:
            client = socket.create_connection(("127.0.0.1", made.ports[word]))
            stack.enter_context(client).sendall(b"x")
            stack.enter_context(server.accept()[0])

        try:
            yield made, connect
        finally:
            made.process.terminate()
            made.process.wait(PATIENCE_SECONDS)


def course(name: str, folder: Path) -> list[list[str]]:
    """What `show proc` says before and after reloads, two of which fail."""
    with master(name, folder) as (program, connect):
        seen = [program.await_state("0 [failed: 0]", [0])]
        connect("whole")
        seen.append(program.reload("1 [failed: 0]", [0, 1]))
        connect("whole")
        seen.append(program.reload("2 [failed: 0]", [0, 1, 2]))
        program.file.write_text(f"{program.text}  nonsense\n")
        seen.append(program.reload("3 [failed: 1]", [1, 2, 3]))
        seen.append(program.reload("4 [failed: 2]", [2, 3, 4]))
        program.file.write_text(program.text)
        seen.append(program.reload("5 [failed: 0]", [0, 4, 5]))
        return seen


def test_show_proc_says_the_same(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in NAMES]
    for folder in folders:
        folder.mkdir()
    theirs, ours = [course(name, folder) for name, folder in zip(NAMES, folders, strict=True)]
    assert ours == theirs


@pytest.mark.parametrize("way", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_hard_stop_tells_the_same_of_each_proxy(tmp_path: Path, way: signal.Signals) -> None:
    told = []
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        with master(name, folder, "hard-stop-after 500ms") as (program, connect):
            for word, count in (("whole", 3), ("front", 2)):
                for _ in range(count):
                    connect(word)
            program.process.send_signal(way)
            wait_for(
                lambda program=program: "Proxy front hard" in program.output.read_text(),
                PATIENCE_SECONDS,
                "the hard stop",
            )
            told.append(HARD_STOP.findall(program.output.read_text()))
    assert (
        told[0]
        == told[1]
        == [
            "soft-stop running for too long, performing a hard-stop.",
            "Proxy whole hard-stopped (3 remaining conns will be closed).",
            "Proxy front hard-stopped (2 remaining conns will be closed).",
        ]
    )
