"""One started proxy: writes its configuration, starts it, and times its first forwarded byte.

Owns the start of a `programs.Program`. Knows no load.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.process import ProgramFailedError, running
from loadtest.programs import ROOT, STATS_SOCKET, Program, Setup
from loadtest.site import HostPort, Site

START_SECONDS = 60.0  # thousands of sections on a busy machine
PROBE_SECONDS = 1.0
RETRY_SECONDS = 0.002
PROBE_REQUEST = b"GET / HTTP/1.0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Instance:
    """A running proxy; `start_ms` is the time from its start to the first byte of an answer."""

    child: subprocess.Popen[bytes]
    start_ms: float
    stats_socket: Path
    command: tuple[str, ...]  # of the program, without arguments

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self.child.pid

    def settle(self, seconds: float) -> None:
        """Wait for so many seconds; raises ProgramFailedError if the proxy ends meanwhile."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise ProgramFailedError(f"ended with status {self.child.wait(seconds)}")


@contextmanager
def started(program: Program, site: Site, setup: Setup) -> Iterator[Instance]:
    """Run the program on its core while the block lasts.

    Raises ProgramFailedError with the end of its output when it ends or does not forward a byte
    within START_SECONDS.
    """
    with tempfile.TemporaryDirectory(prefix="millrace-load-") as name:
        folder = Path(name)
        configuration = folder / "proxy.cfg"
        configuration.write_text(program.configuration(site, setup, folder), encoding="ascii")
        command = (*program.command, *program.arguments(configuration, folder))
        with (folder / "output").open("w+b") as output:
            begin = time.monotonic()
            with running(command, site.proxy_cores, output, ROOT) as child:
                if not _first_byte(child, site.web.front, begin + START_SECONDS):
                    raise ProgramFailedError(f"did not start: {_account(child, folder)}")
                start_ms = (time.monotonic() - begin) * 1000
                yield Instance(child, start_ms, folder / STATS_SOCKET, program.command)


def _first_byte(child: subprocess.Popen[bytes], front: HostPort, deadline: float) -> bool:
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((front.host, front.port), PROBE_SECONDS) as probe,
        ):
            probe.sendall(PROBE_REQUEST)
            if probe.recv(1):
                return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(RETRY_SECONDS)
            return False
    return False


def _account(child: subprocess.Popen[bytes], folder: Path) -> str:
    status = child.poll()
    lines = (folder / "output").read_text(errors="replace").strip().splitlines()
    ending = "no byte forwarded" if status is None else f"status {status}"
    return f"{ending}: {lines[-1][:200]}" if lines else ending
